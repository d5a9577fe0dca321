//! What is in an EFI system partition, read while it is mounted, and small enough to be kept.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
};

use super::{BootError, inroot::Root};

/// The files below `EFI` of an EFI system partition. Their names are in small letters, as FAT does not tell them apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EspFiles {
    /// The partition's device.
    pub device: String,
    /// The files by their paths, `efi/boot/bootx64.efi`.
    pub files: BTreeMap<String, EspFile>,
}

/// A file there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EspFile {
    /// A sum of its content, to tell equal files from others.
    pub sum: u64,
    /// What it is as a program for UEFI, where it is one.
    pub program: Option<Program>,
    /// The UUIDs of the file systems that it makes GRUB search for.
    pub searches: Vec<String>,
    /// The directory that it makes GRUB's prefix, without the device; only of a `grub.cfg`.
    pub prefix: Option<String>,
}

/// A program for UEFI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// Whether it carries a signature.
    pub signed: bool,
}

impl EspFiles {
    /// Reads those of `device`, which is mounted at `dir` within `root`.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read(root: &Root, dir: &str, device: &str) -> Result<Self, BootError> {
        let dir = Path::new(dir);
        let mut files = BTreeMap::new();
        for top in root.names(dir).into_iter().filter(|name| name.eq_ignore_ascii_case("EFI")) {
            for (path, content) in root.files(&dir.join(&top))? {
                let name = Path::new(&top).join(path).to_string_lossy().to_lowercase();
                let file = EspFile::of(&name, &content);
                files.insert(name, file);
            }
        }
        Ok(Self { device: device.into(), files })
    }
}

impl EspFile {
    /// What `content` is.
    pub fn of(name: &str, content: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let config = Path::new(name)
            .extension()
            .is_some_and(|ext| ext == "cfg")
            .then(|| String::from_utf8_lossy(content));
        let prefix = config.as_ref().and_then(|text| text.lines().find_map(prefix));
        Self { sum: hasher.finish(), program: program(content), searches: searches(content), prefix }
    }
}

/// Reads the head of a PE file (Microsoft's PE format): `MZ`, then the offset of `PE\0\0`, behind which the optional
/// header holds the table of signatures as its fifth directory.
fn program(content: &[u8]) -> Option<Program> {
    let number = |at: usize, length: usize| {
        let bytes = content.get(at..at + length)?;
        Some(bytes.iter().rev().fold(0usize, |number, byte| number << 8 | usize::from(*byte)))
    };
    let head = Some(number(0x3c, 4)?).filter(|_| content.starts_with(b"MZ"))?;
    let optional = head + 24;
    let directories = match (content.get(head..head + 4)?, number(optional, 2)?) {
        (b"PE\0\0", 0x20b) => optional + 112,
        (b"PE\0\0", 0x10b) => optional + 96,
        _ => return None,
    };
    let signatures = directories + 4 * 8;
    Some(Program { signed: number(signatures, 4)? > 0 && number(signatures + 4, 4)? > 0 })
}

/// The UUIDs behind GRUB's words for a search, in a configuration or within a program that holds one.
fn searches(content: &[u8]) -> Vec<String> {
    const WORDS: [&[u8]; 2] = [b"search.fs_uuid ", b"--fs-uuid "];
    let mut found = Vec::new();
    for word in WORDS {
        for at in 0..content.len().saturating_sub(word.len()) {
            if content[at] != word[0] || !content[at..].starts_with(word) {
                continue;
            }
            let line =
                content[at + word.len()..].split(|byte| matches!(byte, b'\n' | 0)).next().unwrap_or_default();
            let line = String::from_utf8_lossy(line).into_owned();
            let uuid = line.split_whitespace().find(|word| is_uuid(word));
            found.extend(uuid.map(ToOwned::to_owned));
        }
    }
    found.sort();
    found.dedup();
    found
}

fn is_uuid(word: &str) -> bool {
    word.len() >= 4 && word.contains('-') && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

/// The directory in `set prefix=($root)'/boot/grub'`.
fn prefix(line: &str) -> Option<String> {
    let value = line.trim().strip_prefix("set prefix=")?;
    let (_, dir) = value.split_once(')')?;
    Some(dir.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A program for UEFI that holds `text`.
    pub fn made(signed: bool, text: &str) -> Vec<u8> {
        let mut content = vec![0; 512];
        content[..2].copy_from_slice(b"MZ");
        content[0x3c] = 0x80;
        content[0x80..0x84].copy_from_slice(b"PE\0\0");
        content[0x98..0x9a].copy_from_slice(&[0x0b, 0x02]);
        if signed {
            content[0x98 + 112 + 32] = 1;
            content[0x98 + 112 + 36] = 1;
        }
        content.extend(text.as_bytes());
        content
    }

    #[test]
    fn a_program_is_known_by_its_head_and_its_signature() {
        assert_eq!(program(&made(true, "")), Some(Program { signed: true }));
        assert_eq!(program(&made(false, "")), Some(Program { signed: false }));
        for none in [&b"MZ"[..], b"", &[0; 600]] {
            assert_eq!(program(none), None);
        }
    }

    #[test]
    fn a_search_is_found_in_a_configuration_and_in_a_program() {
        let stub = "search.fs_uuid 12ab-cd root hd0,gpt2 \nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n";
        let file = EspFile::of("efi/debian/grub.cfg", stub.as_bytes());
        assert_eq!((file.searches, file.prefix.as_deref()), (vec!["12ab-cd".to_owned()], Some("/boot/grub")));
        let ours = "search --no-floppy --fs-uuid --set=dev ab-12\nset prefix=($dev)/grub2\n";
        let file = EspFile::of("grub.cfg", ours.as_bytes());
        assert_eq!((file.searches, file.prefix.as_deref()), (vec!["ab-12".to_owned()], Some("/grub2")));
        let file = EspFile::of("grubx64.efi", &made(false, "\0search.fs_uuid ab-12 root\n\0"));
        assert_eq!((file.searches, file.prefix), (vec!["ab-12".to_owned()], None));
    }

    #[test]
    fn files_are_read_whatever_their_case() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        root.write("/boot/efi/EFI/BOOT/BOOTX64.EFI", made(false, "")).unwrap();
        root.write("/boot/efi/other", "").unwrap();
        let esp = EspFiles::read(&root, "/boot/efi", "/dev/vda1").unwrap();
        assert_eq!(esp.files.keys().collect::<Vec<_>>(), ["efi/boot/bootx64.efi"]);
    }
}
