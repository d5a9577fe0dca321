//! An initramfs, opened: which files it has, and what stands in those that name devices.
//!
//! It is one or several archives of `cpio -H newc`, one after the other, with zeros between them: the processor's
//! microcode comes first and is not compressed, what follows may be. See the kernel's
//! `driver-api/early-userspace/buffer-format`. Read here, as the image's own lsinitramfs or lsinitrd would be two
//! programs with two kinds of output, and tell the names alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead, BufReader, Read},
};

use flate2::bufread::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder;

/// The largest file whose text is kept; those that name devices have a few lines.
const LARGEST_TEXT: u64 = 1 << 18;

/// The longest name that is taken for one: `PATH_MAX`.
const LONGEST_NAME: u64 = 4096;

/// The length of the header of a file.
const HEADER: usize = 110;

/// The name after the last file of an archive.
const TRAILER: &str = "TRAILER!!!";

/// What is in an initramfs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Initramfs {
    /// The paths of all that is in it, without a slash at their beginning.
    pub paths: BTreeSet<String>,
    /// The texts of the files that were asked for, by their paths.
    pub texts: BTreeMap<String, String>,
    /// Whether the archive that was read last came to its end.
    whole: bool,
}

/// Reads an initramfs; the text is kept of those files whose path `wanted` says.
///
/// # Errors
/// When it cannot be read, is cut off, or is compressed in a way that is not known here ([`io::ErrorKind::Unsupported`]).
pub fn read(mut from: impl BufRead, wanted: &dyn Fn(&str) -> bool) -> io::Result<Initramfs> {
    let mut found = Initramfs::default();
    archives(&mut from, wanted, &mut found, true)?;
    Ok(found)
}

/// Reads archives up to the end.
fn archives(
    from: &mut dyn BufRead,
    wanted: &dyn Fn(&str) -> bool,
    found: &mut Initramfs,
    compressed: bool,
) -> io::Result<()> {
    loop {
        skip_zeros(from)?;
        // A magic number may be cut by the end of a buffer.
        let mut magic = [0; 6];
        let length = fill(from, &mut magic)?;
        let magic = &magic[..length];
        let mut from = magic.chain(&mut *from);
        match magic {
            [] => return Ok(()),
            b"070701" | b"070702" => {
                found.whole = false;
                archive(&mut from, wanted, found)?;
                found.whole = true;
            }
            _ if !compressed => return Err(invalid("what follows an archive in it is none")),
            [0x1f, 0x8b, ..] => return inside(MultiGzDecoder::new(BufReader::new(from)), wanted, found),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                return inside(zstd::stream::read::Decoder::new(from)?, wanted, found);
            }
            // As `lz4 -l` writes it for the kernel, and its usual frame.
            [0x02, 0x21, 0x4c, 0x18, ..] | [0x04, 0x22, 0x4d, 0x18, ..] => {
                return inside(FrameDecoder::new(from), wanted, found);
            }
            _ => {
                let problem = "it is compressed otherwise than by gzip, zstd or lz4";
                return Err(io::Error::new(io::ErrorKind::Unsupported, problem));
            }
        }
    }
}

/// Reads the archives in a compressed stream.
fn inside(stream: impl Read, wanted: &dyn Fn(&str) -> bool, found: &mut Initramfs) -> io::Result<()> {
    found.whole = false;
    let mut stream = BufReader::with_capacity(1 << 16, stream);
    match archives(&mut stream, wanted, found, false) {
        // What comes after an archive that is whole (zeros, of some writers) is none of the compressor's format.
        Err(_) if found.whole => Ok(()),
        read => read,
    }
}

/// Reads one archive up to its trailer.
fn archive(mut from: &mut dyn Read, wanted: &dyn Fn(&str) -> bool, found: &mut Initramfs) -> io::Result<()> {
    loop {
        let mut header = [0; HEADER];
        from.read_exact(&mut header)?;
        if !header.starts_with(b"07070") {
            return Err(invalid("a file in it begins with no header"));
        }
        let (size, name_size) = (field(&header, 6)?, field(&header, 11)?);
        if name_size > LONGEST_NAME {
            return Err(invalid("the name of a file in it is too long"));
        }
        let mut name = Vec::new();
        // Name and content each are filled up to a multiple of four bytes.
        let padded = (HEADER as u64 + name_size).next_multiple_of(4) - HEADER as u64;
        if (&mut from).take(padded).read_to_end(&mut name)? as u64 != padded {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let name = String::from_utf8_lossy(name.split(|byte| *byte == 0).next().unwrap_or_default());
        if name == TRAILER {
            return Ok(());
        }
        let path = name.trim_start_matches("./").trim_start_matches('/').to_owned();
        let padded = size.next_multiple_of(4);
        let mut content = (&mut from).take(padded);
        if size <= LARGEST_TEXT && wanted(&path) {
            let mut bytes = Vec::new();
            (&mut content).take(size).read_to_end(&mut bytes)?;
            found.texts.insert(path.clone(), String::from_utf8_lossy(&bytes).into_owned());
        }
        io::copy(&mut content, &mut io::sink())?;
        if content.limit() > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        found.paths.insert(path);
    }
}

/// The number in the field of that index after the magic one: eight hexadecimal digits.
fn field(header: &[u8; HEADER], index: usize) -> io::Result<u64> {
    let digits = &header[6 + index * 8..14 + index * 8];
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'));
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| invalid("the header of a file in it has no number where one belongs"))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn skip_zeros(from: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let buffer = from.fill_buf()?;
        let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
        let done = zeros < buffer.len() || buffer.is_empty();
        from.consume(zeros);
        if done {
            return Ok(());
        }
    }
}

/// Fills `buffer` as far as there is something; how far.
fn fill(from: &mut dyn BufRead, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match from.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::*;

    /// An archive as `cpio -H newc` writes it.
    pub fn cpio(files: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, content) in files.iter().chain(&[(TRAILER, "")]) {
            let fields: String = (0..13)
                .map(|index| match index {
                    6 => format!("{:08X}", content.len()),
                    11 => format!("{:08X}", name.len() + 1),
                    _ => "00000000".into(),
                })
                .collect();
            write!(bytes, "070701{fields}{name}\0").unwrap();
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes.extend_from_slice(content.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn lz4(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn opened(bytes: &[u8]) -> io::Result<Initramfs> {
        read(bytes, &|path| path.ends_with("conf"))
    }

    const FILES: &[(&str, &str)] =
        &[("./etc/mdadm/mdadm.conf", "ARRAY x\n"), ("usr/sbin/mdadm", "ELF"), ("etc", "")];

    #[test]
    fn an_archive_is_read_however_it_is_compressed() {
        let plain = cpio(FILES);
        let microcode = cpio(&[("kernel/x86/microcode/AuthenticAMD.bin", "1")]);
        for (how, compressed) in [
            ("not", plain.clone()),
            ("gzip, filled with zeros", [gzip(&plain), vec![0; 700]].concat()),
            ("gzip", gzip(&plain)),
            ("zstd", zstd::encode_all(&*plain, 1).unwrap()),
            ("lz4", lz4(&plain)),
        ] {
            let found = opened(&[microcode.clone(), compressed].concat()).unwrap();
            let paths: Vec<_> = found.paths.iter().map(String::as_str).collect();
            assert_eq!(
                paths,
                ["etc", "etc/mdadm/mdadm.conf", "kernel/x86/microcode/AuthenticAMD.bin", "usr/sbin/mdadm"],
                "{how}"
            );
            assert_eq!(found.texts["etc/mdadm/mdadm.conf"], "ARRAY x\n", "{how}");
            assert_eq!(found.texts.len(), 1, "{how}");
        }
    }

    #[test]
    fn what_is_cut_off_or_unknown_is_an_error() {
        let plain = cpio(FILES);
        let error = opened(&plain[..plain.len() - 600]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let packed = gzip(&plain);
        opened(&packed[..packed.len() / 2]).unwrap_err();
        let error = opened(b"\xfd7zXZ\0 and so on").unwrap_err();
        assert!(error.kind() == io::ErrorKind::Unsupported && error.to_string().contains("zstd"), "{error}");
        assert_eq!(opened(b"").unwrap(), Initramfs::default());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn nothing_in_it_makes_the_reader_panic(place in 0usize..600, byte in any::<u8>(), end in 0usize..600) {
            let mut bytes = cpio(FILES);
            let length = bytes.len();
            bytes[place % length] = byte;
            let _ = opened(&bytes[..end % length]);
            let _ = opened(&bytes);
        }
    }
}
