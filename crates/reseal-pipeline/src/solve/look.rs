//! What an image has, asked of a daemon that has it unpacked.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream, stream::FuturesUnordered};
use jiff::Timestamp;
use reseal_buildkit::{BuildError, DirEntry, Ref, Stat};
use reseal_oci::ImageConfig;
use reseal_rootfs::{LayerFacts, Listing, Node, NodeKind, RootfsError, wanted};

use super::{
    Building, Job,
    build::{Built, Images, Step, build},
};
use crate::error::PipelineError;

/// Questions that wait for their answers at once. The daemon mounts the image anew for each.
const AT_ONCE: usize = 16;
/// Most paths of an image.
const PATH_LIMIT: usize = 2_000_000;

/// Reads the files of images, all platforms of one builder in one build that makes nothing. By the place of the platform;
/// the reason where an image cannot be read like this.
pub(crate) async fn look(
    building: Building<'_>,
    jobs: &[Job],
) -> Result<Vec<(usize, Result<LayerFacts, String>)>, PipelineError> {
    let (built, _) = build(building, jobs, None, Look).await?;
    Ok(built
        .into_iter()
        .map(|Built { place, made, .. }| (place, made))
        .collect())
}

struct Look;

#[async_trait]
impl Step for Look {
    type Made = Result<LayerFacts, String>;

    fn needs(&self) -> BTreeSet<&'static str> {
        // What the graph of an image needs is checked when it is solved.
        BTreeSet::new()
    }

    async fn make(
        &self,
        images: &Images<'_>,
        job: &Job,
    ) -> Result<(Self::Made, Option<Ref>), PipelineError> {
        let base = reseal_plan::base(&job.platform.platform, &images.base(job));
        let image = images
            .gateway
            .solve(&base, false)
            .await
            .map_err(PipelineError::Build)?;
        match read(&image, created(&job.platform.config)).await {
            Ok(facts) => Ok((Ok(facts), None)),
            Err(Stop::Unfit(why)) => Ok((Err(why), None)),
            Err(Stop::Daemon(error)) => Err(PipelineError::Build(error)),
        }
    }
}

/// What ends the reading.
enum Stop {
    Daemon(BuildError),
    /// The image has to be read another way.
    Unfit(String),
}

impl From<BuildError> for Stop {
    fn from(error: BuildError) -> Self {
        Self::Daemon(error)
    }
}

impl From<RootfsError> for Stop {
    fn from(error: RootfsError) -> Self {
        Self::Unfit(error.to_string())
    }
}

async fn read(image: &Ref, created: i64) -> Result<LayerFacts, Stop> {
    let paths = walk(image).await?;
    if let Some(path) = made_by_daemon(&paths, created) {
        return Err(Stop::Unfit(format!(
            "its directory `{path}` is newer than the image, so the daemon made it"
        )));
    }
    facts(image, paths).await
}

/// When an image says that it was made, in seconds since 1970; an image that does not say it was made then.
fn created(config: &ImageConfig) -> i64 {
    let text = config.created.as_deref().unwrap_or_default();
    text.parse::<Timestamp>().map_or(0, Timestamp::as_second)
}

/// Lists all paths, each directory before what is in it.
async fn walk(image: &Ref) -> Result<Vec<(String, Stat)>, Stop> {
    let list = |dir: String| async move {
        let entries = image.read_dir(&format!("/{dir}"), None).await;
        entries.map(|entries| (dir, entries))
    };
    let mut found = Vec::new();
    let mut waiting = vec![String::new()];
    let mut asked = FuturesUnordered::new();
    loop {
        while asked.len() < AT_ONCE
            && let Some(dir) = waiting.pop()
        {
            asked.push(list(dir));
        }
        let Some(answer) = asked.next().await else {
            break;
        };
        let (dir, entries) = answer?;
        for DirEntry { path: name, stat } in entries {
            let path = if dir.is_empty() {
                name
            } else {
                format!("{dir}/{name}")
            };
            if stat.is_dir() {
                waiting.push(path.clone());
            }
            found.push((path, stat));
        }
        if found.len() > PATH_LIMIT {
            return Err(Stop::Unfit(format!("it has over {PATH_LIMIT} paths")));
        }
    }
    found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

/// Finds a directory that no layer lists with its time: whoever unpacks makes it, or puts something into it, at the time
/// of unpacking. Read from the layers it has another time, and a patch with it would have another digest.
fn made_by_daemon(paths: &[(String, Stat)], created: i64) -> Option<&str> {
    paths
        .iter()
        .find(|(_, stat)| stat.is_dir() && stat.mtime > created)
        .map(|(path, _)| path.as_str())
}

/// Reads the files that are asked for, and puts all together.
async fn facts(image: &Ref, paths: Vec<(String, Stat)>) -> Result<LayerFacts, Stop> {
    let mut listing = Listing::new(wanted());
    let asked: Vec<bool> = paths
        .iter()
        .map(|(path, stat)| stat.is_file() && listing.reads(path, size(stat)))
        .collect();
    let mut answers = stream::iter(paths.into_iter().zip(asked))
        .map(|((path, stat), asked)| {
            let image = image.clone();
            async move {
                let contents = if asked {
                    image.read(&format!("/{path}"), size(&stat)).await?
                } else {
                    Some(Bytes::new())
                };
                Ok::<_, BuildError>((path, stat, contents, asked))
            }
        })
        .buffered(AT_ONCE);
    while let Some((path, stat, contents, asked)) = answers.try_next().await? {
        let whole = contents.filter(|bytes| !asked || bytes.len() as u64 == size(&stat));
        let (Some(contents), Some(node)) = (whole, node(&stat)) else {
            return Err(Stop::Unfit(format!("`{path}` cannot be in a layer")));
        };
        listing.push(&path, &node, &contents)?;
    }
    Ok(listing.finish())
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.size).unwrap_or_default()
}

/// What layers say about the same file.
fn node(stat: &Stat) -> Option<Node> {
    let kind = if stat.is_dir() {
        NodeKind::Dir
    } else if stat.is_symlink() {
        NodeKind::Symlink
    } else if stat.is_file() {
        NodeKind::File
    } else if stat.is_device() {
        NodeKind::Device
    } else if stat.is_fifo() {
        NodeKind::Fifo
    } else {
        return None;
    };
    Some(Node {
        kind,
        mode: stat.permissions(),
        uid: stat.uid,
        gid: stat.gid,
        size: if kind == NodeKind::File {
            size(stat)
        } else {
            0
        },
        mtime: stat.mtime,
        link: (kind == NodeKind::Symlink).then(|| stat.linkname.as_str().into()),
        md5: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(mode: u32, mtime: i64) -> Stat {
        Stat {
            mode,
            size: 7,
            linkname: "there".to_owned(),
            uid: 1,
            gid: 2,
            mtime,
        }
    }

    #[test]
    fn types_and_permissions_are_those_of_layers() {
        const DIR: u32 = 1 << 31;
        for (mode, kind, posix) in [
            (0o644, NodeKind::File, 0o644),
            (DIR | 1 << 20 | 0o777, NodeKind::Dir, 0o1777),
            (1 << 27 | 0o777, NodeKind::Symlink, 0o777),
            (1 << 26 | 1 << 21 | 0o666, NodeKind::Device, 0o666),
            (1 << 25 | 0o600, NodeKind::Fifo, 0o600),
            (1 << 23 | 1 << 22 | 0o755, NodeKind::File, 0o6755),
        ] {
            let node = node(&stat(mode, 5)).unwrap();
            assert_eq!((node.kind, node.mode, node.mtime), (kind, posix, 5));
            assert_eq!(node.size, if kind == NodeKind::File { 7 } else { 0 });
            assert_eq!(node.link.is_some(), kind == NodeKind::Symlink);
        }
        assert_eq!(node(&stat(1 << 24 | 0o755, 5)), None, "a socket");
    }

    #[test]
    fn a_directory_that_is_newer_than_the_image_is_the_daemons() {
        let dir = |mtime| stat(1 << 31 | 0o755, mtime);
        let paths = [
            ("etc".to_owned(), dir(100)),
            ("etc/hosts".to_owned(), stat(0o644, 300)),
            ("opt".to_owned(), dir(200)),
        ];
        assert_eq!(made_by_daemon(&paths, 200), None);
        assert_eq!(made_by_daemon(&paths, 199), Some("opt"));
    }
}
