//! What lies in the folder of a store: the meaning of each name.

use crate::key::FileNumber;
use crate::manifest::log::{CURRENT, CURRENT_NEW};

/// Name of the lock file.
pub const LOCK: &str = "LOCK";
/// Name of the folder that a repair sets damaged files aside in. No store looks into it.
pub const QUARANTINE: &str = "quarantine";

/// What a name in the folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum FileKind {
    Table(FileNumber),
    Log(FileNumber),
    Manifest(FileNumber),
    Current,
    CurrentNew,
    Lock,
    Quarantine,
    Other,
}

impl FileKind {
    pub fn of(name: &str) -> FileKind {
        let number = |digits: &str| {
            let is_plain = digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_plain.then(|| digits.parse().ok()).flatten().map(FileNumber)
        };
        let kind = if let Some(digits) = name.strip_suffix(".tbl") {
            number(digits).map(FileKind::Table)
        } else if let Some(digits) = name.strip_suffix(".log") {
            number(digits).map(FileKind::Log)
        } else if let Some(digits) = name.strip_prefix("MANIFEST-") {
            number(digits).map(FileKind::Manifest)
        } else {
            None
        };
        match name {
            CURRENT => FileKind::Current,
            CURRENT_NEW => FileKind::CurrentNew,
            LOCK => FileKind::Lock,
            QUARANTINE => FileKind::Quarantine,
            _ => kind.unwrap_or(FileKind::Other),
        }
    }

    pub fn number(self) -> Option<FileNumber> {
        match self {
            FileKind::Table(number) | FileKind::Log(number) | FileKind::Manifest(number) => {
                Some(number)
            }
            _ => None,
        }
    }
}
