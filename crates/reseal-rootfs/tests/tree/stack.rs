//! Layers on top of each other.

use crate::layers::{Layer, listing, stack, tree};
use reseal_rootfs::{LayerFacts, NodeKind, Tree, wanted};

fn l() -> Layer {
    Layer::new()
}

#[test]
fn a_layer_says_what_is_at_every_path() {
    let tree = tree([l()
        .private("./")
        .dir("./usr/")
        .file("./usr/a", "abc")
        .symlink("lib", "usr")
        .hard("usr/b", "./usr/a")
        .fifo("p")
        .device("dev/null")
        .file("x/y/z", "")]);
    assert_eq!(
        listing(&tree),
        [
            "dev d",
            "dev/null c",
            "lib lusr",
            "p p",
            "usr d",
            "usr/a f3",
            "usr/b f3",
            "x d",
            "x/y d",
            "x/y/z f0",
        ]
    );
    assert_eq!(tree.node("").unwrap().mode, 0o700);
    let file = tree.node("usr/a").unwrap();
    assert_eq!((file.mode, file.mtime, file.md5), (0o644, 1000, None));
    assert_eq!(tree.node("x").unwrap().mode, 0o755);
}

#[test]
fn an_upper_layer_wins() {
    for (what, lower, upper, expected) in [
        (
            "a file",
            l().file("a", "1"),
            l().file("a", "22"),
            vec!["a f2"],
        ),
        (
            "a link",
            l().file("a", "1"),
            l().symlink("a", "b"),
            vec!["a lb"],
        ),
        (
            "a file for a directory",
            l().file("a/b", "1"),
            l().file("a", ""),
            vec!["a f0"],
        ),
        (
            "a link for a directory",
            l().file("a/b", "1"),
            l().symlink("a", "c"),
            vec!["a lc"],
        ),
        (
            "a directory for a file",
            l().file("a", "1"),
            l().dir("a"),
            vec!["a d"],
        ),
        (
            "a directory for a link",
            l().symlink("a", "b").file("b/c", ""),
            l().dir("a"),
            vec!["a d", "b d", "b/c f0"],
        ),
        (
            "a directory again",
            l().file("a/b", "1"),
            l().dir("a").file("a/c", ""),
            vec!["a d", "a/b f1", "a/c f0"],
        ),
        (
            "a whiteout",
            l().file("a/b", "1").file("a/c", ""),
            l().file("a/.wh.b", ""),
            vec!["a d", "a/c f0"],
        ),
        (
            "a directory's whiteout",
            l().file("a/b/c", "1"),
            l().file("a/.wh.b", ""),
            vec!["a d"],
        ),
        (
            "a whiteout of a link",
            l().symlink("a", "b").file("b/c", ""),
            l().file(".wh.a", ""),
            vec!["b d", "b/c f0"],
        ),
        (
            "a whiteout of nothing",
            l().file("a", ""),
            l().file("x/.wh.b", "").file("a/.wh.c", ""),
            vec!["a f0"],
        ),
        (
            "an opaque directory",
            l().file("a/b/c", "1").file("d", ""),
            l().dir("a").file("a/.wh..wh..opq", "").file("a/n", ""),
            vec!["a d", "a/n f0", "d f0"],
        ),
        (
            "an opaque root",
            l().file("a/b", "1"),
            l().file(".wh..wh..opq", "").file("n", ""),
            vec!["n f0"],
        ),
        (
            "old bookkeeping",
            l().file("a", ""),
            l().dir(".wh..wh.plnk").file(".wh..wh.aufs", ""),
            vec!["a f0"],
        ),
    ] {
        assert_eq!(listing(&tree([lower, upper])), expected, "{what}");
    }
}

#[test]
fn a_layer_hides_nothing_of_its_own() {
    for (what, upper) in [
        ("whiteout first", l().file("a/.wh.b", "").file("a/b/n", "")),
        ("whiteout last", l().file("a/b/n", "").file("a/.wh.b", "")),
        (
            "listed",
            l().dir("a/b").file("a/b/n", "").file("a/.wh.b", ""),
        ),
        (
            "opaque first",
            l().file("a/b/.wh..wh..opq", "").file("a/b/n", ""),
        ),
        (
            "opaque last",
            l().file("a/b/n", "").file("a/.wh..wh..opq", ""),
        ),
    ] {
        let tree = tree([l().file("a/b/o", "1").file("a/b/p/q", ""), upper]);
        assert_eq!(listing(&tree), ["a d", "a/b d", "a/b/n f0"], "{what}");
    }
}

#[test]
fn the_last_of_several_entries_of_a_path_counts() {
    let tree = tree([l()
        .file("a", "1")
        .file("a", "22")
        .file("d/x", "")
        .symlink("d", "a")
        .file("e", "")
        .dir("e")
        .file("e/f", "333")]);
    assert_eq!(listing(&tree), ["a f2", "d la", "e d", "e/f f3"]);
}

#[test]
fn entries_go_where_links_above_them_lead() {
    let base = || {
        l().dir("usr/lib")
            .symlink("lib", "usr/lib")
            .symlink("run", "/var/run/./x")
    };
    let tree = tree([
        base(),
        l().file("lib/a", "1")
            .file("run/b", "")
            .file("lib/.wh.gone", ""),
        l().hard("c", "lib/a").file("lib/.wh.a", ""),
    ]);
    assert_eq!(
        listing(&tree),
        [
            "c f1",
            "lib lusr/lib",
            "run l/var/run/./x",
            "usr d",
            "usr/lib d",
            "var d",
            "var/run d",
            "var/run/x d",
            "var/run/x/b f0",
        ]
    );
}

#[test]
fn what_no_runtime_can_unpack_is_refused() {
    for (expected, layers) in [
        (
            "the layer's `a/b` cannot be unpacked: it lies below what is no directory",
            [l().file("a", ""), l().file("a/b", "")],
        ),
        (
            "the layer's `a/b/c` cannot be unpacked: it lies below what is no directory",
            [l().file("x", "").symlink("a", "x"), l().file("a/b/c", "")],
        ),
        (
            "the layer's `a/b` cannot be unpacked: it lies behind a ring of links",
            [l().symlink("a", "c").symlink("c", "a"), l().file("a/b", "")],
        ),
        (
            "the layer's `a` cannot be unpacked: it is a hard link to nothing",
            [l(), l().hard("a", "b")],
        ),
        (
            "the layer's `a` cannot be unpacked: it is a hard link to a directory",
            [l().dir("b"), l().hard("a", "b")],
        ),
        (
            "the layer's `/` cannot be unpacked: the root is no directory",
            [l(), l().symlink("./", "x")],
        ),
    ] {
        assert_eq!(stack(layers).unwrap_err().to_string(), expected);
    }
}

#[test]
fn wanted_contents_follow_the_layers() {
    let status = "var/lib/dpkg/status";
    let tree = tree([
        l().file(status, "old")
            .file("etc/apt/sources.list", "s")
            .file("var/lib/dpkg/info/a.list", "a")
            .file("usr/lib/os-release", "os")
            .symlink("etc/os-release", "../usr/lib/os-release")
            .file("other", "x"),
        l().file(status, "new")
            .file("etc/apt/.wh.sources.list", "")
            .hard("var/lib/dpkg/info/b.list", "var/lib/dpkg/info/a.list"),
    ]);
    assert_eq!(tree.contents(status), Some(&b"new"[..]));
    assert_eq!(tree.contents("etc/os-release"), Some(&b"os"[..]));
    assert_eq!(tree.contents("etc/apt/sources.list"), None);
    assert_eq!(tree.contents("other"), None);
    let lists: Vec<_> = tree.paths_with_contents("var/lib/dpkg/info/").collect();
    assert_eq!(
        lists,
        [
            ("var/lib/dpkg/info/a.list", &b"a"[..]),
            ("var/lib/dpkg/info/b.list", b"a")
        ]
    );
}

#[test]
fn contents_are_kept_by_the_path_without_links() {
    let tree = tree([l()
        .symlink("var/lib", "data")
        .file("var/data/dpkg/status", "")
        .file("var/lib/dpkg/status", "x")]);
    assert_eq!(tree.contents("var/lib/dpkg/status"), Some(&b"x"[..]));
    let paths: Vec<_> = tree.paths_with_contents("").map(|(path, _)| path).collect();
    assert_eq!(paths, ["var/data/dpkg/status"]);
}

#[test]
fn a_wanted_file_that_is_another_name_of_an_unread_one_is_an_error() {
    let layers = || [l().file("data", "x").hard("var/lib/dpkg/status", "data")];
    assert_eq!(
        stack(layers()).unwrap_err().to_string(),
        "could not read `var/lib/dpkg/status`: it is a hard link to `data`, which was not read"
    );
    let [lower] = layers();
    let upper = l().file("var/lib/dpkg/status", "y");
    assert_eq!(
        tree([lower, upper]).contents("var/lib/dpkg/status"),
        Some(&b"y"[..])
    );
}

#[test]
fn certificates_are_read_where_they_are_no_larger_than_any() {
    let large = "x".repeat((1 << 20) + 1);
    let tree = tree([l()
        .file("etc/ssl/certs/a.pem", "a")
        .file("usr/share/ca-certificates/b.crt", &large)
        .file("srv/c.crt", "c")
        .hard("usr/local/share/ca-certificates/c.crt", "srv/c.crt")
        .hard("srv/a", "etc/ssl/certs/a.pem")]);
    assert_eq!(tree.contents("etc/ssl/certs/a.pem"), Some(&b"a"[..]));
    assert_eq!(tree.contents("usr/share/ca-certificates/b.crt"), None);
    assert_eq!(tree.contents("usr/local/share/ca-certificates/c.crt"), None);
}

#[test]
fn configuration_has_its_digest() {
    // md5sum of "abc".
    let digest = [
        0x90, 0x01, 0x50, 0x98, 0x3c, 0xd2, 0x4f, 0xb0, 0xd6, 0x96, 0x3f, 0x7d, 0x28, 0xe1, 0x7f,
        0x72,
    ];
    let tree = tree([l()
        .file("etc/a", "abc")
        .hard("etc/b", "etc/a")
        .hard("c", "etc/a")
        .file("usr/a", "abc")]);
    for (path, expected) in [
        ("etc/a", Some(digest)),
        ("etc/b", Some(digest)),
        ("c", Some(digest)),
        ("usr/a", None),
    ] {
        assert_eq!(tree.node(path).unwrap().md5, expected, "{path}");
    }
}

#[test]
fn lookups_follow_links_as_the_kernel_does() {
    let tree = tree([l()
        .file("usr/lib/x/f", "")
        .symlink("lib", "usr/lib")
        .symlink("usr/lib/up", "../../../..")
        .symlink("usr/lib/self", "./x/../x")
        .symlink("abs", "/usr/lib/x")
        .symlink("last", "lib/x/f")
        .symlink("ring", "ring2/a")
        .symlink("ring2", "ring")
        .symlink("nothing", "usr/nothing")]);
    for (path, real, kind) in [
        ("lib/x/f", Some("usr/lib/x/f"), Some(NodeKind::File)),
        ("lib", Some("lib"), Some(NodeKind::Symlink)),
        ("lib/up/lib/x", Some("usr/lib/x"), None),
        ("lib/self/f", Some("usr/lib/x/f"), Some(NodeKind::File)),
        ("abs/f", Some("usr/lib/x/f"), Some(NodeKind::File)),
        ("last", Some("last"), Some(NodeKind::Symlink)),
        ("last/f", None, None),
        ("usr/lib/x/f/g", None, None),
        ("ring/a", None, None),
        ("nothing", Some("nothing"), Some(NodeKind::Symlink)),
        ("nothing/a", None, None),
        ("lib/new/dir/file", Some("usr/lib/new/dir/file"), None),
        ("", Some(""), Some(NodeKind::Dir)),
        ("/usr", None, None),
        ("usr/", None, None),
        ("usr/./lib", None, None),
        ("usr/../usr", None, None),
    ] {
        assert_eq!(tree.real(path).as_deref(), real, "{path}");
        if path != "lib/up/lib/x" {
            assert_eq!(tree.node(path).map(|node| node.kind), kind, "{path}");
        }
    }
    assert_eq!(tree.followed("last").unwrap().kind, NodeKind::File);
    assert_eq!(tree.real_followed("last").as_deref(), Some("usr/lib/x/f"));
    assert_eq!(tree.real_followed("nothing"), None);
    let names: Vec<_> = tree.children("lib").map(|(name, _)| name).collect();
    assert_eq!(names, ["self", "up", "x"]);
    assert_eq!(tree.children("last").count(), 0);
    assert_eq!(tree.children("none").count(), 0);
}

#[test]
fn facts_can_be_stored() {
    let facts = l()
        .file("etc/dpkg/x", "abc")
        .symlink("é", "ü")
        .file("a/.wh.b", "")
        .facts();
    let read = LayerFacts::from_bytes(facts.as_bytes().to_vec()).unwrap();
    assert_eq!(read, facts);
    let tree = Tree::stack([read]).unwrap();
    assert_eq!(tree.contents("etc/dpkg/x"), Some(&b"abc"[..]));
    assert_eq!(
        LayerFacts::from_bytes(b"x".to_vec())
            .unwrap_err()
            .to_string(),
        "the stored facts of a layer are malformed: they are of another version"
    );
}

#[test]
fn a_wanted_file_larger_than_its_limit_is_refused() {
    let mut wanted = wanted();
    wanted.limit = 3;
    let tar = l().file("etc/passwd", "1234").tar();
    let error = LayerFacts::from_layer(&tar[..], &wanted).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`etc/passwd` in the layer has 4 bytes, more than the 3 that are read"
    );
}
