//! The cache is never trusted.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use reseal_repo::Class;

use crate::make::{Image, find, usual};

fn files(folder: &Path) -> Vec<PathBuf> {
    ["sha256", "plain", "notes"]
        .iter()
        .flat_map(|name| std::fs::read_dir(folder.join(name)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect()
}

async fn run(image: &Image) -> Result<Vec<u8>, reseal_repo::RepoError> {
    let repositories = image.open();
    let names = BTreeSet::from(["openssl".to_owned()]);
    let found = repositories.candidates(&names).await?;
    assert_eq!(found.len(), 2);
    let path = repositories.fetch(&found[1]).await?;
    Ok(std::fs::read(path).unwrap())
}

#[tokio::test]
async fn a_byte_flipped_in_any_cached_file_is_found_and_the_file_fetched_again() {
    let (server, image) = usual().await;
    server.with(|state| state.etags = true);
    let content = run(&image).await.unwrap();
    let count = files(image.folder.path()).len();
    assert_eq!(count, 4, "a release file, its note, a list, a package");
    for number in 0..count {
        let path = &files(image.folder.path())[number];
        let whole = std::fs::read(path).unwrap();
        for at in [0, whole.len() / 2, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(path, &bytes).unwrap();
            assert_eq!(run(&image).await.unwrap(), content, "{}", path.display());
            std::fs::write(path, &whole[..at]).unwrap();
            assert_eq!(run(&image).await.unwrap(), content, "{}", path.display());
        }
    }
}

#[tokio::test]
async fn a_list_of_another_release_in_the_cache_is_not_taken_for_this_one() {
    let (server, image) = usual().await;
    run(&image).await.unwrap();
    let plain: Vec<_> = files(image.folder.path())
        .into_iter()
        .filter(|p| p.ends_with("") && p.extension().is_some())
        .collect();
    let forged = zstd::encode_all(&b"Package: openssl\nVersion: 9\nArchitecture: amd64\nFilename: pool/x\nSize: 1\nSHA256: 0000000000000000000000000000000000000000000000000000000000000000\n\n"[..], 1).unwrap();
    std::fs::write(&plain[0], forged).unwrap();
    assert_eq!(
        find(&image.open(), &["openssl"]).await.unwrap(),
        ["openssl 3.0.1", "openssl 3.0.2"]
    );
    // And where the server cannot help, there is an error.
    std::fs::write(&plain[0], b"rubbish").unwrap();
    server.with(|state| {
        state
            .files
            .retain(|path, _| !path.contains("Packages") && !path.contains("by-hash"));
    });
    let error = find(&image.open(), &["openssl"]).await.unwrap_err();
    assert_eq!(error.class(), Class::NotFound, "{error}");
}

#[tokio::test]
async fn two_runs_at_once_share_what_they_fetch() {
    let (server, image) = usual().await;
    let cache = image.cache();
    let (a, b) = (image.open(), image.open());
    let names = ["openssl", "libssl3"];
    let (first, second) = futures_util::future::join(find(&a, &names), find(&b, &names)).await;
    assert_eq!(first.unwrap(), second.unwrap());
    drop((a, b));
    assert_eq!(
        cache.usage().unwrap().files,
        1,
        "one list, and the server gave nothing to note"
    );
    let one = image.open();
    let names = BTreeSet::from(["openssl".to_owned()]);
    let found = one.candidates(&names).await.unwrap();
    server.requests();
    let same = [&found[0], &found[0], &found[0]];
    let paths = one.fetch_all(&same).await.unwrap();
    assert_eq!(paths[0], paths[2]);
    assert_eq!(server.requests().len(), 1);
}
