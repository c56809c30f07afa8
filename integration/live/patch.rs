//! The main job, by the built binary on real servers, with other people's tools as judges.

use std::process::Command;

use serde_json::Value;

use super::site::{Site, digest, text};

/// The paths in a layer, as GNU tar lists them.
fn listing(site: &Site, repository: &str, layer: &str) -> Vec<String> {
    let blob = site.crane(&["blob", &format!("{repository}@{layer}")]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("layer");
    std::fs::write(&file, blob).expect("written");
    let output = Command::new("tar")
        .arg("tzf")
        .arg(&file)
        .output()
        .expect("tar starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

const FIXED: &str = "libssl1.1,libgnutls30,libsystemd0";

#[test]
fn a_report_is_carried_out_verified_and_tagged_last() {
    let Some(site) = Site::open() else { return };
    let image = site.get("IMAGE_BULLSEYE");
    let report = site.get("REPORT_BULLSEYE_AMD64");
    let result = Site::patched(
        &[image, "-r", report, "--package", FIXED, "-t", "live-report"],
        &site.new_daemon(),
    );
    assert_eq!(result["outcome"], "patched");
    let names: Vec<&str> = result["platforms"][0]["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .filter_map(|p| p["name"].as_str())
        .collect();
    assert_eq!(
        names,
        ["libgnutls30", "libssl1.1", "libsystemd0"],
        "exactly what was planned"
    );
    let repository = image.rsplit_once(':').expect("a tag").0;
    assert_eq!(
        text(&site.crane(&["digest", &format!("{repository}:live-report")])).trim(),
        digest(&result)
    );
    assert_eq!(
        text(&site.crane(&["digest", image])).trim(),
        site.get("DIGEST_BULLSEYE"),
        "the source never moves"
    );

    let pinned = format!("{repository}@{}", digest(&result));
    let verified = site.reseal(&["verify", &pinned, "-r", report, "--package", FIXED]);
    assert_eq!(
        verified.status.code(),
        Some(0),
        "{}",
        text(&verified.stderr)
    );
    let source = site.reseal(&["verify", image, "-r", report, "--package", FIXED]);
    assert_eq!(
        source.status.code(),
        Some(11),
        "the unpatched image does not verify"
    );
}

#[test]
fn the_layer_holds_the_packages_and_the_database_and_nothing_else() {
    let Some(site) = Site::open() else { return };
    let image = site.get("IMAGE_BULLSEYE");
    let result = Site::patched(&[image, "-t", "live-all"], &site.new_daemon());
    let repository = image.rsplit_once(':').expect("a tag").0;
    let layer = result["platforms"][0]["layer"]["digest"]
        .as_str()
        .expect("a layer");
    let paths = listing(&site, repository, layer);
    assert!(paths.iter().any(|path| path == "var/lib/dpkg/status"));
    for junk in [
        "var/log/",
        "var/cache/",
        "var/lib/apt/lists/",
        "dev/",
        "proc/",
        "sys/",
        "run/",
        "tmp/",
        "usr/sbin/policy-rc.d",
    ] {
        let found: Vec<_> = paths.iter().filter(|path| path.starts_with(junk)).collect();
        assert!(found.is_empty(), "{found:?}");
    }
    let mut sorted = paths.clone();
    sorted.dedup();
    assert_eq!(sorted.len(), paths.len(), "no path twice");
}

#[test]
fn the_patched_root_is_whole_and_its_programs_start() {
    let Some(site) = Site::open() else { return };
    let image = site.get("IMAGE_BULLSEYE");
    let result = Site::patched(&[image], &site.new_daemon());
    let repository = image.rsplit_once(':').expect("a tag").0;
    let root = tempfile::tempdir().expect("a folder");
    let tar = root.path().join("root.tar");
    std::fs::write(
        &tar,
        site.crane(&["export", &format!("{repository}@{}", digest(&result)), "-"]),
    )
    .expect("written");
    let unpacked = root.path().join("root");
    std::fs::create_dir(&unpacked).expect("a folder");
    let done = Command::new("tar")
        .arg("xf")
        .arg(&tar)
        .arg("-C")
        .arg(&unpacked)
        .status()
        .expect("tar starts");
    assert!(done.success());
    let run = |args: &[&str]| {
        let output = Command::new("chroot")
            .arg(&unpacked)
            .args(args)
            .env("LC_ALL", "C")
            .output()
            .expect("chroot starts");
        assert!(
            output.status.success(),
            "{args:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    };
    assert_eq!(run(&["dpkg", "--audit"]), "");
    let changed: Vec<&str> = result["platforms"][0]["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .filter_map(|p| p["name"].as_str())
        .collect();
    let mut verify = vec!["dpkg", "--verify"];
    verify.extend(&changed);
    let differing: Vec<String> = run(&verify)
        .lines()
        .filter(|line| !line.contains(" /usr/share/") && !line.contains(" c "))
        .map(str::to_owned)
        .collect();
    assert_eq!(
        differing,
        Vec::<String>::new(),
        "every file is the package's"
    );
    assert!(run(&["apt-get", "check"]).contains("Building dependency tree"));
    assert!(run(&["perl", "-e", "print 6*7"]).contains("42"));
}

#[test]
fn daemons_of_all_versions_give_the_same_digest() {
    let Some(site) = Site::open() else { return };
    let docker = format!("docker://{}", site.get("DOCKER"));
    let daemons = [site.get("BUILDKIT_NEW"), site.get("BUILDKIT_OLD"), &docker];
    let digests: Vec<String> = daemons
        .iter()
        .map(|daemon| {
            let args = [site.get("IMAGE_BULLSEYE"), "--addr", daemon, "--no-cache"];
            digest(&Site::patched(&args, &[])).to_owned()
        })
        .collect();
    assert_eq!(digests[0], digests[1], "0.32 and 0.12");
    assert_eq!(digests[0], digests[2], "buildkitd and dockerd");
}

#[test]
fn two_runs_at_once_on_one_daemon_do_not_disturb_each_other() {
    let Some(site) = Site::open() else { return };
    let daemon = site.new_daemon();
    // Two images of one release: they wait for each other where they share indexes and packages.
    let images = ["BULLSEYE", "BULLSEYE_ZSTD"].map(|name| site.get(&format!("IMAGE_{name}")));
    let run = |image: &str, more: &[&str]| {
        let result = Site::patched(&[&[image], more].concat(), &daemon);
        digest(&result).to_owned()
    };
    let alone = images.map(|image| run(image, &[]));
    let tags = ["live-at-once", "live-at-once-too"];
    let both = std::thread::scope(|scope| {
        let started = [0, 1].map(|at| {
            let more = ["--no-cache", "-t", tags[at]];
            scope.spawn(move || run(images[at], &more))
        });
        started.map(|run| run.join().expect("it goes well"))
    });
    assert_eq!(both, alone);
    for (at, image) in images.into_iter().enumerate() {
        let repository = image.rsplit_once(':').expect("a tag").0;
        let tagged = site.crane(&["digest", &format!("{repository}:{}", tags[at])]);
        assert_eq!(text(&tagged).trim(), both[at]);
    }
}

#[test]
fn an_index_keeps_everything_but_the_patched_descriptors() {
    let Some(site) = Site::open() else { return };
    for name in ["BULLSEYE_DRESSED", "BULLSEYE_DOCKER_LIST"] {
        let image = site.get(&format!("IMAGE_{name}"));
        let report = site.get(&format!("REPORT_{name}_AMD64"));
        let args = [
            image,
            "-r",
            report,
            "--package",
            FIXED,
            "--platform",
            "linux/amd64",
            "-t",
            "live-index",
        ];
        let result = Site::patched(&args, &site.new_daemon());
        let repository = image.rsplit_once(':').expect("a tag").0;
        let before = site.json(&["manifest", image]);
        let after = site.json(&["manifest", &format!("{repository}:live-index")]);
        assert_eq!(before["mediaType"], after["mediaType"], "{name}");
        let dropped: Vec<&Value> = result["dropped_attestations"]
            .as_array()
            .expect("a list")
            .iter()
            .collect();
        let old: Vec<&Value> = before["manifests"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|child| !dropped.contains(&&child["digest"]))
            .collect();
        let new = after["manifests"].as_array().expect("a list");
        assert_eq!(old.len(), new.len(), "{name}");
        let patched = &result["platforms"][0];
        for (old, new) in old.into_iter().zip(new) {
            let mut old = old.clone();
            if old["digest"] == patched["source_digest"] {
                old["digest"] = patched["digest"].clone();
                old["size"] = new["size"].clone();
            }
            assert_eq!(old, *new, "{name}");
        }
        for (key, value) in before["annotations"].as_object().into_iter().flatten() {
            assert_eq!(after["annotations"][key], *value, "{name}: {key}");
        }
        let config =
            |reference: &str| site.json(&["config", "--platform", "linux/amd64", reference]);
        let (old, new) = (config(image), config(&format!("{repository}:live-index")));
        for (key, value) in old.as_object().expect("an object") {
            if !["created", "history", "rootfs"].contains(&key.as_str()) {
                assert_eq!(new[key], *value, "{name}: {key}");
            }
        }
        let entries = |config: &Value| config["history"].as_array().map_or(0, Vec::len);
        assert_eq!(entries(&new), entries(&old) + 1, "{name}");
    }
}

#[test]
fn two_platforms_are_patched_in_one_run() {
    let Some(site) = Site::open() else { return };
    let args = [
        site.get("IMAGE_BOOKWORM_MULTI"),
        "-r",
        site.get("REPORT_BOOKWORM_MULTI_AMD64"),
        "-r",
        site.get("REPORT_BOOKWORM_MULTI_ARM64"),
        "--package",
        "libpcre2-8-0,apt,libapt-pkg6.0",
        "--severity",
        "all",
        "--gate",
        "none",
        "-t",
        "live-multi",
        "--engine",
        "buildkit",
    ];
    let result = Site::patched(&args, &site.new_daemon());
    let platforms = result["platforms"].as_array().expect("a list");
    let names: Vec<&str> = platforms
        .iter()
        .filter_map(|p| {
            p["platform"]
                .as_str()
                .or_else(|| p["platform"]["architecture"].as_str())
        })
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(
        platforms
            .iter()
            .all(|platform| platform["digest"] != platform["source_digest"]),
        "{names:?}"
    );
    assert_eq!(platforms[1]["emulated"], true);
    let one = site.reseal(&["patch", args[0], "-r", args[2], "-t", "never"]);
    assert_eq!(
        one.status.code(),
        Some(41),
        "a platform without a report is not clean"
    );
}

#[test]
fn layouts_need_no_registry_and_layers_never_stack() {
    let Some(site) = Site::open() else { return };
    let out = tempfile::tempdir().expect("a folder");
    let source = format!("oci:{}", site.get("LAYOUT_BULLSEYE"));
    let to = format!("oci:{}", out.path().join("out").display());
    let first = Site::patched(&[&source, "-t", "patched", "--to", &to], &site.new_daemon());
    assert_eq!(first["outcome"], "patched");
    let again = Site::patched(
        &[&format!("{to}:patched"), "-t", "again"],
        &site.new_daemon(),
    );
    assert_eq!(
        digest(&first),
        digest(&again),
        "a patched image is patched from its base"
    );
}

#[test]
fn a_private_registry_takes_the_logins_of_other_tools_and_refusals_are_named() {
    let Some(site) = Site::open() else { return };
    let registry = site.get("REGISTRY_AUTH");
    let image = format!("{registry}/test/bullseye:1.4");
    let refused = site.reseal(&["patch", &image]);
    assert_eq!(refused.status.code(), Some(30), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains(registry));

    let login = format!(
        "{}:{}",
        site.get("REGISTRY_AUTH_USER"),
        site.get("REGISTRY_AUTH_PASSWORD")
    );
    let folder = tempfile::tempdir().expect("a folder");
    let auth = base64(login.as_bytes());
    std::fs::write(
        folder.path().join("config.json"),
        format!(r#"{{"auths":{{"{registry}":{{"auth":"{auth}"}}}}}}"#),
    )
    .expect("written");
    let config = folder.path().to_string_lossy().into_owned();
    let vars = [
        ("BUILDKIT_HOST", site.get("BUILDKIT_NEW")),
        ("DOCKER_CONFIG", config.as_str()),
    ];
    let output = Site::run(&["patch", &image, "-t", "live-auth", "--debug"], &vars);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let all = text(&output.stdout) + &text(&output.stderr);
    assert!(
        !all.contains(site.get("REGISTRY_AUTH_PASSWORD")) && !all.contains(&auth),
        "no secret in any output"
    );
}

#[test]
fn what_cannot_be_done_has_its_own_exit_code_and_moves_no_tag() {
    let Some(site) = Site::open() else { return };
    let bullseye = site.get("IMAGE_BULLSEYE");
    let report = site.get("REPORT_BULLSEYE_AMD64");
    let other = site.get("REPORT_BOOKWORM_AMD64");
    let bookworm = site.get("IMAGE_BOOKWORM");
    let cases: [(i32, &[&str]); 6] = [
        (41, &[bullseye, "-r", other]),
        (10, &[bookworm, "-r", other, "--severity", "critical"]),
        (
            20,
            &[bullseye, "--addr", "unix:///nonexistent/buildkitd.sock"],
        ),
        (31, &["127.0.0.1:1/none/none:1"]),
        (2, &[bullseye, "-r", report, "--platform", "linux/s390x"]),
        (124, &[bullseye, "--no-cache", "--timeout", "1s"]),
    ];
    for (code, args) in cases {
        let mut all = vec!["patch"];
        all.extend(args);
        all.extend(["-t", "live-never"]);
        let output = site.reseal(&all);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            text(&output.stderr)
        );
        assert!(text(&output.stderr).contains("error: "), "{args:?}");
    }
    let repository = bullseye.rsplit_once(':').expect("a tag").0;
    let tags = text(&site.crane(&["ls", repository]));
    assert!(!tags.lines().any(|tag| tag == "live-never"), "{tags}");
}

#[test]
fn nothing_to_patch_is_said_and_the_tag_still_points_somewhere() {
    let Some(site) = Site::open() else { return };
    let image = site.get("IMAGE_BULLSEYE");
    let report = site.get("REPORT_BULLSEYE_AMD64");
    let args = [
        image,
        "-r",
        report,
        "--vuln-id",
        "CVE-0000-0000",
        "-t",
        "live-unchanged",
        "--tag-unchanged",
    ];
    let result = Site::patched(&args, &[("BUILDKIT_HOST", "unix:///nonexistent")]);
    assert_eq!(result["outcome"], "unchanged");
    assert_eq!(digest(&result), site.get("DIGEST_BULLSEYE"));
    let repository = image.rsplit_once(':').expect("a tag").0;
    assert_eq!(
        text(&site.crane(&["digest", &format!("{repository}:live-unchanged")])).trim(),
        site.get("DIGEST_BULLSEYE")
    );
}

/// RFC 4648, for a login that docker's configuration wants in that form.
fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let mut group = [0; 3];
            group[..chunk.len()].copy_from_slice(chunk);
            let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
            (0..4).map(move |place| {
                if place > chunk.len() {
                    '='
                } else {
                    SIGNS[(bits >> (18 - 6 * place) & 63) as usize] as char
                }
            })
        })
        .collect()
}
