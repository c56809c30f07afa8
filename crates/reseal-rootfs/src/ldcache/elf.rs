//! What ldconfig reads in a shared object.

use std::ops::Range;

/// A family of processors whose libraries one ldconfig knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Machine {
    /// i386, x32 and x86-64.
    X86,
    /// 32-bit and 64-bit Arm.
    Arm,
    /// IBM Z.
    S390,
    /// 64-bit `PowerPC`.
    PowerPc,
    /// 64-bit RISC-V.
    RiscV,
    /// `LoongArch`.
    LoongArch,
}

impl Machine {
    /// Tells it from the kind of a library, where that says so.
    pub(super) fn of_flags(flags: u32) -> Option<Self> {
        Some(match flags >> 8 {
            0x03 | 0x08 => Self::X86,
            0x04 => Self::S390,
            0x05 => Self::PowerPc,
            0x09..=0x0b => Self::Arm,
            0x0f | 0x10 => Self::RiscV,
            0x11 | 0x12 => Self::LoongArch,
            _ => return None,
        })
    }
}

/// What ldconfig reads in a shared object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElfFacts {
    /// Whether it is a 64-bit object.
    pub is_64: bool,
    /// ELF's number of the processor.
    pub machine: u16,
    /// The family of processors; `None` for one whose libraries are not known here.
    pub family: Option<Machine>,
    /// The name that it is to be found by; without one it is its file's.
    pub soname: Option<String>,
    /// The kind of library, as ldconfig numbers them.
    pub flags: u32,
    /// The oldest kernel that its note names, as older versions of ldconfig pack it; zero for any.
    pub os_version: u32,
}

/// A library for glibc, and one of which nothing says so.
const LIBC6: u32 = 3;
const PLAIN: u32 = 1;

/// Most program headers and entries of the dynamic section that are looked at.
const COUNT_LIMIT: usize = 10_000;
/// Longest name, in bytes.
const NAME_LIMIT: usize = 4096;

/// Reads what ldconfig reads in a file; `None` for what it passes over: no shared object.
pub fn elf_facts(bytes: &[u8]) -> Option<ElfFacts> {
    let elf = Elf::new(bytes)?;
    let Names { soname, needed } = elf.names()?;
    let soname = match soname {
        Some(at) => Some(elf.text(at)?.to_owned()),
        None => None,
    };
    let libc = |at: &usize| matches!(elf.text(*at), Some("libc.so.6" | "libm.so.6"));
    let loader = || {
        let interpreter = elf.segments().find(|segment| segment.kind == 3);
        interpreter.is_some_and(|segment| elf.text(segment.offset) == Some("/lib/ld-linux.so.2"))
    };
    let plain = if needed.iter().any(libc) || loader() {
        LIBC6
    } else {
        PLAIN
    };
    let (family, flags) = elf.kind(plain).unzip();
    Some(ElfFacts {
        is_64: elf.is_64,
        machine: elf.machine,
        family,
        soname,
        flags: flags.unwrap_or(plain),
        os_version: elf.os_version(),
    })
}

/// Returns where the names lie that [`elf_facts`] reads: for whoever keeps only parts of a file, its segments for dynamic
/// linking among them. Nothing for what is no shared object.
pub fn name_places(bytes: &[u8]) -> Vec<Range<usize>> {
    let names = Elf::new(bytes).and_then(|elf| elf.names());
    let places = names
        .into_iter()
        .flat_map(|names| names.soname.into_iter().chain(names.needed));
    places
        .map(|at| at..at.saturating_add(NAME_LIMIT).min(bytes.len()))
        .filter(|place| !place.is_empty())
        .collect()
}

/// Finds what an ldconfig program writes about itself into the caches that it makes.
pub fn generator(program: &[u8]) -> Option<&str> {
    const START: &[u8] = b"ldconfig ";
    program
        .windows(START.len())
        .enumerate()
        .filter(|(_, window)| *window == START)
        .find_map(|(at, _)| {
            let rest = program[at..].get(..200).unwrap_or(&program[at..]);
            let end = rest.iter().position(|&b| b == 0)?;
            let text = std::str::from_utf8(&rest[..end]).ok()?;
            text.contains(" release version ").then_some(text)
        })
}

/// Where in the file names begin.
struct Names {
    soname: Option<usize>,
    /// Those of the libraries that it wants.
    needed: Vec<usize>,
}

struct Segment {
    kind: usize,
    offset: usize,
    address: usize,
    size: usize,
}

struct Elf<'a> {
    bytes: &'a [u8],
    is_64: bool,
    big_endian: bool,
    machine: u16,
}

impl<'a> Elf<'a> {
    /// Reads the header; `None` for what is no shared object.
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let [0x7f, b'E', b'L', b'F', class @ (1 | 2), order @ (1 | 2), ..] = bytes else {
            return None;
        };
        let mut elf = Self {
            bytes,
            is_64: *class == 2,
            big_endian: *order == 2,
            machine: 0,
        };
        elf.machine = u16::try_from(elf.number(18, 2)?).ok()?;
        (elf.number(16, 2)? == 3).then_some(elf)
    }

    /// Reads the dynamic section.
    fn names(&self) -> Option<Names> {
        let dynamic = self.segments().find(|segment| segment.kind == 2)?;
        let (mut table, mut soname, mut needed) = (None, None, Vec::new());
        let word = self.word();
        for at in (0..dynamic.size).step_by(2 * word).take(COUNT_LIMIT) {
            let (tag, value) = (
                self.address(dynamic.offset + at)?,
                self.address(dynamic.offset + at + word)?,
            );
            match tag {
                0 => break,
                1 => needed.push(value),
                5 => table = Some(value),
                14 => soname = Some(value),
                _ => {}
            }
        }
        let table = self.offset_of(table?)?;
        let at = |value: usize| table.checked_add(value);
        Some(Names {
            soname: match soname {
                Some(value) => Some(at(value)?),
                None => None,
            },
            needed: needed.into_iter().filter_map(at).collect(),
        })
    }

    fn number(&self, at: usize, length: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..)?.get(..length)?;
        let add = |sum: u64, &byte: &u8| sum << 8 | u64::from(byte);
        Some(if self.big_endian {
            bytes.iter().fold(0, add)
        } else {
            bytes.iter().rev().fold(0, add)
        })
    }

    /// A number as large as an address.
    fn address(&self, at: usize) -> Option<usize> {
        usize::try_from(self.number(at, self.word())?).ok()
    }

    fn word(&self) -> usize {
        if self.is_64 { 8 } else { 4 }
    }

    fn small(&self, at: usize) -> Option<usize> {
        usize::try_from(self.number(at, 4)?).ok()
    }

    fn text(&self, at: usize) -> Option<&'a str> {
        let rest = self.bytes.get(at..)?;
        let end = rest.iter().take(NAME_LIMIT).position(|&b| b == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    }

    fn segments(&self) -> impl Iterator<Item = Segment> {
        let (start, size, count) = if self.is_64 {
            (self.address(32), 54, 56)
        } else {
            (self.address(28), 42, 44)
        };
        let field = |at| self.number(at, 2).and_then(|n| usize::try_from(n).ok());
        let (size, count) = (field(size).unwrap_or(0), field(count).unwrap_or(0));
        (0..count.min(COUNT_LIMIT)).map_while(move |index| {
            let at = start?.checked_add(size.checked_mul(index)?)?;
            let [offset, address, length] = if self.is_64 { [8, 16, 32] } else { [4, 8, 16] };
            let part = |offset| self.address(at.checked_add(offset)?);
            let segment = Segment {
                kind: self.small(at)?,
                offset: part(offset)?,
                address: part(address)?,
                size: part(length)?,
            };
            // What does not lie in the file is not read.
            let end = segment.offset.checked_add(segment.size)?;
            Some(if end <= self.bytes.len() {
                segment
            } else {
                Segment { kind: 0, ..segment }
            })
        })
    }

    /// Where in the file something lies that has an address when loaded.
    fn offset_of(&self, address: usize) -> Option<usize> {
        self.segments()
            .filter(|segment| segment.kind == 1)
            .find_map(|segment| {
                let within = address.checked_sub(segment.address)?;
                (within < segment.size).then(|| segment.offset + within)
            })
    }

    /// Family and kind, with what is said where only names tell a library for glibc.
    fn kind(&self, plain: u32) -> Option<(Machine, u32)> {
        let flags = self.number(if self.is_64 { 48 } else { 36 }, 4)?;
        Some(match (self.machine, self.is_64) {
            (3, false) => (Machine::X86, plain),
            (62, true) => (Machine::X86, 0x300 | LIBC6),
            (62, false) => (Machine::X86, 0x800 | LIBC6),
            (183, true) => (Machine::Arm, 0xa00 | LIBC6),
            (40, false) => (
                Machine::Arm,
                match flags {
                    _ if flags >> 24 != 5 => plain,
                    _ if flags & 0x400 != 0 => 0x900 | LIBC6,
                    _ if flags & 0x200 != 0 => 0xb00 | LIBC6,
                    _ => plain,
                },
            ),
            (22, true) => (Machine::S390, 0x400 | LIBC6),
            (22, false) => (Machine::S390, plain),
            (21, true) => (Machine::PowerPc, 0x500 | LIBC6),
            (243, true) if flags & 6 == 4 => (Machine::RiscV, 0x1000 | LIBC6),
            (243, true) if flags & 6 == 0 => (Machine::RiscV, 0x0f00 | LIBC6),
            (258, true) if flags & 7 == 3 => (Machine::LoongArch, 0x1200 | LIBC6),
            (258, true) if flags & 7 == 1 => (Machine::LoongArch, 0x1100 | LIBC6),
            _ => return None,
        })
    }

    /// The oldest kernel, from the note that names it.
    fn os_version(&self) -> u32 {
        self.segments()
            .filter(|segment| segment.kind == 4 && segment.size >= 32)
            .find_map(|segment| self.note(&segment))
            .unwrap_or(0)
    }

    fn note(&self, segment: &Segment) -> Option<u32> {
        let end = segment.offset + segment.size;
        let mut at = segment.offset;
        while at + 32 <= end {
            let (name, length, kind) = (self.small(at)?, self.small(at + 4)?, self.small(at + 8)?);
            if name == 4 && kind == 1 && self.bytes.get(at + 12..at + 16)? == b"GNU\0" {
                let part = |index: usize| self.number(at + 16 + 4 * index, 4);
                let packed = part(0)? << 24
                    | (part(1)? & 0xff) << 16
                    | (part(2)? & 0xff) << 8
                    | (part(3)? & 0xff);
                return u32::try_from(packed & 0xffff_ffff).ok();
            }
            let padded = name.checked_next_multiple_of(4)?;
            at = at
                .checked_add(12)?
                .checked_add(padded)?
                .checked_add(length.checked_next_multiple_of(4)?)?;
        }
        None
    }
}
