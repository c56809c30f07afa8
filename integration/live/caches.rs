//! The package indexes that images share on a daemon: what another image wrote there is not used.

use reseal_buildkit::{Output, build};
use reseal_llb::{Exec, Mount, MountKind, RootFs, Sharing};

use super::site::{Site, digest, text};
use super::solve::support::{daemons, exporting, options, output, shell, with_base};

/// Where the patches of the test image keep their indexes.
const CACHE: &str = "reseal/apt/lists/debian-11/linux-amd64";

/// Changes every version in the indexes and leaves number, size and time of the files as they were.
const DOCTOR: &str = "
for index in /lists/*_Packages; do
    touch -r \"$index\" /time
    sed 's/^Version: ./Version: 9/' \"$index\" >/doctored
    cat /doctored >\"$index\"
    touch -r /time \"$index\"
    echo \"doctored $index\"
done";

#[tokio::test]
async fn an_index_that_another_image_doctored_is_dropped_and_fetched_again() {
    let Some(site) = Site::open() else { return };
    let host = site.get("BUILDKIT_NEW").to_owned();
    let patch = || {
        let output = Site::run(
            &[
                "patch",
                "--no-cache",
                "--format",
                "json",
                site.get("IMAGE_BULLSEYE"),
                "-r",
                site.get("REPORT_BULLSEYE_AMD64"),
                "--package",
                "libssl1.1",
            ],
            &[("BUILDKIT_HOST", &host)],
        );
        let log = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{log}");
        let result = serde_json::from_slice(&output.stdout).expect("a result");
        (digest(&result).to_owned(), log)
    };
    let (clean, _) = patch();

    let daemon = daemons().await.into_iter().next().expect("a daemon");
    let (mut graph, base) = with_base().expect("the test image");
    let mut exec: Exec = shell(DOCTOR, RootFs::Writable(base));
    exec.mounts.push(Mount {
        dest: "/lists".to_owned(),
        kind: MountKind::Cache {
            id: CACHE.to_owned(),
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
    .expect("the indexes are there to be doctored");

    let (again, log) = patch();
    assert!(log.contains("dropping an index"), "{log}");
    assert_eq!(again, clean, "the same packages all the same");
}
