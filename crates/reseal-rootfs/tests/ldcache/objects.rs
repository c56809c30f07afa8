//! What is read in shared objects, small ones that are made here.

use proptest::prelude::*;
use reseal_rootfs::ldcache::{Machine, elf_facts, name_places};

/// A shared object that says as much as ldconfig reads.
#[derive(Clone)]
struct Object {
    is_64: bool,
    big_endian: bool,
    machine: u16,
    flags: u32,
    kind: u16,
    soname: Option<&'static str>,
    needed: &'static str,
    interpreter: &'static str,
    /// System and version of the oldest kernel.
    kernel: Option<[u32; 4]>,
}

const X86_64: Object = Object {
    is_64: true,
    big_endian: false,
    machine: 62,
    flags: 0,
    kind: 3,
    soname: Some("libx.so.1"),
    needed: "libc.so.6",
    interpreter: "",
    kernel: None,
};

impl Object {
    fn number(&self, out: &mut Vec<u8>, number: u64, length: usize) {
        if self.big_endian {
            out.extend(&number.to_be_bytes()[8 - length..]);
        } else {
            out.extend(&number.to_le_bytes()[..length]);
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let word = if self.is_64 { 8 } else { 4 };
        let headers = if self.is_64 { (64, 56) } else { (52, 32) };
        let start = headers.0 + 4 * headers.1;
        // Strings, then the dynamic section, then the note.
        let mut strings = vec![0];
        let mut place = |text: &str| {
            let at = strings.len();
            strings.extend(text.as_bytes());
            strings.push(0);
            at as u64
        };
        let soname = self.soname.map(&mut place);
        let needed = place(self.needed);
        let interpreter = place(self.interpreter);
        let base = 0x10000;
        let mut dynamic = Vec::new();
        let mut tag = |tag, value| {
            self.number(&mut dynamic, tag, word);
            self.number(&mut dynamic, value, word);
        };
        tag(1, needed);
        if let Some(soname) = soname {
            tag(14, soname);
        }
        tag(5, base + start as u64);
        tag(0, 0);
        let mut note = Vec::new();
        for number in [4, 0, 7] {
            self.number(&mut note, number, 4);
        }
        note.extend(b"GNU\0");
        if let Some(kernel) = self.kernel {
            for number in [4, 16, 1] {
                self.number(&mut note, number, 4);
            }
            note.extend(b"GNU\0");
            for part in kernel {
                self.number(&mut note, part.into(), 4);
            }
        }
        let at = |offset: usize| (start + offset) as u64;
        let total = at(strings.len() + dynamic.len() + note.len());
        let segments = [
            (1, 0, total),
            (2, at(strings.len()), dynamic.len() as u64),
            (3, start as u64 + interpreter, self.interpreter.len() as u64),
            (4, at(strings.len() + dynamic.len()), note.len() as u64),
        ];
        let mut out = vec![
            0x7f,
            b'E',
            b'L',
            b'F',
            if self.is_64 { 2 } else { 1 },
            if self.big_endian { 2 } else { 1 },
            1,
        ];
        out.resize(16, 0);
        self.number(&mut out, self.kind.into(), 2);
        self.number(&mut out, self.machine.into(), 2);
        self.number(&mut out, 1, 4);
        for number in [0, headers.0 as u64, 0] {
            self.number(&mut out, number, word);
        }
        self.number(&mut out, self.flags.into(), 4);
        for number in [headers.0, headers.1, segments.len(), 0, 0, 0] {
            self.number(&mut out, number as u64, 2);
        }
        for (kind, offset, size) in segments {
            self.number(&mut out, kind, 4);
            if self.is_64 {
                self.number(&mut out, 4, 4);
            }
            for number in [offset, base + offset, base + offset, size, size] {
                self.number(&mut out, number, word);
            }
            if !self.is_64 {
                self.number(&mut out, 4, 4);
            }
            self.number(&mut out, 8, word);
        }
        assert_eq!(out.len(), start);
        out.extend(strings);
        out.extend(dynamic);
        out.extend(note);
        out
    }
}

#[test]
fn the_kind_of_a_library_follows_from_its_processor() {
    let arm = Object {
        is_64: false,
        machine: 40,
        ..X86_64
    };
    let i386 = Object {
        is_64: false,
        machine: 3,
        ..X86_64
    };
    for (what, object, family, flags) in [
        ("x86-64", X86_64, Some(Machine::X86), 0x303),
        (
            "x32",
            Object {
                is_64: false,
                ..X86_64
            },
            Some(Machine::X86),
            0x803,
        ),
        ("i386", i386.clone(), Some(Machine::X86), 3),
        (
            "i386 of no libc",
            Object {
                needed: "libz.so.1",
                ..i386.clone()
            },
            Some(Machine::X86),
            1,
        ),
        (
            "i386 with a loader",
            Object {
                needed: "",
                interpreter: "/lib/ld-linux.so.2",
                ..i386
            },
            Some(Machine::X86),
            3,
        ),
        (
            "arm64",
            Object {
                machine: 183,
                ..X86_64
            },
            Some(Machine::Arm),
            0xa03,
        ),
        (
            "armhf",
            Object {
                flags: 0x0500_0400,
                ..arm.clone()
            },
            Some(Machine::Arm),
            0x903,
        ),
        (
            "armel",
            Object {
                flags: 0x0500_0200,
                ..arm.clone()
            },
            Some(Machine::Arm),
            0xb03,
        ),
        ("arm of old", arm, Some(Machine::Arm), 3),
        (
            "s390x",
            Object {
                machine: 22,
                big_endian: true,
                ..X86_64
            },
            Some(Machine::S390),
            0x403,
        ),
        (
            "ppc64el",
            Object {
                machine: 21,
                ..X86_64
            },
            Some(Machine::PowerPc),
            0x503,
        ),
        (
            "riscv64",
            Object {
                machine: 243,
                flags: 5,
                ..X86_64
            },
            Some(Machine::RiscV),
            0x1003,
        ),
        (
            "loong64",
            Object {
                machine: 258,
                flags: 0x43,
                ..X86_64
            },
            Some(Machine::LoongArch),
            0x1203,
        ),
        (
            "alpha",
            Object {
                machine: 0x9026,
                ..X86_64
            },
            None,
            3,
        ),
    ] {
        let facts = elf_facts(&object.bytes()).unwrap_or_else(|| panic!("{what}"));
        assert_eq!((facts.family, facts.flags), (family, flags), "{what}");
        assert_eq!(facts.soname.as_deref(), Some("libx.so.1"), "{what}");
        assert_eq!(
            (facts.is_64, facts.machine),
            (object.is_64, object.machine),
            "{what}"
        );
    }
}

#[test]
fn the_oldest_kernel_is_read_in_its_note() {
    for (kernel, expected) in [
        (None, 0),
        (Some([0, 3, 2, 0]), 0x30200),
        (Some([1, 2, 0x106, 9]), 0x0102_0609),
    ] {
        let object = Object { kernel, ..X86_64 };
        assert_eq!(elf_facts(&object.bytes()).unwrap().os_version, expected);
    }
}

#[test]
fn what_is_no_shared_object_is_passed_over() {
    assert_eq!(elf_facts(b""), None);
    assert_eq!(elf_facts(b"INPUT(libx.so.1)"), None);
    let program = Object { kind: 2, ..X86_64 };
    assert_eq!(elf_facts(&program.bytes()), None);
    let nameless = Object {
        soname: None,
        ..X86_64
    };
    assert_eq!(elf_facts(&nameless.bytes()).unwrap().soname, None);
    let bytes = X86_64.bytes();
    for end in 0..bytes.len() {
        let _ = elf_facts(&bytes[..end]);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_object_or_none(
        is_64: bool, big_endian: bool,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = Object { is_64, big_endian, kernel: Some([0, 1, 2, 3]), ..X86_64 }.bytes();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        // All that the facts say of names is in the places that are said to have them.
        let facts = elf_facts(&bytes);
        let places = name_places(&bytes);
        let soname = facts.and_then(|facts| facts.soname);
        let name = soname.unwrap_or_default();
        let found = places.iter().any(|place| bytes[place.clone()].starts_with(name.as_bytes()));
        prop_assert!(found || name.is_empty());
    }
}
