use std::fs::FileTimes;
use std::time::{Duration, SystemTime};

use super::*;

fn used(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let file = File::options().write(true).open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
}

#[test]
fn content_comes_back_only_with_its_own_digest_and_size() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path(), 1 << 20).unwrap();
    let digest = cache.write(b"content").unwrap();
    let path = cache.get(digest, Some(7)).unwrap().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"content");
    assert_eq!(cache.read(digest, 100).unwrap().unwrap(), b"content");
    assert_eq!(cache.get(ContentDigest::of(b"other"), None).unwrap(), None);

    std::fs::write(&path, b"Content").unwrap();
    assert_eq!(cache.get(digest, Some(7)).unwrap(), None);
    assert!(!path.exists(), "a damaged file stays");
    cache.write(b"content").unwrap();
    std::fs::write(&path, b"Content").unwrap();
    assert_eq!(cache.read(digest, 100).unwrap(), None);
    cache.write(b"content").unwrap();
    assert_eq!(cache.get(digest, Some(8)).unwrap(), None);
    cache.write(b"content").unwrap();
    assert_eq!(cache.read(digest, 6).unwrap(), None, "over the limit");
}

#[test]
fn what_was_not_used_for_longest_goes_when_the_last_run_ends() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path(), 25).unwrap();
    let digests: Vec<_> = ["aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc"]
        .map(|text| cache.write(text.as_bytes()).unwrap())
        .to_vec();
    for (age, digest) in digests.iter().enumerate() {
        used(&cache.0.content(*digest), 1000 + age as u64);
    }
    // Use makes the oldest the newest.
    cache.get(digests[0], None).unwrap().unwrap();
    let second = Cache::open(folder.path(), 25).unwrap();
    drop(cache);
    assert_eq!(
        second.usage().unwrap().bytes,
        30,
        "a run's files went while it ran"
    );
    drop(second);
    let third = Cache::open(folder.path(), 25).unwrap();
    assert_eq!(third.usage().unwrap().bytes, 20);
    assert!(third.get(digests[1], None).unwrap().is_none());
    assert!(third.get(digests[0], None).unwrap().is_some());
}

#[test]
fn a_cache_in_use_is_not_cleared_and_one_that_is_not_is_empty_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path(), 1000).unwrap();
    cache.write(b"content").unwrap();
    let other = Cache::open(folder.path(), 1000).unwrap();
    let error = cache.clear().unwrap_err();
    assert!(matches!(error, RepoError::CacheInUse { .. }), "{error}");
    assert_eq!(cache.usage().unwrap().files, 1);
    drop(other);
    assert_eq!(cache.clear().unwrap().bytes, 7);
    let usage = cache.usage().unwrap();
    assert_eq!((usage.files, usage.bytes, usage.limit), (0, 0, 1000));
}

#[test]
fn a_file_that_a_killed_run_left_goes() {
    let folder = tempfile::tempdir().unwrap();
    let left = {
        let cache = Cache::open(folder.path(), 1000).unwrap();
        cache.temporary().unwrap().keep().unwrap().1
    };
    drop(Cache::open(folder.path(), 1000).unwrap());
    assert!(!left.exists());
}

#[test]
fn a_note_is_for_its_address_and_a_broken_one_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path(), 1000).unwrap();
    let note = Note {
        url: "http://x.example/InRelease".into(),
        etag: Some("\"1\"".into()),
        last_modified: None,
        digest: ContentDigest::of(b""),
    };
    cache.set_note(&note).unwrap();
    assert_eq!(cache.note(&note.url), Some(note.clone()));
    assert_eq!(cache.note("http://x.example/other"), None);
    let other = Note {
        url: "http://other.example/".into(),
        ..note.clone()
    };
    std::fs::write(cache.0.note(&note.url), serde_json::to_vec(&other).unwrap()).unwrap();
    assert_eq!(cache.note(&note.url), None);
    std::fs::write(cache.0.note(&note.url), b"{").unwrap();
    assert_eq!(cache.note(&note.url), None);
}
