//! What a `qemu-img` that only copies is told to do, and what stands on the target after.

use std::{cell::RefCell, collections::BTreeSet, io::Read as _, os::unix::fs::FileExt as _};

use bareon_host::{CommandError, Output, Tool};
use bareon_image::{Algorithm, Container, Request, Silent};
use tempfile::TempDir;

use super::*;
use crate::steps::copyimage::WholeDisk;

/// What the target held before.
const GARBAGE: u8 = 0xa5;

/// A qemu-img that has the data of each image.
struct Qemu {
    data: Vec<u8>,
    /// Which of its commands fails, the one that writes the target in the middle.
    breaks: &'static str,
    /// How it is asked for.
    verify: Verify,
    ran: RefCell<Vec<String>>,
}

impl Runner for Qemu {
    fn run(&self, cmd: &Cmd) -> Result<Output, CommandError> {
        let line = cmd.to_string();
        let mut words = line.split(' ').skip(1);
        let verb = words.next().unwrap().to_owned();
        let last = words.last().unwrap().rsplit_once('=');
        self.ran.borrow_mut().push(verb.clone());
        let mut stdout = String::new();
        let broken = self.breaks == verb;
        match (&*verb, last) {
            ("info", None) => {
                stdout = format!(r#"{{"format": "qcow2", "virtual-size": {}}}"#, self.data.len());
            }
            ("dd", Some((_, file))) => fs::write(file, &self.data[..self.data.len().min(HEAD)]).unwrap(),
            ("convert", Some((_, file))) => {
                let target = File::options().read(true).write(true).open(file).unwrap();
                let mut beginning = vec![GARBAGE; HEAD];
                (&target).read_exact(&mut beginning).unwrap();
                assert!(is_zero(&beginning), "it is not zero while the rest is written");
                let length = if broken { 100 } else { self.data.len() - HEAD };
                target.write_all_at(&self.data[HEAD..HEAD + length], HEAD as u64).unwrap();
            }
            // What differs is told by the status.
            ("compare", Some(_)) => {
                return Ok(Output { status: i32::from(broken), stdout, stderr: String::new() });
            }
            other => panic!("{other:?}: {line}"),
        }
        if broken {
            return Err(CommandError::Start { cmd: line, source: io::Error::other("no space") });
        }
        Ok(Output { status: 0, stdout, stderr: String::new() })
    }

    fn has(&self, _: Tool) -> bool {
        true
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// An image, and a target with garbage.
struct Bench {
    dir: TempDir,
    image: WriteImage,
}

impl Bench {
    /// The image is of `size` bytes by its header; what must be in it is in `spool`.
    fn new(size: usize, content: Content, expected: (Option<u64>, Sums)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let mut header = vec![0; 104];
        header[..4].copy_from_slice(b"QFI\xfb");
        header[7] = 3;
        header[24..32].copy_from_slice(&(size as u64).to_be_bytes());
        fs::write(path("served"), header).unwrap();
        fs::write(path("target"), vec![GARBAGE; 4 * HEAD]).unwrap();
        let request = Request {
            uris: vec![path("served").to_string_lossy().into_owned()],
            container: Some(Container::Raw),
            qcow2: true,
            ..Request::default()
        };
        let (size, sums) = expected;
        let image = WriteImage {
            request,
            target: path("target"),
            ground: None,
            up: None,
            content,
            spool: Some(Spool { dir: path("spool"), room: Room::Disk, size, sums }),
            mount_point: path("mount"),
            if_there: false,
            disks: BTreeSet::new(),
            along: Vec::new(),
        };
        Self { dir, image }
    }

    fn run(&self, qemu: &Qemu) -> Result<Written, CopyImageError> {
        let spool = self.image.spool.as_ref().unwrap();
        let options = Options { verify: qemu.verify, ..Options::default() };
        let done = spool.run(&self.image, qemu, &options, &Silent);
        assert!(!spool.dir.exists(), "something is left of it");
        done
    }

    fn target(&self) -> Vec<u8> {
        fs::read(self.dir.path().join("target")).unwrap()
    }
}

/// Data of `size` bytes, without a run of zeros.
fn data(size: usize) -> Qemu {
    let data = (1..=size).map(|i| u8::try_from(i % 251).unwrap() | 1).collect();
    Qemu { data, breaks: "", verify: Verify::Stream, ran: RefCell::default() }
}

fn file_system() -> Content {
    Content::FileSystem(None)
}

fn sha256(bytes: &[u8]) -> Sums {
    Sums::default().with(Algorithm::Sha256, Some(crate::digest::sha256(bytes)))
}

#[test]
fn all_but_the_first_mib_is_written_first_and_what_is_behind_the_image_stays() {
    for size in [512, HEAD, HEAD + 512, 3 * HEAD + 1024] {
        let qemu = data(size);
        let bench = Bench::new(size, file_system(), (Some(size as u64), sha256(&qemu.data)));
        let written = bench.run(&qemu).unwrap();
        assert_eq!((written.raw_bytes, &written.sums), (size as u64, &sha256(&qemu.data)));
        let target = bench.target();
        assert_eq!(target[..size], qemu.data);
        assert!(target[size.max(HEAD)..].iter().all(|byte| *byte == GARBAGE));
        let verbs: &[&str] = if size > HEAD { &["info", "dd", "convert"] } else { &["info", "dd"] };
        assert_eq!(qemu.ran.take(), verbs);
    }
}

#[test]
fn without_a_sum_it_is_compared_with_the_file_where_that_is_asked_for() {
    for (size, sums, last) in [
        (HEAD, Sums::default(), "dd"),
        (2 * HEAD, Sums::default(), "compare"),
        (2 * HEAD, sha256(&data(2 * HEAD).data), "convert"),
    ] {
        let qemu = Qemu { verify: Verify::Readback, ..data(size) };
        let bench = Bench::new(size, file_system(), (None, sums));
        bench.run(&qemu).unwrap();
        assert_eq!(bench.target()[..size], qemu.data);
        assert_eq!(qemu.ran.take().last().map(String::as_str), Some(last));
    }
}

#[test]
fn what_fails_while_it_is_unpacked_leaves_the_first_mib_zero() {
    let size = 3 * HEAD;
    let broken = Qemu { breaks: "convert", ..data(size) };
    let other = Qemu { breaks: "compare", verify: Verify::Readback, ..data(size) };
    for (qemu, sums, word) in [
        (data(size), sha256(b"others"), "has the raw sha256 sum"),
        (broken, Sums::default(), "its first MiB is zero"),
        (other, Sums::default(), "do not use this disk"),
    ] {
        let bench = Bench::new(size, file_system(), (None, sums));
        let error = bench.run(&qemu).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(error.target_state(), TargetState::Cleared);
        assert!(is_zero(&bench.target()[..HEAD]));
    }
}

#[test]
fn what_is_not_the_image_that_is_expected_leaves_the_target_as_it_was() {
    let size = 2 * HEAD;
    let disk = || Content::Disk(WholeDisk { sector: 512, grow: false });
    let too_large = 5 * size;
    let no_sum = Sums::default().with(Algorithm::Md5, Some("none"));
    for (breaks, content, claimed, expected, word) in [
        ("", file_system(), size, (Some(1), Sums::default()), "bytes, not 1 as its metadata say"),
        ("", file_system(), size, (None, no_sum), "is no md5 sum"),
        ("", file_system(), too_large, (None, Sums::default()), "qemu-img 2097152"),
        ("", disk(), size, (None, Sums::default()), "no partition table"),
        ("info", file_system(), size, (None, Sums::default()), "nothing was written"),
        ("dd", file_system(), size, (None, Sums::default()), "nothing was written"),
    ] {
        let bench = Bench::new(claimed, content, expected);
        let error = bench.run(&Qemu { breaks, ..data(size) }).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(error.target_state(), TargetState::Untouched);
        assert_eq!(bench.target(), vec![GARBAGE; 4 * HEAD]);
    }
}

#[test]
fn the_commands_can_be_pasted() {
    let bench = Bench::new(0, file_system(), (None, Sums::default()));
    let spool = bench.image.spool.unwrap();
    let spool = Spool { dir: "/d,d".into(), room: Room::Memory(1 << 20), ..spool };
    let lines: Vec<_> = spool.commands("/dev/sda1").iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "mount -t tmpfs -o size=1048576,mode=700 tmpfs /d,d",
            "qemu-img info --output=json -f qcow2 /d,d/image.qcow2",
            "qemu-img dd -f qcow2 -O raw count=1 bs=1048576 if=/d,d/image.qcow2 of=/d,d/beginning",
            "qemu-img convert -n -t none --image-opts --target-image-opts driver=raw,offset=1048576,file.driver=qcow2,\
             file.file.driver=file,file.file.filename=/d,,d/image.qcow2 \
             driver=raw,offset=1048576,file.filename=/dev/sda1",
            "umount /d,d",
        ]
    );
    let by_hand = spool.by_hand("/dev/sda1");
    assert!(by_hand.starts_with("cat >/d,d/image.qcow2 #"), "{by_hand}");
    assert!(by_hand.ends_with(": dd if=/d,d/beginning of=/dev/sda1 bs=1M conv=notrunc,fsync"), "{by_hand}");
}
