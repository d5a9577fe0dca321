//! A tree is packed into images and read back: everything of it is there, and a second build gives the same bytes.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use bareon::{
    build::pack::{self, Look},
    objects::build::{Container, ImageFormat, TreeImage},
};
use bareon_host::System;
use tempfile::TempDir;

use crate::disk::{Mounted, sh};

/// No file is later; most of the tree is.
const EPOCH: u64 = 1_700_000_000;

/// A tree with whatever a file can be.
fn odd_tree() -> TempDir {
    own_mounts();
    let work = tempfile::tempdir().expect("a directory");
    let tree = work.path().join("tree");
    fs::create_dir(&tree).expect("a directory");
    let script = r#"
        mkdir -p boot/efi var/log etc usr/bin dev "with blanks/über/$(printf 'x%.0s' $(seq 250))"
        echo kernel > boot/vmlinuz; echo journal > var/log/syslog; echo esp > boot/efi/file
        chmod 1750 boot; chown 0:4 var/log; touch -d @1600000000 boot
        echo ping > usr/bin/ping; ln usr/bin/ping usr/bin/"other name"; ln usr/bin/ping var/ping
        echo su > usr/bin/su; chmod 4755 usr/bin/su; chown 1000:100000 etc
        touch -d @1234567890 usr/bin/su; touch -d @1234567890 -h usr
        ln -s /etc/nowhere etc/short; ln -s "$(printf 'y%.0s' $(seq 200))" etc/long; chown -h 7:8 etc/short
        mknod dev/null c 1 3; chmod 666 dev/null; mknod dev/big b 259 70000; mkfifo -m 600 dev/pipe
        truncate -s 9M var/sparse; printf data | dd of=var/sparse bs=1 seek=5000000 conv=notrunc status=none
        head -c 3000000 /dev/zero > var/zeros; head -c 5000001 /dev/urandom > var/random
        : > etc/empty; echo 'q"uo\te'\' > "etc/q\"uo\\te'"
        mkdir var/many; for i in $(seq 700); do : > "var/many/a-file-with-a-name-of-some-length-$i"; done
    "#;
    sh(&format!("cd {} && {script}", tree.display()));
    let set = |file: &str, name: &str, value: &[u8]| {
        xattr::set(tree.join(file), name, value).expect("an attribute");
    };
    set("usr/bin/ping", "security.capability", b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    set("etc", "user.comment", &[b'c'; 300]);
    // user::rwx user:1234:r-x group::r-- mask::r-x other::---
    let mut acl = vec![2, 0, 0, 0];
    for (tag, permissions, id) in
        [(1u16, 7u16, !0u32), (2, 5, 1234), (4, 4, !0), (0x10, 5, !0), (0x20, 0, !0)]
    {
        acl.extend(tag.to_le_bytes().into_iter().chain(permissions.to_le_bytes()).chain(id.to_le_bytes()));
    }
    set("var/log", "system.posix_acl_access", &acl);
    set("var/log", "system.posix_acl_default", &acl);
    work
}

/// One line for each file of `folder`: all that is to be kept of it.
fn told(folder: &Path, left_out: &[&str]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(dir) = folders.pop() {
        let entries = fs::read_dir(&dir).expect("a directory").map(|entry| entry.expect("an entry").path());
        for path in entries.chain((dir == *folder).then(|| dir.clone())) {
            let name = path.strip_prefix(folder).expect("below").to_string_lossy().into_owned();
            if left_out.iter().any(|out| name.starts_with(&format!("{out}/"))) || name == "lost+found" {
                continue;
            }
            lines.push(line(&path, &name));
            if path != *folder && path.symlink_metadata().expect("a file").is_dir() {
                folders.push(path);
            }
        }
    }
    lines.sort();
    lines
}

fn line(path: &Path, name: &str) -> String {
    let meta = fs::symlink_metadata(path).expect("a file");
    // XFS shows how it stores access lists, too.
    let attributes = xattr::list(path).expect("attributes");
    let mut attributes: Vec<_> =
        attributes.filter(|name| !name.to_string_lossy().starts_with("trusted.SGI_ACL")).collect();
    attributes.sort();
    let attributes: Vec<_> = attributes
        .iter()
        .map(|name| format!("{}={:?}", name.display(), xattr::get(path, name).expect("an attribute")))
        .collect();
    let content = match meta.file_type() {
        kind if kind.is_file() => format!("{:x}", hash_of(path)),
        kind if kind.is_symlink() => fs::read_link(path).expect("a link").to_string_lossy().into_owned(),
        _ => format!("{:x}", meta.rdev()),
    };
    // A folder's links and size are its file system's.
    let own = if meta.is_dir() { (0, 0) } else { (meta.nlink(), meta.size()) };
    let time = meta.mtime().min(EPOCH.cast_signed());
    format!("{name} {:o} {}:{} {time} {own:?} {content} {attributes:?}", meta.mode(), meta.uid(), meta.gid())
}

/// Panics with the files that differ.
fn assert_same(found: &[String], expected: &[String], what: &str) {
    let differ = |ours: &[String], others: &[String]| {
        ours.iter().filter(|line| !others.contains(line)).cloned().collect::<Vec<_>>()
    };
    let (more, missing) = (differ(found, expected), differ(expected, found));
    assert!(more.is_empty() && missing.is_empty(), "{what}: found {more:#?}, expected {missing:#?}");
}

fn hash_of(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    fs::read(path).expect("a file").hash(&mut hasher);
    hasher.finish()
}

fn image(mount: &str, format: ImageFormat) -> TreeImage {
    TreeImage {
        mount: mount.into(),
        uri: String::new(),
        file: PathBuf::new(),
        format,
        container: Container::Raw,
    }
}

/// Mounts of its own for this test, as a build has: what another program's namespace holds a copy of stays mounted.
fn own_mounts() {
    bareon_host::mount::private_namespace().expect("a mount namespace");
}

/// Each test has other ids: the kernel does not take two btrfs of the same at once.
fn look() -> Look {
    Look::new(std::thread::current().name().unwrap_or_default(), EPOCH)
}

fn pack(tree: &Path, mount: &str, format: ImageFormat, raw: &Path) -> String {
    let others = ["/", "/boot", "/boot/efi", "/var/log"].map(PathBuf::from);
    let look = look();
    pack::file_system(&System::default(), tree, &image(mount, format), &others, &look, raw)
        .expect("an image");
    sh(&format!("sha256sum < {}", raw.display()))
}

#[test]
#[ignore = "needs root and loop devices"]
fn what_is_packed_is_all_of_a_folder_and_nothing_of_other_images() {
    let work = odd_tree();
    let tree = work.path().join("tree");
    let before = told(&tree, &[]);
    let raw = work.path().join("raw");
    for format in ImageFormat::ALL {
        for (mount, left_out) in
            [("/", &["boot", "var/log"][..]), ("/boot", &["efi"]), ("/var/log", &[]), ("/srv/none", &[])]
        {
            pack(&tree, mount, format, &raw);
            let mounted = Mounted::new(&format!("-o loop {}", raw.display()));
            let packed = told(mounted.path(), &[]);
            let folder = tree.join(mount.trim_start_matches('/'));
            if folder.is_dir() {
                assert_same(&packed, &told(&folder, left_out), &format!("{format:?} {mount}"));
            } else {
                assert_eq!(packed.len(), 1, "{packed:?}");
            }
        }
        assert_same(&told(&tree, &[]), &before, "the tree is as before");
    }
    assert_eq!(fs::read_dir(work.path()).expect("the folder").count(), 2, "nothing is left beside the tree");
}

#[test]
#[ignore = "needs root and loop devices"]
fn images_of_ext_and_archives_of_the_same_tree_have_the_same_bytes_at_any_time_on_any_file_system() {
    let work = odd_tree();
    let tree = work.path().join("tree");
    let copy = work.path().join("copy");
    let raw = work.path().join("raw");
    // Another file system, on which files are in another order, and as if an hour later.
    sh(&format!(
        "mkdir {0}; mount -t tmpfs copy {0}; mkdir {0}/work; cp -a --sparse=never {1} {0}/work/tree",
        copy.display(),
        tree.display()
    ));
    let _copy = crate::disk::Unmount(copy.clone());
    for format in [ImageFormat::Ext2, ImageFormat::Ext3, ImageFormat::Ext4] {
        let sum = pack(&tree, "/", format, &raw);
        let other = copy.join("work/raw");
        assert_eq!(sum, pack(&copy.join("work/tree"), "/", format, &other), "{format:?}");
        let (size, used) =
            fs::metadata(&raw).map(|meta| (meta.size(), meta.blocks() * 512)).expect("the image");
        // Its data, tables, and of ext3 a journal of zeros.
        assert!(used < 11 << 20 && size < 32 << 20, "{format:?}: {used} of {size} bytes");
        fs::remove_file(other).expect("the image");
    }
    let tar = |tree: &Path| {
        pack::tar(&System::default(), tree, EPOCH, &raw).expect("an archive");
        sh(&format!("sha256sum < {}", raw.display()))
    };
    assert_eq!(tar(&tree), tar(&copy.join("work/tree")));
    let out = work.path().join("out");
    sh(&format!(
        "mkdir {0}; tar --xattrs --xattrs-include='*' --acls -C {0} -xpf {1}",
        out.display(),
        raw.display()
    ));
    assert_same(&told(&out, &[]), &told(&tree, &[]), "tar");
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_full_host_is_told_with_what_to_do() {
    let work = odd_tree();
    let small = work.path().join("small");
    sh(&format!("mkdir {0}; mount -t tmpfs -o size=3m small {0}", small.display()));
    let _small = crate::disk::Unmount(small.clone());
    let look = look();
    for format in ImageFormat::ALL {
        let raw = small.join("raw");
        let packed = pack::file_system(
            &System::default(),
            &work.path().join("tree"),
            &image("/", format),
            &[],
            &look,
            &raw,
        );
        let error = packed.expect_err("no room").to_string();
        assert!(
            error.contains("no space is left") && error.contains("image_build_dir"),
            "{format:?}: {error}"
        );
        let _ = fs::remove_file(raw);
    }
}
