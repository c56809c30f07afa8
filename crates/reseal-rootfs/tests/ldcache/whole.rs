//! Whole images: the cache made anew from every library is the one that ldconfig made.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use reseal_oci::layer::{EntryKind, LayerError, Meaning, decompress, visit};
use reseal_rootfs::ldcache::{Cache, Directories, ElfFacts, Found, Library, elf_facts, update};
use reseal_rootfs::{LayerFacts, NodeKind, Tree, wanted};

/// Images of one layer, compressed or not: a list of paths as in PATH. `integration/up.sh` makes them.
const IMAGES: &str = "RESEAL_IT_ROOTFS_TARS";

fn open(path: &PathBuf) -> Box<dyn std::io::Read> {
    decompress(File::open(path).unwrap()).unwrap()
}

/// The facts of every shared object in an image, by real path.
fn objects(path: &PathBuf) -> BTreeMap<String, ElfFacts> {
    let mut found = BTreeMap::new();
    visit(open(path), Meaning::Layer, &mut |member, contents| {
        if member.kind == EntryKind::File && member.path.contains(".so") {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(contents, &mut bytes).map_err(LayerError::Read)?;
            if let Some(facts) = elf_facts(&bytes) {
                found.insert(member.path.to_owned(), facts);
            }
        }
        Ok(())
    })
    .unwrap();
    found
}

#[test]
#[expect(clippy::print_stderr, reason = "says why nothing was checked")]
fn a_cache_made_anew_is_that_of_ldconfig() {
    let Some(images) = std::env::var_os(IMAGES) else {
        eprintln!("skipped: {IMAGES} names no images");
        return;
    };
    for image in std::env::split_paths(&images) {
        let facts = LayerFacts::from_layer(open(&image), &wanted()).unwrap();
        let tree = Tree::stack([facts]).unwrap();
        let bytes = tree.contents("etc/ld.so.cache").unwrap();
        let cache = Cache::parse(bytes).unwrap();
        let directories = Directories::read(&tree, &cache).unwrap();
        let objects = objects(&image);
        let mut added: Vec<Library> = Vec::new();
        for (path, node) in tree.below("") {
            let found = match node.kind {
                NodeKind::File => Found::File,
                NodeKind::Symlink => Found::Link,
                _ => continue,
            };
            let Some(target) = tree.real_followed(&path) else {
                continue;
            };
            if let Some(facts) = objects.get(&target) {
                added.extend(directories.library(&cache, &path, found, facts).unwrap());
            }
        }
        let removed: Vec<String> = cache
            .libraries()
            .iter()
            .map(|library| library.path.clone())
            .collect();
        let empty = update(&cache, &directories, &removed, &[]);
        assert_eq!(empty.libraries(), []);
        // An empty cache does not tell whether kernels are noted, so they come on top of the old ones.
        added.reverse();
        let again = update(&cache, &directories, &[], &added);
        assert_eq!(again.libraries(), cache.libraries(), "{}", image.display());
        assert_eq!(again.write(), bytes, "{}", image.display());
    }
}
