//! References and locations, as tables.

use reseal_oci::{Location, OciError, PinnedRef, Reference, Repository, Tag};

const DIGEST: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

#[test]
fn short_names_become_full_ones() {
    for (given, full) in [
        ("debian", "docker.io/library/debian:latest"),
        ("debian:12", "docker.io/library/debian:12"),
        ("shop/cart", "docker.io/shop/cart:latest"),
        ("index.docker.io/debian", "docker.io/library/debian:latest"),
        ("docker.io/shop/cart:1.4", "docker.io/shop/cart:1.4"),
        ("localhost/cart", "localhost/cart:latest"),
        ("localhost:5000/cart", "localhost:5000/cart:latest"),
        ("Registry.Example/a/b/c:T_1", "registry.example/a/b/c:T_1"),
        ("[::1]:5000/cart:x", "[::1]:5000/cart:x"),
        ("[::1]/cart", "[::1]/cart:latest"),
        (
            "10.0.0.1:5000/a__b/c-d.e",
            "10.0.0.1:5000/a__b/c-d.e:latest",
        ),
    ] {
        let reference: Reference = given.parse().unwrap();
        assert_eq!(reference.to_string(), full, "{given}");
        assert_eq!(full.parse::<Reference>().unwrap(), reference, "{given}");
    }
}

#[test]
fn a_digest_needs_no_tag_and_may_stand_beside_one() {
    for given in [
        format!("registry.example/cart@{DIGEST}"),
        format!("registry.example:5000/cart:1@{DIGEST}"),
    ] {
        let reference: Reference = given.parse().unwrap();
        assert_eq!(reference.to_string(), given);
        let pinned: PinnedRef = given.parse().unwrap();
        assert_eq!(
            pinned.to_string(),
            format!("{}@{DIGEST}", reference.repository)
        );
    }
    assert!("registry.example/cart:1".parse::<PinnedRef>().is_err());
}

#[test]
fn malformed_references_are_refused() {
    for bad in [
        "https://registry.example/cart",
        "Cart",
        "shop/Cart",
        "/cart",
        "cart/",
        "a//b",
        "cart:",
        "cart:-x",
        "cart:a b",
        "cart@sha256:12",
        "a_-b",
        "a___b",
        "a..b",
        "-a",
        "a-",
        "registry.example:0/cart",
        "registry.example:70000/cart",
        "registry.example:x/cart",
        "registry..example/cart",
        "-x.example/cart",
        "[::g]/cart",
        "[::1]x/cart",
        "cart\n",
        "çart",
        "@",
        ":",
        "a:b:c",
    ] {
        assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
    }
    assert!(
        format!("{}/x", "a".repeat(300))
            .parse::<Reference>()
            .is_err()
    );
    assert_eq!(
        "".parse::<Reference>().unwrap_err(),
        OciError::EmptyReference
    );
    assert_eq!(
        OciError::EmptyReference.to_string(),
        "empty image reference"
    );
}

#[test]
fn a_password_in_a_reference_is_not_repeated() {
    let error = "user:hunter2@registry.example/cart"
        .parse::<Location>()
        .unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn only_this_machine_is_loopback() {
    for (host, expected) in [
        ("localhost", true),
        ("localhost:5000", true),
        ("127.0.0.1:5000", true),
        ("127.8.9.1", true),
        ("[::1]:5000", true),
        ("x.localhost", true),
        ("10.0.0.1", false),
        ("[::2]", false),
        ("localhost.example", false),
        ("127.0.0.1.example", false),
    ] {
        let repository: Repository = format!("{host}/x").parse().unwrap();
        assert_eq!(repository.is_loopback(), expected, "{host}");
    }
}

#[test]
fn tags_have_a_grammar() {
    for good in ["a", "_", "1.4-patched", &"x".repeat(128)] {
        assert_eq!(good.parse::<Tag>().unwrap().as_str(), good);
    }
    for bad in ["", ".a", "-a", "a/b", "a:b", "a b", "é", &"x".repeat(129)] {
        assert!(bad.parse::<Tag>().is_err(), "{bad}");
    }
}

#[test]
fn a_location_is_a_registry_or_a_layout() {
    for (given, path, tag, digest) in [
        ("oci:out".to_owned(), "out", None, false),
        ("oci:out:1.4".to_owned(), "out", Some("1.4"), false),
        (
            "oci:/srv/a:b/layout".to_owned(),
            "/srv/a:b/layout",
            None,
            false,
        ),
        ("oci:./out:1".to_owned(), "./out", Some("1"), false),
        (format!("oci:out@{DIGEST}"), "out", None, true),
        (format!("oci:out:1@{DIGEST}"), "out", Some("1"), true),
        ("oci:me@host/out".to_owned(), "me@host/out", None, false),
    ] {
        let location: Location = given.parse().unwrap();
        assert_eq!(location.to_string(), given);
        let Location::Layout {
            path: got,
            tag: got_tag,
            digest: got_digest,
        } = location
        else {
            panic!("{given} is a layout");
        };
        assert_eq!(got.to_str().unwrap(), path);
        assert_eq!(got_tag.as_ref().map(Tag::as_str), tag);
        assert_eq!(got_digest.is_some(), digest);
    }
    let registry: Location = "docker://debian".parse().unwrap();
    assert_eq!(registry, Location::Registry("debian".parse().unwrap()));
    for bad in [
        "oci:",
        "oci::1",
        "oci:out:",
        "oci:out@sha256:12",
        "docker-archive:x.tar",
        "",
        "docker://",
    ] {
        assert!(bad.parse::<Location>().is_err(), "{bad}");
    }
}
