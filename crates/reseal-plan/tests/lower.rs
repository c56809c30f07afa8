//! Plans → LLB: the same bytes every time, and nothing from outside in a command.

use reseal_oci::Digest;
use reseal_plan::{
    Base, Mode, Planned, PlatformPlan, Surroundings, configure, configure_capabilities, patch,
    required_capabilities,
};

fn plan(mode: Mode, names: &[(&str, &str)]) -> PlatformPlan {
    PlatformPlan {
        platform: "linux/arm64/v8".parse().expect("a platform"),
        source_digest: Digest::of(b"image"),
        distribution: "debian 12".into(),
        mode,
        packages: names
            .iter()
            .map(|(name, architecture)| Planned {
                name: (*name).into(),
                architecture: (*architecture).into(),
                from: "1".into(),
                source: (*name).into(),
                source_from: "1".into(),
                at_least: Some("2".into()),
                closes: vec!["CVE-1".into()],
            })
            .collect(),
        held: Vec::new(),
        findings: Vec::new(),
    }
}

fn base() -> Base {
    Base::Registry(format!(
        "registry.example/shop/cart@{}",
        Digest::of(b"image")
    ))
}

fn encode(plan: &PlatformPlan, surroundings: &Surroundings) -> Vec<u8> {
    patch(plan, &base(), surroundings)
        .expect("the plan is not empty")
        .encode()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[test]
fn the_same_plan_gives_the_same_bytes_and_another_freshness_other_ones() {
    let plan = plan(Mode::Report, &[("libssl3", "arm64")]);
    let now = Surroundings {
        freshness: "hour-1".into(),
        proxy: None,
    };
    assert_eq!(encode(&plan, &now), encode(&plan, &now));
    let later = Surroundings {
        freshness: "hour-2".into(),
        proxy: None,
    };
    assert_ne!(encode(&plan, &now), encode(&plan, &later));
}

#[test]
fn names_travel_in_a_file_and_carry_their_architecture() {
    let bytes = encode(
        &plan(Mode::Report, &[("libssl3", "arm64"), ("odd-", "all")]),
        &Surroundings::default(),
    );
    assert!(
        contains(&bytes, "libssl3:arm64\nodd-:all\n"),
        "one name a line"
    );
    assert!(contains(&bytes, "/run/reseal/in/apt.sh"));
    assert!(
        !contains(&bytes, " libssl3"),
        "no name is part of a command"
    );
}

#[test]
fn an_empty_plan_lowers_to_nothing_and_update_all_does_not() {
    assert!(patch(&plan(Mode::Report, &[]), &base(), &Surroundings::default()).is_none());
    assert!(patch(&plan(Mode::All, &[]), &base(), &Surroundings::default()).is_some());
}

#[test]
fn freshness_never_goes_by_ignoring_the_cache() {
    // ignore_cache would wipe the cache mounts with the package indexes.
    let definition =
        patch(&plan(Mode::All, &[]), &base(), &Surroundings::default()).expect("not empty");
    assert!(
        definition
            .metadata
            .values()
            .all(|metadata| !metadata.ignore_cache)
    );
}

#[test]
fn the_daemon_needs_diffs_cache_mounts_and_tmpfs_but_no_merge() {
    let needed = required_capabilities();
    for capability in [
        "diffop",
        "exec.mount.cache",
        "exec.mount.tmpfs",
        "file.base",
        "source.image",
    ] {
        assert!(needed.contains(capability), "{capability} in {needed:?}");
    }
    assert!(!needed.contains("mergeop"), "{needed:?}");
}

#[test]
fn configuring_lays_the_packages_over_the_image_and_runs_nothing_but_dpkg() {
    let laid = Base::Session {
        reference: format!("local/source@{}", Digest::of(b"laid")),
        session: "the-session".into(),
        store: "source".into(),
    };
    let platform = "linux/arm64/v8".parse().expect("a platform");
    let graph = || configure(&platform, &base(), &laid, None).expect("two images");
    let bytes = graph().encode();
    assert_eq!(bytes, graph().encode());
    for text in [
        "docker-image://registry.example/shop/cart@sha256:",
        "oci-layout://local/source@sha256:",
        "/run/reseal/in/configure.sh",
        "--configure --pending",
    ] {
        assert!(contains(&bytes, text), "{text}");
    }
    assert!(!contains(&bytes, "apt-get"));
    let needed = configure_capabilities();
    for capability in ["mergeop", "diffop", "source.ocilayout", "exec.meta.base"] {
        assert!(needed.contains(capability), "{capability} in {needed:?}");
    }
}
