//! Disk images of QEMU: every call of `qemu-img(1)` is in this file.
//!
//! The format is always named: an image that may choose its own format may name other files of this machine, too.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::Path,
    time::Duration,
};

use serde_json::Value;

use crate::{Cmd, Tool, cmd::SHORT};

/// How long an image of a whole disk may take.
const TIME_LIMIT: Duration = Duration::from_hours(4);

/// The options of a qcow2 in a file, up to that one's path.
const QCOW2: &str = "file.driver=qcow2,file.file.driver=file,file.file.filename";

/// How [`compare`] ends where it finds a difference.
pub const DIFFERS: i32 = 1;

/// Tells what is known of the qcow2 in `file`, without opening what it is made upon.
pub fn info(file: &Path) -> Cmd {
    Tool::QemuImg.cmd().time_limit(SHORT).args(["info", "--output=json", "-f", "qcow2"]).arg(file)
}

/// Writes the first `length` bytes of the data of the qcow2 in `file`, or all where there are fewer, into the file `to`.
pub fn dd(file: &Path, length: usize, to: &Path) -> Cmd {
    let option = |name: &str, path: &Path| {
        let mut option = OsString::from(name);
        option.push(path);
        option
    };
    Tool::QemuImg
        .cmd()
        .time_limit(SHORT)
        .args(["dd", "-f", "qcow2", "-O", "raw", "count=1"])
        .arg(format!("bs={length}"))
        .arg(option("if=", file))
        .arg(option("of=", to))
}

/// Writes the data of the qcow2 in `file` from byte `from` on to the same place of `device`, which is there, around the
/// page cache. Zeros are written, too. There must be so many bytes.
pub fn convert(file: &Path, from: usize, device: &Path) -> Cmd {
    Tool::QemuImg
        .cmd()
        .time_limit(TIME_LIMIT)
        .args(["convert", "-n", "-t", "none", "--image-opts", "--target-image-opts"])
        .arg(behind(from, QCOW2, file))
        .arg(behind(from, "file.filename", device))
}

/// Compares what [`convert`] wrote, `length` bytes, with what `device` itself has there; ends with 1 where that differs.
pub fn compare(file: &Path, from: usize, length: u64, device: &Path) -> Cmd {
    let around_cache = format!("size={length},file.cache.direct=on,file.filename");
    Tool::QemuImg
        .cmd()
        .time_limit(TIME_LIMIT)
        .also_ok(DIFFERS)
        .args(["compare", "--image-opts"])
        .arg(behind(from, QCOW2, file))
        .arg(behind(from, &around_cache, device))
}

/// An image from its byte `from` on, by the options that end with the name of the one for its path.
fn behind(from: usize, options: &str, path: &Path) -> OsString {
    let mut image = OsString::from(format!("driver=raw,offset={from},{options}="));
    image.push(escaped(path));
    image
}

/// A path as a value among options, which commas part: one that is doubled is none of these.
fn escaped(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_bytes().iter();
    OsString::from_vec(bytes.flat_map(|byte| vec![*byte; if *byte == b',' { 2 } else { 1 }]).collect())
}

/// What is told of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// How many bytes its data have.
    pub size: u64,
    /// What keeps it from being unpacked as it is, in words.
    pub hindrances: Vec<String>,
}

/// Reads what [`info`] printed; nothing where it tells no size.
pub fn parse_info(text: &str) -> Option<Info> {
    let told: Value = serde_json::from_str(text).ok()?;
    let data = &told["format-specific"]["data"];
    let mut hindrances = Vec::new();
    let mut add = |found: bool, what: String| hindrances.extend(found.then_some(what));
    let named = |value: &Value| value.as_str().unwrap_or("a file").to_owned();
    let format = told["format"].as_str().unwrap_or_default();
    add(format != "qcow2", format!("it is {format}"));
    let backing = &told["backing-filename"];
    add(!backing.is_null(), format!("it is only what differs from its backing file {}", named(backing)));
    let file = &data["data-file"];
    add(!file.is_null(), format!("its data lie in another file, {}", named(file)));
    add(told["encrypted"] == true || !data["encrypt"].is_null(), "it is encrypted".into());
    add(data["corrupt"] == true, "it is marked as corrupt".into());
    add(told["dirty-flag"] == true, "it was not closed by whoever wrote it".into());
    Some(Info { size: told["virtual-size"].as_u64()?, hindrances })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_named_in_each_call() {
        assert_eq!(info(Path::new("/w/i")).to_string(), "qemu-img info --output=json -f qcow2 /w/i");
        assert_eq!(
            dd(Path::new("/w/i"), 1024, Path::new("/w/b")).to_string(),
            "qemu-img dd -f qcow2 -O raw count=1 bs=1024 if=/w/i of=/w/b"
        );
        assert_eq!(
            convert(Path::new("/w,w/i"), 1024, Path::new("/dev/sda")).to_string(),
            "qemu-img convert -n -t none --image-opts --target-image-opts \
             driver=raw,offset=1024,file.driver=qcow2,file.file.driver=file,file.file.filename=/w,,w/i \
             driver=raw,offset=1024,file.filename=/dev/sda"
        );
        assert_eq!(
            compare(Path::new("/w/i"), 1024, 512, Path::new("/dev/sda")).to_string(),
            "qemu-img compare --image-opts \
             driver=raw,offset=1024,file.driver=qcow2,file.file.driver=file,file.file.filename=/w/i \
             driver=raw,offset=1024,size=512,file.cache.direct=on,file.filename=/dev/sda"
        );
    }

    #[test]
    fn what_is_told_of_an_image_is_read() {
        // qemu-img 7.2.
        let plain = r#"{"virtual-size": 67108864, "filename": "a.qcow2", "cluster-size": 65536, "format": "qcow2",
            "actual-size": 200704, "format-specific": {"type": "qcow2", "data": {"compat": "1.1",
            "compression-type": "zlib", "lazy-refcounts": false, "refcount-bits": 16, "corrupt": false,
            "extended-l2": false}}, "dirty-flag": false}"#;
        assert_eq!(parse_info(plain), Some(Info { size: 67_108_864, hindrances: Vec::new() }));
        for (from, to, word) in [
            ("\"dirty-flag\": false", "\"dirty-flag\": true", "not closed"),
            ("\"dirty-flag\"", "\"backing-filename\": \"/etc/shadow\", \"dirty-flag\"", "/etc/shadow"),
            ("\"compat\"", "\"data-file\": \"/dev/sda\", \"compat\"", "/dev/sda"),
            ("\"compat\"", "\"encrypt\": {\"format\": \"luks\"}, \"compat\"", "encrypted"),
            ("\"corrupt\": false", "\"corrupt\": true", "corrupt"),
        ] {
            let info = parse_info(&plain.replace(from, to)).unwrap();
            let [told] = &info.hindrances[..] else { panic!("{info:?}") };
            assert!(told.contains(word), "{told}");
        }
        assert_eq!(parse_info("{}"), None);
        assert_eq!(parse_info("qemu-img: error"), None);
    }
}
