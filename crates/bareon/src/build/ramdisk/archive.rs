//! A ramdisk as one file: a `tar.gz` that is the same for the same contents.

use std::{
    fs::File,
    io::{self, BufWriter},
    path::Path,
};

use flate2::{Compression, GzBuilder};

use super::RamdiskError;

/// Packs the files `names` of the folder `dir` as `archive`, each with the time `epoch`, of root's.
///
/// What is packed is compressed already, so this is done as fast as can be.
///
/// # Errors
/// When a file cannot be read or the archive not be written.
pub(super) fn pack(dir: &Path, names: &[&str], epoch: u64, archive: &Path) -> Result<(), RamdiskError> {
    write(dir, names, epoch, archive).map_err(|source| RamdiskError::io("writing", archive, source))
}

fn write(dir: &Path, names: &[&str], epoch: u64, archive: &Path) -> io::Result<()> {
    let file = BufWriter::new(File::create(archive)?);
    let mut tar = tar::Builder::new(GzBuilder::new().mtime(0).write(file, Compression::fast()));
    for name in names {
        let file = File::open(dir.join(name))?;
        let mut header = tar::Header::new_ustar();
        header.set_size(file.metadata()?.len());
        header.set_mtime(epoch);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        tar.append_data(&mut header, name, file)?;
    }
    tar.into_inner()?.finish()?.into_inner().map(drop).map_err(io::IntoInnerError::into_error)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read};

    use super::*;

    #[test]
    fn the_same_contents_give_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let packed = |name: &str| {
            fs::write(dir.path().join("vmlinuz"), "kernel").unwrap();
            fs::write(dir.path().join("meta.yaml"), "uuid: 1").unwrap();
            pack(dir.path(), &["vmlinuz", "meta.yaml"], 1_700_000_000, &dir.path().join(name)).unwrap();
            fs::read(dir.path().join(name)).unwrap()
        };
        let bytes = packed("a");
        assert_eq!(bytes, packed("b"));
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(&*bytes));
        let mut contents = Vec::new();
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            assert_eq!(entry.header().mtime().unwrap(), 1_700_000_000);
            contents.push((entry.path().unwrap().display().to_string(), text));
        }
        let expected = [("vmlinuz", "kernel"), ("meta.yaml", "uuid: 1")];
        assert_eq!(contents, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }
}
