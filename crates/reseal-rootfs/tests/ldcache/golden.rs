//! Caches that ldconfig made, in roots of Debian and after changes to them.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use reseal_rootfs::ldcache::{
    Cache, Changed, Content, Directories, ElfFacts, Found, LdCacheError, Library, Machine,
    generator, refresh, update,
};
use reseal_rootfs::{LayerFacts, Tree, wanted};

fn golden() -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ldcache");
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect()
}

fn cache(name: &str) -> Cache {
    Cache::parse(&golden()[name]).unwrap()
}

/// A root with merged directories and Debian's configuration.
fn root(conf: &[(&str, &str)]) -> Tree {
    let conf: Vec<_> = conf
        .iter()
        .map(|(path, text)| (*path, text.as_bytes()))
        .collect();
    files(&conf)
}

fn files(files: &[(&str, &[u8])]) -> Tree {
    let mut tar = tar::Builder::new(Vec::new());
    let mut entry = |kind, path: &str, link: &str, data: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        if link.is_empty() {
            tar.append_data(&mut header, path, data).unwrap();
        } else {
            tar.append_link(&mut header, path, link).unwrap();
        }
    };
    entry(
        tar::EntryType::Directory,
        "usr/lib/x86_64-linux-gnu",
        "",
        b"",
    );
    entry(tar::EntryType::Symlink, "lib", "usr/lib", b"");
    for (path, data) in files {
        entry(tar::EntryType::Regular, path, "", data);
    }
    let facts = LayerFacts::from_layer(&tar.into_inner().unwrap()[..], &wanted()).unwrap();
    Tree::stack([facts]).unwrap()
}

const DEBIAN: &[(&str, &str)] = &[
    ("etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n\n"),
    (
        "etc/ld.so.conf.d/libc.conf",
        "# libc default configuration\n/usr/local/lib\n",
    ),
    (
        "etc/ld.so.conf.d/x86_64-linux-gnu.conf",
        "# Multiarch support\n/usr/local/lib/x86_64-linux-gnu\n/lib/x86_64-linux-gnu\n/usr/lib/x86_64-linux-gnu\n",
    ),
    ("etc/ld.so.conf.d/ignored.txt", "/nowhere\n"),
];

fn facts(soname: &str) -> ElfFacts {
    ElfFacts {
        is_64: true,
        machine: 62,
        family: Some(Machine::X86),
        soname: Some(soname.to_owned()),
        flags: 0x303,
        // Only older versions of ldconfig write it down.
        os_version: 0x30200,
    }
}

const MULTIARCH: &str = "usr/lib/x86_64-linux-gnu";

/// What packages brought: the path, and the name in the object that is there.
fn libraries(
    cache: &Cache,
    directories: &Directories,
    paths: &[(&str, Found, &str)],
) -> Vec<Library> {
    paths
        .iter()
        .filter_map(|(path, found, soname)| {
            directories
                .library(cache, path, *found, &facts(soname))
                .unwrap()
        })
        .collect()
}

#[test]
fn real_caches_are_written_again_byte_for_byte() {
    let golden = golden();
    assert!(golden.len() >= 14);
    for (name, bytes) in golden {
        let cache = Cache::parse(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(cache.write() == bytes, "{name}");
        let machine = if name.contains("arm64") {
            Machine::Arm
        } else {
            Machine::X86
        };
        assert_eq!(cache.machine(), Some(machine), "{name}");
        assert_eq!(
            cache.generator().is_none(),
            name.contains("bullseye"),
            "{name}"
        );
    }
    let cache = cache("bookworm-amd64");
    assert_eq!(
        cache.generator(),
        Some("ldconfig (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36")
    );
    assert_eq!(cache.libraries().len(), 75);
    let hwcaps = self::cache("bookworm-amd64-hwcaps");
    assert_eq!(hwcaps.libraries()[1].hwcaps.as_deref(), Some("x86-64-v2"));
}

#[test]
fn packages_come_and_go_as_ldconfig_has_it() {
    let tree = root(DEBIAN);
    let base = cache("bookworm-amd64");
    let directories = Directories::read(&tree, &base).unwrap();
    let at = |name: &str| format!("{MULTIARCH}/{name}");
    let paths = [
        (at("libpopt.so.0.0.2"), Found::File, "libpopt.so.0"),
        (at("libpopt.so.0"), Found::Link, "libpopt.so.0"),
        (at("libyaml-0.so.2"), Found::Link, "libyaml-0.so.2"),
        (at("libyaml-0.so.2.0.9"), Found::File, "libyaml-0.so.2"),
        // A link by which nothing is found: its name is not how the library's begins.
        (at("libyaml.so"), Found::Link, "libyaml-0.so.2"),
        (at("libz.so"), Found::Link, "libz.so.1"),
        // These are none.
        (at("libyaml.a"), Found::File, "libyaml.a"),
        (at("perl5/libx.so"), Found::File, "libx.so"),
        ("usr/share/libx.so".to_owned(), Found::File, "libx.so"),
        ("libx.so".to_owned(), Found::File, "libx.so"),
    ];
    let paths: Vec<_> = paths
        .iter()
        .map(|(path, found, soname)| (path.as_str(), *found, *soname))
        .collect();
    let added = libraries(&base, &directories, &paths);
    let next = update(&base, &directories, &[], &added);
    assert!(
        next.write() == golden()["bookworm-amd64-added"],
        "{next:#?}"
    );
    // Once more changes nothing.
    assert_eq!(update(&next, &directories, &[], &added), next);

    let gone =
        ["libxxhash.so.0", "libpopt.so.0"].map(|name| format!("/lib/x86_64-linux-gnu/{name}"));
    let less = update(&next, &directories, &gone, &[]);
    assert!(less.write() == golden()["bookworm-amd64-removed"]);
    // And back.
    let all: Vec<Library> = next
        .libraries()
        .iter()
        .filter(|library| gone.contains(&library.path))
        .cloned()
        .collect();
    assert_eq!(update(&less, &directories, &[], &all), next);

    let thrice = libraries(
        &less,
        &directories,
        &[
            ("usr/lib/libz.so.1.2.13", Found::File, "libz.so.1"),
            (
                "usr/local/lib/x86_64-linux-gnu/libz.so.1",
                Found::File,
                "libz.so.1",
            ),
            ("usr/local/lib/libz.so.1", Found::File, "libz.so.1"),
            ("usr/lib/libz.so.1", Found::Link, "libz.so.1"),
        ],
    );
    let more = update(&less, &directories, &[], &thrice);
    assert!(more.write() == golden()["bookworm-amd64-thrice"]);
}

/// Debian's configuration with the cache of bookworm.
fn bookworm() -> Tree {
    let golden = golden();
    let conf = DEBIAN.iter().map(|(path, text)| (*path, text.as_bytes()));
    let cache = ("etc/ld.so.cache", golden["bookworm-amd64"].as_slice());
    files(&conf.chain([cache]).collect::<Vec<_>>())
}

#[test]
fn an_upgrade_gives_the_cache_that_ldconfig_gives() {
    let [popt, yaml, zlib] = ["libpopt.so.0", "libyaml-0.so.2", "libz.so.1"].map(facts);
    let change = |path, found, content| Changed {
        path,
        found,
        content,
    };
    let changed = [
        change(
            "usr/lib/x86_64-linux-gnu/libpopt.so.0",
            Found::Link,
            Content::Object(&popt),
        ),
        change(
            "usr/lib/x86_64-linux-gnu/libpopt.so.0.0.2",
            Found::File,
            Content::Object(&popt),
        ),
        change(
            "usr/lib/x86_64-linux-gnu/libyaml-0.so.2",
            Found::Link,
            Content::Object(&yaml),
        ),
        change(
            "usr/lib/x86_64-linux-gnu/libz.so",
            Found::Link,
            Content::Object(&zlib),
        ),
        change(
            "usr/lib/x86_64-linux-gnu/libtext.so",
            Found::File,
            Content::Other,
        ),
        change("usr/bin/z", Found::Link, Content::Unknown),
    ];
    let tree = bookworm();
    let all = |_: &str| true;
    assert!(
        refresh(&tree, changed.clone(), &all, None).unwrap() == golden()["bookworm-amd64-added"]
    );
    let without = |path: &str| !path.contains("libxxhash") && !path.contains("libpopt");
    let less = refresh(&tree, changed[2..].to_vec(), &without, None).unwrap();
    assert!(less == golden()["bookworm-amd64-removed"]);

    let same = refresh(&tree, [], &all, Some("ldconfig (new) release version 3")).unwrap();
    assert_eq!(
        Cache::parse(&same).unwrap().generator(),
        Some("ldconfig (new) release version 3")
    );
    // What was a library and is none any more.
    let other = change(
        "usr/lib/x86_64-linux-gnu/libz.so.1",
        Found::File,
        Content::Other,
    );
    let next = Cache::parse(&refresh(&tree, [other], &all, None).unwrap()).unwrap();
    assert!(
        !next
            .libraries()
            .iter()
            .any(|library| library.soname == "libz.so.1")
    );
}

#[test]
fn what_only_ldconfig_can_tell_is_refused() {
    let popt = facts("libpopt.so.0");
    let refused = |content, without: &str| {
        let changed = Changed {
            path: "usr/lib/x86_64-linux-gnu/libpopt.so.0.0.2",
            found: Found::Link,
            content,
        };
        refresh(&bookworm(), [changed], &|path| path != without, None)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused(Content::Unknown, ""),
        "could not tell how the linker's cache names `usr/lib/x86_64-linux-gnu/libpopt.so.0.0.2`: what it leads to was not read"
    );
    assert_eq!(
        refused(Content::Object(&popt), "lib/x86_64-linux-gnu/libpopt.so.0"),
        "the library's own name `lib/x86_64-linux-gnu/libpopt.so.0` is missing, and only ldconfig makes it"
    );
    assert_eq!(
        refresh(&root(DEBIAN), [], &|_| true, None)
            .unwrap_err()
            .to_string(),
        "the linker's cache `etc/ld.so.cache` is of an unknown form: there is none"
    );
}

#[test]
fn a_library_for_particular_processors_is_refused() {
    let base = cache("bookworm-amd64");
    let directories = Directories::read(&root(DEBIAN), &base).unwrap();
    for path in [
        "glibc-hwcaps/x86-64-v3/libz.so.1",
        "haswell/libz.so.1",
        "tls/x86_64/libz.so.1",
    ] {
        let path = format!("{MULTIARCH}/{path}");
        let refused = directories.library(&base, &path, Found::File, &facts("libz.so.1"));
        assert_eq!(refused, Err(LdCacheError::Capabilities { path }));
    }
    let foreign = ElfFacts {
        family: Some(Machine::Arm),
        ..facts("libz.so.1")
    };
    let path = format!("{MULTIARCH}/libz.so.1");
    assert!(
        directories
            .library(&base, &path, Found::File, &foreign)
            .is_err()
    );
}

#[test]
fn a_library_without_a_name_has_its_files() {
    let base = cache("bookworm-amd64");
    let directories = Directories::read(&root(DEBIAN), &base).unwrap();
    let nameless = ElfFacts {
        soname: None,
        ..facts("")
    };
    let path = format!("{MULTIARCH}/libplugin.so.3.1");
    let library = directories
        .library(&base, &path, Found::File, &nameless)
        .unwrap()
        .unwrap();
    assert_eq!(library.soname, "libplugin.so.3.1");
    assert_eq!(library.path, "/lib/x86_64-linux-gnu/libplugin.so.3.1");
}

#[test]
fn only_caches_that_note_kernels_get_them() {
    let tree = root(DEBIAN);
    for (name, expected) in [("bullseye-amd64", 0x30200), ("bookworm-amd64", 0)] {
        let base = cache(name);
        let directories = Directories::read(&tree, &base).unwrap();
        let path = format!("{MULTIARCH}/libnew.so.1");
        let added = libraries(&base, &directories, &[(&path, Found::File, "libnew.so.1")]);
        let next = update(&base, &directories, &[], &added);
        let new = next
            .libraries()
            .iter()
            .find(|library| library.soname == "libnew.so.1");
        assert_eq!(new.unwrap().os_version, expected, "{name}");
    }
}

#[test]
fn configuration_that_is_not_understood_is_refused() {
    let base = cache("bookworm-amd64");
    for (text, expected) in [
        ("lib\n", "a path is not absolute"),
        ("/opt/lib=libc5\n", "a line has a kind of library"),
        (
            "include /etc/*/x.conf\n",
            "it includes files by a pattern of an unknown form",
        ),
        ("include ld.so.conf\n", "its files include each other"),
        ("include /opt/x.conf\n", "it was not read"),
    ] {
        let tree = root(&[("etc/ld.so.conf", text), ("opt/x.conf", "/opt\n")]);
        let error = Directories::read(&tree, &base).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
    for text in [
        "",
        "# nothing\n",
        "hwcap 1 x\n",
        "/opt/lib # with a comment\n",
        "include ld.so.conf.d/*\n",
        "\t/opt/x/ \n",
    ] {
        let tree = root(&[("etc/ld.so.conf", text)]);
        assert!(Directories::read(&tree, &base).is_ok(), "{text}");
    }
}

#[test]
fn the_configuration_tells_where_libraries_are() {
    let base = cache("bookworm-amd64");
    let before = Directories::read(&root(DEBIAN), &base).unwrap();
    let more = [DEBIAN, &[("etc/ld.so.conf.d/more.conf", "/opt/lib/\n")]].concat();
    let after = Directories::read(&root(&more), &base).unwrap();
    assert_ne!(before, after);
    let library = after.library(&base, "opt/lib/libx.so", Found::File, &facts("libx.so"));
    assert_eq!(library.unwrap().unwrap().path, "/opt/lib/libx.so");
}

#[test]
fn the_program_says_what_it_writes() {
    let text = "ldconfig (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36";
    let program = [
        b"\x7fELF\0ldconfig %s\0usage: ldconfig \0",
        text.as_bytes(),
        b"\0rest",
    ]
    .concat();
    assert_eq!(generator(&program), Some(text));
    assert_eq!(generator(b"ldconfig of old\0"), None);
    assert_eq!(generator(text.as_bytes()), None);
    let mut cache = cache("bookworm-amd64");
    cache.set_generator("ldconfig (Debian GLIBC 2.36-9+deb12u99) stable release version 2.36");
    assert_eq!(Cache::parse(&cache.write()).unwrap(), cache);
    let mut old = self::cache("bullseye-amd64");
    old.set_generator(text);
    assert_eq!(old.generator(), None);
}

#[test]
fn what_would_not_be_written_again_is_refused() {
    let bytes = golden()["bookworm-amd64"].clone();
    for (what, broken) in [
        ("nothing", Vec::new()),
        ("text", b"ld.so.cache".to_vec()),
        ("cut", bytes[..bytes.len() - 1].to_vec()),
        ("more", [&bytes[..], b"\0"].concat()),
        (
            "another magic",
            [b"glibc-ld.so.cache2.0", &bytes[20..]].concat(),
        ),
        (
            "another count",
            [&bytes[..20], b"\xff\xff\xff\xff", &bytes[24..]].concat(),
        ),
        (
            "another order",
            [&bytes[..48], &bytes[72..96], &bytes[48..72], &bytes[96..]].concat(),
        ),
    ] {
        let error = Cache::parse(&broken).unwrap_err();
        assert!(matches!(error, LdCacheError::Form { .. }), "{what}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_cache_or_an_error(which in any::<prop::sample::Index>(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let golden = golden();
        let mut bytes = golden.values().nth(which.index(golden.len())).unwrap().clone();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(cache) = Cache::parse(&bytes) {
            prop_assert_eq!(cache.write(), bytes);
        }
    }
}
