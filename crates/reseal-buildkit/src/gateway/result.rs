//! A result inside a running build, and the looks into it.

use bytes::{Bytes, BytesMut};
use reseal_proto::fsutil;
use reseal_proto::gateway::{FileRange, ReadDirRequest, ReadFileRequest, StatFileRequest};
use tonic::{Code, Status};

use super::Gateway;
use crate::BuildError;

/// A file is read in pieces of this size, well below the 16 MiB of a message.
const PIECE: u64 = 4 << 20;

/// A result inside a running build.
#[derive(Debug, Clone)]
pub struct Ref {
    pub(super) id: String,
    pub(super) gateway: Gateway,
}

/// Facts about one file of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Go's `os.FileMode`: the permissions in the low nine bits, the type in the high ones.
    pub mode: u32,
    /// Bytes.
    pub size: i64,
    /// The target, for a symbolic link.
    pub linkname: String,
    /// The owner.
    pub uid: u32,
    /// The owner's group.
    pub gid: u32,
    /// The modification time, in seconds since 1970, fractions cut off.
    pub mtime: i64,
}

impl Stat {
    const DIRECTORY: u32 = 1 << 31;
    const SYMLINK: u32 = 1 << 27;
    const DEVICE: u32 = 1 << 26;
    const FIFO: u32 = 1 << 25;
    /// Every bit that stands for a type: directory, symlink, device, pipe, socket, character device, irregular.
    const TYPE: u32 =
        Self::DIRECTORY | Self::SYMLINK | Self::DEVICE | Self::FIFO | 1 << 24 | 1 << 21 | 1 << 19;

    /// Whether this is a directory.
    pub fn is_dir(&self) -> bool {
        self.mode & Self::DIRECTORY != 0
    }

    /// Whether this is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.mode & Self::SYMLINK != 0
    }

    /// Whether this is a character or block device.
    pub fn is_device(&self) -> bool {
        self.mode & Self::DEVICE != 0
    }

    /// Whether this is a named pipe.
    pub fn is_fifo(&self) -> bool {
        self.mode & Self::FIFO != 0
    }

    /// The twelve permission bits as POSIX has them: Go keeps set-user-ID, set-group-ID and the sticky bit elsewhere.
    pub fn permissions(&self) -> u32 {
        let special = [(1 << 23, 0o4000), (1 << 22, 0o2000), (1 << 20, 0o1000)];
        special
            .iter()
            .filter(|(go, _)| self.mode & go != 0)
            .fold(self.mode & 0o777, |mode, (_, posix)| mode | posix)
    }

    /// Whether this is a regular file.
    pub fn is_file(&self) -> bool {
        self.mode & Self::TYPE == 0
    }
}

impl From<fsutil::Stat> for Stat {
    fn from(stat: fsutil::Stat) -> Self {
        Self {
            mode: stat.mode,
            size: stat.size,
            linkname: stat.linkname,
            uid: stat.uid,
            gid: stat.gid,
            mtime: stat.mod_time.div_euclid(1_000_000_000),
        }
    }
}

/// One name in a directory of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, without the directory.
    pub path: String,
    /// Its facts.
    pub stat: Stat,
}

impl Ref {
    /// The id that goes into the build's result.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whether there is certainly nothing in it: a diff of something and itself. It is reported without layers and
    /// never exported. Another result can turn out empty too, and then has one layer without entries.
    pub fn is_empty(&self) -> bool {
        self.id.is_empty()
    }

    /// Reads a file, following links inside the result; `None` if there is none. More than `limit` bytes are an error.
    pub async fn read(&self, path: &str, limit: u64) -> Result<Option<Bytes>, BuildError> {
        let mut content = BytesMut::new();
        loop {
            let at = content.len() as u64;
            // One byte over the limit is asked for, so that a file of exactly the limit is told from a larger one.
            let wanted = PIECE.min(limit.saturating_add(1).saturating_sub(at));
            if wanted == 0 {
                return Err(BuildError::TooLarge {
                    path: path.to_owned(),
                    limit,
                });
            }
            let Some(piece) = self.piece(path, at, wanted).await? else {
                return Ok(None);
            };
            content.extend_from_slice(&piece);
            if (piece.len() as u64) < wanted {
                return Ok(Some(content.freeze()));
            }
        }
    }

    async fn piece(
        &self,
        path: &str,
        offset: u64,
        length: u64,
    ) -> Result<Option<Bytes>, BuildError> {
        if self.is_empty() {
            return Ok(None);
        }
        let range = FileRange {
            offset: offset.cast_signed(),
            length: length.cast_signed(),
        };
        let request = ReadFileRequest {
            r#ref: self.id.clone(),
            file_path: path.to_owned(),
            range: Some(range),
            ..Default::default()
        };
        let answer = self
            .gateway
            .bridge()
            .read_file(self.gateway.request(request))
            .await;
        Ok(self.found(answer).await?.map(|answer| answer.data))
    }

    /// Returns the facts about a path, `None` if there is nothing.
    pub async fn stat(&self, path: &str) -> Result<Option<Stat>, BuildError> {
        if self.is_empty() {
            return Ok(None);
        }
        let request = StatFileRequest {
            r#ref: self.id.clone(),
            path: path.to_owned(),
            ..Default::default()
        };
        let answer = self
            .gateway
            .bridge()
            .stat_file(self.gateway.request(request))
            .await;
        Ok(self
            .found(answer)
            .await?
            .and_then(|answer| answer.stat)
            .map(Stat::from))
    }

    /// Lists a directory, only names that match `pattern` (`*` and `?`) if one is given. A directory that does not
    /// exist is empty.
    pub async fn read_dir(
        &self,
        path: &str,
        pattern: Option<&str>,
    ) -> Result<Vec<DirEntry>, BuildError> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let request = ReadDirRequest {
            r#ref: self.id.clone(),
            dir_path: path.to_owned(),
            include_pattern: pattern.unwrap_or_default().to_owned(),
            ..Default::default()
        };
        let answer = self
            .gateway
            .bridge()
            .read_dir(self.gateway.request(request))
            .await;
        let entries = self
            .found(answer)
            .await?
            .map(|answer| answer.entries)
            .unwrap_or_default();
        Ok(entries
            .into_iter()
            .map(|entry| DirEntry {
                path: entry.path.clone(),
                stat: entry.into(),
            })
            .collect())
    }

    /// A missing file has no code of its own: only Go's text tells.
    async fn found<T>(
        &self,
        answer: Result<tonic::Response<T>, Status>,
    ) -> Result<Option<T>, BuildError> {
        match answer {
            Err(error) if is_missing_file(&error) => Ok(None),
            answer => self.gateway.settled(answer).await.map(Some),
        }
    }
}

fn is_missing_file(status: &Status) -> bool {
    let text = status.message();
    // An image that cannot be unpacked ends in the same words, about a link to a file that is not there.
    let unpacking = text.contains(" link ");
    status.code() == Code::Unknown && text.ends_with(": no such file or directory") && !unpacking
}
