//! What images share on a daemon, package indexes and packages: what another image wrote there is not used.

use reseal_buildkit::{Output, build};
use reseal_llb::{Mount, MountKind, RootFs, Sharing};

use super::site::{Site, digest, text};
use super::solve::support::{daemons, exporting, options, output, shell, with_base};

/// The package that is patched, and how each version in a doctored index begins.
const PACKAGE: &str = "libssl1.1";
const DOCTORED: &str = "9.1.1w";

/// Changes the files of a shared cache, which is at `/cache`, as an image could that is patched on the same daemon.
async fn doctor(cache: &str, script: &str) {
    let daemon = daemons().await.into_iter().next().expect("a daemon");
    let (mut graph, base) = with_base().expect("the test image");
    let mut exec = shell(script, RootFs::Writable(base));
    exec.mounts.push(Mount {
        dest: "/cache".to_owned(),
        kind: MountKind::Cache {
            id: format!("reseal/apt/{cache}/debian-11/linux-amd64"),
            sharing: Sharing::Locked,
        },
    });
    let exec = graph.exec(exec);
    let definition = graph.definition(exec.root().expect("a writable root"));
    let (mut options, _events) = options();
    let _export = exporting(&mut options);
    build(&daemon.client, options, |gateway| async move {
        let result = gateway.solve(&definition, true).await?;
        Ok(Output {
            platforms: vec![output("linux/amd64", result)],
        })
    })
    .await
    .expect("there is something to be doctored");
}

/// Patches the test image, and returns its digest with the log.
fn patched(site: &Site) -> (String, String) {
    let args = [
        "patch",
        "--no-cache",
        "--format",
        "json",
        site.get("IMAGE_BULLSEYE"),
        "-r",
        site.get("REPORT_BULLSEYE_AMD64"),
        "--package",
        PACKAGE,
    ];
    let output = site.reseal(&args);
    let log = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{log}");
    let result = serde_json::from_slice(&output.stdout).expect("a result");
    (digest(&result).to_owned(), log)
}

#[tokio::test]
async fn what_another_image_left_in_shared_caches_is_not_used() {
    let Some(site) = Site::open() else { return };
    let (clean, _) = patched(&site);
    // In each case number, size and time of the file are those of the true one, or the true one is gone.
    for (cache, script, told) in [
        (
            "lists",
            "for index in /cache/*_Packages; do
                touch -r $index /time
                sed 's/^Version: ./Version: 9/' $index >/doctored
                cat /doctored >$index
                touch -r /time $index
            done",
            Some("dropping an index"),
        ),
        (
            "lists",
            "for index in /cache/*_Packages; do
                sed 's/^Version: ./Version: 9/' $index | gzip >$index.gz
                rm $index
            done",
            None,
        ),
        (
            "lists",
            "for index in /cache/*-security_main_*_Packages; do
                sed 's/^Version: ./Version: 9/' $index >/doctored
                cat /doctored >$index
                set -- $(sha256sum $index)
                release=${index%%_dists*}_Release
                echo \" $1 1 dists/bullseye-security/main/binary-amd64/Packages\" >$release
            done",
            Some("dropping an index"),
        ),
        (
            "archives",
            "for package in /cache/libssl1.1_*.deb; do
                touch -r $package /time
                size=$(stat -c %s $package)
                printf 'xxxx' | dd of=$package bs=1 seek=$((size / 2)) conv=notrunc
                touch -r /time $package
            done",
            Some("dropping a package"),
        ),
    ] {
        doctor(cache, script).await;
        let (again, log) = patched(&site);
        assert!(
            told.is_none_or(|told| log.contains(told)),
            "{script}: {log}"
        );
        assert!(!log.contains(DOCTORED), "{script}: {log}");
        assert_eq!(again, clean, "the same packages all the same: {script}");
    }
}
