//! The names of segment files.

use std::path::{Path, PathBuf};

use everjet_values::StreamSequence;

use crate::memory::FileKey;
use crate::{ManifestSegment, StreamId};

/// Which file of a stream's folder: the segment that begins with `first`, rewritten `revision` times. The order is that of
/// the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId {
    /// The first sequence that the segment covers.
    pub(super) first: u64,
    /// How many times it was rewritten. A file is never written under a name that another content had.
    pub(super) revision: u32,
}

impl FileId {
    /// The file of a name without its extension.
    pub(super) fn of_stem(stem: &str) -> Option<Self> {
        let (first, revision) = match stem.split_once('.') {
            None => (stem, None),
            Some((first, revision)) => (first, Some(revision)),
        };
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let revision = match revision {
            None => 0,
            // No zeros in front: a file has one name.
            Some(text) if is_number(text) && !text.starts_with('0') => text.parse().ok()?,
            Some(_) => return None,
        };
        let first = Some(first).filter(|first| first.len() == 20 && is_number(first))?;
        Some(Self {
            first: first.parse().ok()?,
            revision,
        })
    }

    /// The name among those of all streams.
    pub(super) fn of(self, stream: StreamId) -> FileKey {
        let Self { first, revision } = self;
        FileKey {
            stream,
            first,
            revision,
        }
    }

    fn path(self, dir: &Path, extension: &str) -> PathBuf {
        let Self { first, revision } = self;
        dir.join(match revision {
            0 => format!("{first:020}.{extension}"),
            _ => format!("{first:020}.{revision}.{extension}"),
        })
    }
}

impl From<u64> for FileId {
    /// The file that a segment is first written to.
    fn from(first: u64) -> Self {
        Self { first, revision: 0 }
    }
}

impl ManifestSegment {
    /// The segment whose file, or whose index, has this name; what only its content tells is as of an open segment of that length.
    #[must_use]
    pub fn of_file(name: &str, length: u64) -> Option<Self> {
        let stem = name.strip_suffix(".seg").or(name.strip_suffix(".idx"))?;
        let FileId { first, revision } = FileId::of_stem(stem)?;
        Some(Self {
            first_sequence: StreamSequence(first),
            revision,
            length,
            sealed: false,
        })
    }

    /// Whether both are about the same file.
    #[must_use]
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.first_sequence, self.revision) == (other.first_sequence, other.revision)
    }
}

/// The file of a segment.
pub(super) fn segment_path(dir: &Path, file: impl Into<FileId>) -> PathBuf {
    file.into().path(dir, "seg")
}

/// The index file beside it.
pub(super) fn index_path(dir: &Path, file: impl Into<FileId>) -> PathBuf {
    file.into().path(dir, "idx")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_which_file_it_is() {
        let check = |stem: &str, expected: Option<(u64, u32)>| {
            let id = FileId::of_stem(stem);
            assert_eq!(id.map(|id| (id.first, id.revision)), expected, "{stem}");
            if let Some(id) = id {
                let path = segment_path(Path::new("/d"), id);
                assert_eq!(path, Path::new("/d").join(format!("{stem}.seg")));
            }
        };
        check("00000000000000000007", Some((7, 0)));
        check("00000000000000000007.12", Some((7, 12)));
        check("00000000000000000007.0", None);
        check("00000000000000000007.01", None);
        check("00000000000000000007.1.2", None);
        check("00000000000000000007.", None);
        check("7", None);
        check("meta", None);
    }
}
