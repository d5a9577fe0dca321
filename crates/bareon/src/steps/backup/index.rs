//! What a backup says of itself: `backup.json`, and the journal of what was written over since.
//!
//! The index is written last and whole, so a folder without it is no backup. The journal grows by one line before each
//! step that writes over data; a line that was cut off by a loss of power is the last one, and what it was to tell of
//! had not begun.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hardware::Identity;

/// The name of the index in its folder.
pub const INDEX: &str = "backup.json";

/// The name of the journal beside it.
const JOURNAL: &str = "overwritten.jsonl";

/// The name of the list of devices that were put back already.
const UNDONE: &str = "undone";

/// What was saved, of which devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Index {
    /// The version of this format: 1.
    pub version: u32,
    /// When it was made (RFC 3339).
    pub made: String,
    /// The devices.
    pub devices: Vec<Saved>,
}

/// A device of which regions were saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Saved {
    /// Its node then.
    pub device: String,
    /// Who it is.
    pub identity: Identity,
    /// Where it lies, if it is a volume: on all of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<Extent>,
    /// The file in the folder that holds the regions, one after the other.
    pub file: String,
    /// The regions.
    pub regions: Vec<Region>,
}

/// A region of a device, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Region {
    /// What is in it, for people.
    pub what: String,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
    /// Where it begins in the file.
    pub at: u64,
    /// The SHA-256 sum.
    pub sha256: String,
    /// The partition whose content it belongs to; nothing for tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// A partition as it lay, or a disk without any, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// Its node.
    pub device: String,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// A piece of a disk, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Extent {
    /// The disk's node.
    pub disk: String,
    /// Who it is.
    pub identity: Identity,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// A step that writes over data: it began, and may have written to all of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Overwritten {
    /// When it began (RFC 3339).
    pub began: String,
    /// What it does.
    pub what: String,
    /// Where.
    pub on: Vec<Extent>,
}

impl Extent {
    /// Whether a piece of the disk `identity` has bytes in common with this one.
    pub fn meets(&self, identity: &Identity, offset: u64, length: u64) -> bool {
        &self.identity == identity
            && offset < self.offset.saturating_add(self.length)
            && self.offset < offset.saturating_add(length)
    }
}

impl Index {
    /// Reads the index of the backup in `dir`.
    ///
    /// # Errors
    /// When there is none, or it is not one.
    pub fn read(dir: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(dir.join(INDEX))?)?)
    }

    /// Writes it into `dir`, under another name first.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".backup-").tempfile_in(dir)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(dir.join(INDEX))?;
        File::open(dir)?.sync_all()
    }

    /// Whether it holds anything of one of these disks.
    fn tells_of(&self, on: &[Extent]) -> bool {
        self.devices.iter().any(|saved| on.iter().any(|extent| extent.identity == saved.identity))
    }
}

impl Overwritten {
    /// Notes it in every backup below `backups` that holds anything of these disks. When this returns, it is on disk.
    ///
    /// # Errors
    /// When a journal cannot be written.
    pub fn note(&self, backups: &Path) -> io::Result<()> {
        let line = format!("{}\n", serde_json::to_string(self)?);
        for dir in all(backups)? {
            // What is no backup, or one of another version, is not ours to tell.
            if !Index::read(&dir).is_ok_and(|index| index.tells_of(&self.on)) {
                continue;
            }
            append(&dir, JOURNAL, &line)?;
        }
        Ok(())
    }

    /// What was noted in the backup in `dir`.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn read(dir: &Path) -> io::Result<Vec<Self>> {
        let text = match fs::read_to_string(dir.join(JOURNAL)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text?,
        };
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        lines
            .into_iter()
            .filter(|line| line.ends_with('\n'))
            .map(|line| serde_json::from_str(line).map_err(io::Error::from))
            .collect()
    }
}

/// The devices that were put back from the backup in `dir`, by their nodes in it.
///
/// # Errors
/// When the list cannot be read.
pub fn undone(dir: &Path) -> io::Result<Vec<String>> {
    match fs::read_to_string(dir.join(UNDONE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        text => Ok(text?.lines().map(ToOwned::to_owned).collect()),
    }
}

/// Notes that the device, which had that node in the backup, was put back.
///
/// # Errors
/// When that cannot be written.
pub fn note_undone(dir: &Path, device: &str) -> io::Result<()> {
    append(dir, UNDONE, &format!("{device}\n"))
}

/// Appends a line to a file in `dir`; when this returns, it is on disk.
fn append(dir: &Path, file: &str, line: &str) -> io::Result<()> {
    let mut file = File::options().append(true).create(true).open(dir.join(file))?;
    file.write_all(line.as_bytes())?;
    file.sync_all()?;
    File::open(dir)?.sync_all()
}

/// The folders below `backups`; none where there is no such folder.
fn all(backups: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(backups) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut dirs: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    dirs.sort();
    Ok(dirs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::Bytes;

    fn identity(serial: &str) -> Identity {
        Identity { serial: Some(serial.into()), wwn: None, size: Bytes(1 << 30) }
    }

    #[test]
    fn what_is_overwritten_is_noted_where_it_was_saved() {
        let root = tempfile::tempdir().unwrap();
        for (name, serial) in [("one", "A"), ("two", "B")] {
            let dir = root.path().join(name);
            fs::create_dir(&dir).unwrap();
            let saved = Saved {
                device: "/dev/sda".into(),
                identity: identity(serial),
                on: Vec::new(),
                file: "sda".into(),
                regions: Vec::new(),
            };
            let index = Index { version: 1, made: "now".into(), devices: vec![saved] };
            index.write(&dir).unwrap();
            assert_eq!(Index::read(&dir).unwrap(), index);
        }
        fs::create_dir(root.path().join("no backup")).unwrap();
        let extent = Extent { disk: "/dev/sdb".into(), identity: identity("B"), offset: 100, length: 50 };
        let overwritten = Overwritten { began: "now".into(), what: "mkfs".into(), on: vec![extent] };
        overwritten.note(root.path()).unwrap();
        let noted = |name: &str| Overwritten::read(&root.path().join(name)).unwrap();
        assert_eq!((noted("one"), noted("two")), (Vec::new(), vec![overwritten.clone()]));
        // A line that was cut off tells of nothing that had begun.
        let path = root.path().join("two").join(JOURNAL);
        fs::write(&path, fs::read_to_string(&path).unwrap() + "{\"began\": \"la").unwrap();
        assert_eq!(noted("two"), [overwritten]);
    }

    #[test]
    fn pieces_meet_where_they_share_a_byte_of_one_disk() {
        let extent = Extent { disk: "/dev/sdb".into(), identity: identity("B"), offset: 100, length: 50 };
        for (serial, offset, length, meets) in [
            ("B", 0, 100, false),
            ("B", 0, 101, true),
            ("B", 149, 1, true),
            ("B", 150, 9, false),
            ("A", 100, 50, false),
        ] {
            assert_eq!(extent.meets(&identity(serial), offset, length), meets, "{serial} {offset} {length}");
        }
    }
}
