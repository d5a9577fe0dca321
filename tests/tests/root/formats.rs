//! Images of whole disks and of files: what lies on the target afterwards is compared with what was packed.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use bareon_image::{
    Silent,
    index::{Index, SUFFIX},
    pack::{Packing, pack},
};
use serde_json::{Value, json};

use crate::{
    bench::Bench,
    disk::{Disk, Mounted, assert_unused, sh},
    images::{self, HELLO},
};

/// A document of `bareon` for one disk, which is called `disk`.
pub fn document(disk: &Disk, partitions: Option<Value>, images: &Value) -> Value {
    let name = disk.name.trim_start_matches("/dev/");
    let mut described = json!({"name": "disk", "match": {"name": name}, "boot": false});
    if let Some(partitions) = partitions {
        described["partitions"] = partitions;
    }
    json!({"version": 1, "disks": [described], "images": images})
}

/// A whole disk of 60 MiB with a GPT, whose second partition is an ext4 of 40 MiB with the file `hello`.
pub fn whole(bench: &Bench) -> String {
    let file = images::make(bench, "ext4", 40);
    let disk = bench.path("whole.img").to_string_lossy().into_owned();
    sh(&format!(
        "truncate -s 60M {disk}; printf 'label: gpt\nstart=2048,size=8M,type=U\nstart=22528,size=40M,type=L\n' | \
         sfdisk -q {disk}; dd if={file} of={disk} bs=1M seek=11 conv=notrunc status=none"
    ));
    disk
}

fn packed(file: &str) -> (String, String) {
    sh(&format!("gzip -kf1 {file}"));
    (format!("file://{file}.gz"), images::sum("sha256sum", file))
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_whole_disk_image_fills_a_larger_disk() {
    let (bench, disk) = (Bench::new(), Disk::new(200));
    let file = whole(&bench);
    let (url, sum) = packed(&file);
    let before: Value = serde_json::from_str(&sh(&format!("sfdisk --json {file}"))).expect("JSON");
    let before = &before["partitiontable"];
    // What lay there before has more partitions, and one in the place of the image's end.
    sh(&format!(
        "printf 'label: gpt\n,20M\n,20M\n,+\n' | sfdisk -q --no-tell-kernel {0}; partx -a {0}",
        disk.name
    ));
    sh(&format!("mkfs.ext4 -q {}", disk.part(3)));
    for grow in [false, true] {
        let image =
            json!([{"target": "disk", "format": "disk", "url": url, "raw_sha256": sum, "grow": grow}]);
        bench.run_driver("bareon", &document(&disk, None, &image), &["--noallow-unverified"]).succeeded();
        let table = disk.table();
        assert_ne!(table["id"], before["id"]);
        // Partitions may lie up to the last whole MiB.
        assert!(table["lastlba"].as_u64() > Some((199 << 11) - 2), "{table}");
        let (first, last) = (&table["partitions"][0], &table["partitions"][1]);
        assert_eq!((&first["uuid"], &first["size"]), (&before["partitions"][0]["uuid"], &json!(8 << 11)));
        assert_eq!(last["uuid"], before["partitions"][1]["uuid"]);
        assert_eq!(table["partitions"].as_array().expect("partitions").len(), 2);
        assert!(sh(&format!("sfdisk --verify {}", disk.name)).contains("No errors"));
        assert!(sh(&format!("sgdisk -v {}", disk.name)).contains("No problems found"));
        assert_eq!(disk.nodes(), [disk.part(1), disk.part(2)]);
        let (hello, size) = disk.file(2, "hello");
        assert_eq!(hello, HELLO);
        assert_eq!(size > 150 << 20, grow, "{size}");
        assert_unused(&disk);
    }
}

/// How many bytes of the container a disk lacks of the image in `file`, the first chunk in any case, and how many of the
/// image it has, zeros aside.
fn lacks(index: &Index, file: &Path, disk: &Path) -> [u64; 2] {
    // The disk's cache knows nothing of what was written by way of its partitions.
    sh(&format!("blockdev --flushbufs {}", disk.display()));
    let [file, disk] = [file, disk].map(|path| File::open(path).expect("a file"));
    let [mut needed, mut kept] = [0, 0];
    for (number, chunk) in index.chunks.iter().enumerate().filter(|(_, chunk)| !chunk.zeros) {
        let range = index.raw_range(number);
        let [wanted, found] = [&file, &disk].map(|from| {
            let mut bytes = vec![0; usize::try_from(range.end - range.start).expect("a size")];
            from.read_exact_at(&mut bytes, range.start).expect("a chunk");
            bytes
        });
        if number > 0 && wanted == found {
            kept += range.end - range.start;
        } else {
            needed += u64::from(chunk.length);
        }
    }
    [needed, kept]
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_whole_disk_image_comes_by_its_index_and_again_only_what_differs() {
    let (bench, disk) = (Bench::new(), Disk::new(200));
    let file = whole(&bench);
    let out = format!("{file}.zst");
    let packed = pack(file.as_ref(), Packing::Zstd, out.as_ref(), 2, &Silent).expect("a packed image");
    let index = packed.index.expect("an index");
    fs::write(format!("{out}{SUFFIX}"), index.to_bytes()).expect("an index in a file");
    let image = json!([{
        "target": "disk", "format": "disk", "url": format!("file://{out}"), "raw_sha256": packed.raw_sha256,
        "index_sha256": images::sum("sha256sum", &format!("{out}{SUFFIX}")),
    }]);
    let run = |more: &str| {
        let ran = bench.run_driver("bareon", &document(&disk, None, &image), &["--noallow-unverified", more]);
        ran.succeeded();
        let (hello, _) = disk.file(2, "hello");
        assert_eq!(hello, HELLO);
        assert_unused(&disk);
        let told = &bench.report()["images"][0];
        ["bytes_fetched", "bytes_kept"].map(|key| told[key].as_u64().expect("a number"))
    };
    // What is no zeros is fetched, and once, also the first chunk, which is looked at before anything is written.
    let data = index.chunks.iter().filter(|chunk| !chunk.zeros).map(|chunk| u64::from(chunk.length)).sum();
    assert_eq!(run("--reimage=full"), [data, 0]);
    let needed = lacks(&index, file.as_ref(), disk.name.as_ref());
    assert!(needed[0] < data && needed[1] > 2 << 20, "{needed:?}");
    assert_eq!(run("--reimage=differential"), needed);
    for sectors in [512, 4096] {
        let disk = Disk::with_sectors(200, sectors);
        let before = disk.sum();
        let run = bench.run_driver("bareon", &document(&disk, None, &image), &["copyimage"]);
        if sectors == 512 {
            run.succeeded();
        } else {
            run.failed(&["sectors of 512 bytes, and this one has 4096"]);
            assert_eq!(disk.sum(), before);
        }
    }
}

#[test]
#[ignore = "needs root and loop devices"]
fn an_image_for_other_sectors_or_of_no_disk_leaves_the_disk_as_it_was() {
    let (bench, disk) = (Bench::new(), Disk::with_sectors(200, 4096));
    let (url, sum) = packed(&whole(&bench));
    let before = disk.sum();
    let image = json!([{"target": "disk", "format": "disk", "url": url, "raw_sha256": sum}]);
    let run = |image: Value| bench.run_driver("bareon", &document(&disk, None, &image), &["copyimage"]);
    run(image).failed(&["sectors of 512 bytes, and this one has 4096"]);
    let (url, sum) = packed(&images::make(&bench, "ext4", 20));
    run(json!([{"target": "disk", "format": "disk", "url": url, "raw_sha256": sum}]))
        .failed(&["no partition table"]);
    run(json!([{"target": "disk", "format": "ext4", "url": url, "raw_sha256": sum}]))
        .failed(&["/images/0/format", "its target is a disk"]);
    assert_eq!(disk.sum(), before);
}

/// A folder with a file of each kind.
fn every_kind(bench: &Bench) -> String {
    let dir = bench.path("files").to_string_lossy().into_owned();
    sh(&format!(
        "mkdir -p {dir}/sub/dir; cd {dir}; echo hello >plain; ln plain sub/hard; ln -s ../plain sub/soft; \
         ln -s /plain absolute; mkfifo fifo; mknod null c 1 3; mknod disk b 7 99; truncate -s 20M sparse; \
         printf end | dd of=sparse bs=1 seek=15000000 conv=notrunc status=none; \
         cp /bin/true capable; setcap cap_net_raw+ep capable; setfattr -n user.note -v kept plain; \
         setfattr -n trusted.note -v too sub; setfacl -m u:1234:rw plain; setfacl -d -m g:77:rx sub/dir; \
         chown 1000:1001 plain; chmod 4755 capable; setcap cap_net_raw+ep capable; chmod 1777 sub; \
         echo odd >\"$(printf 'name with\\nnewline and \\303\\244')\"; touch -d '2001-02-03 04:05:06.789' plain; \
         touch -h -d 2002-02-02 sub/soft; touch -d 2003-03-03 sub/dir sub ."
    ));
    dir
}

/// All that can be told of what is in a folder. XFS tells of access lists twice.
fn manifest(dir: &str) -> String {
    sh(&format!(
        "cd {dir}; find . -path ./lost+found -prune -o -printf '%p %y %m %U %G %l %Ty-%Tm-%Td %TT' \
         \\( -type f -printf ' %s %n' -o -true \\) -printf '\\n' | LC_ALL=C sort; \
         find . -path ./lost+found -prune -o -type f -print0 | sort -z | xargs -0 sha256sum; \
         find . -path ./lost+found -prune -o \\( -type b -o -type c \\) -print0 | sort -z | xargs -0 stat -c '%n %t %T'; \
         find . -path ./lost+found -prune -o ! -type l -print0 | sort -z | xargs -0 getfattr -h -d -m - -e hex | grep -v SGI_ACL; \
         find . -path ./lost+found -prune -o ! -type l -print0 | sort -z | xargs -0 getfacl -n -p"
    ))
}

#[test]
#[ignore = "needs root and loop devices"]
fn an_archive_becomes_a_file_system_with_all_that_it_tells_of_its_files() {
    let bench = Bench::new();
    let dir = every_kind(&bench);
    let (file, wanted) = (bench.path("files.tar").to_string_lossy().into_owned(), manifest(&dir));
    sh(&format!(
        "tar --create --sparse --xattrs --xattrs-include='*' --acls --format=posix -f {file} -C {dir} ."
    ));
    let (url, sum) = packed(&file);
    for kind in ["ext4", "xfs", "btrfs"] {
        let disk = Disk::new(700);
        let partitions =
            json!([{"name": "root", "size": "400MiB", "filesystem": {"type": kind, "label": "files"}}]);
        let image = json!([{"target": "root", "format": "tar", "url": url, "raw_sha256": sum}]);
        let document = document(&disk, Some(partitions), &image);
        bench.run_driver("bareon", &document, &["partition"]).succeeded();
        // A second time all is made anew.
        for _ in 0..2 {
            bench.run_driver("bareon", &document, &["copyimage"]).succeeded();
        }
        assert_eq!(disk.tag(1, "LABEL"), "files");
        let mounted = Mounted::new(&disk.part(1));
        let path = mounted.path().to_string_lossy().into_owned();
        assert_eq!(manifest(&path), wanted, "{kind}");
        let blocks: u64 = sh(&format!("stat -c %b {path}/sparse")).parse().expect("blocks");
        assert!(blocks < 4096, "{kind}: {blocks} blocks of a sparse file");
        drop(mounted);
        assert_unused(&disk);
    }
}

#[test]
#[ignore = "needs root and loop devices"]
fn an_archive_that_is_not_the_right_one_leaves_nothing_that_mounts() {
    let (bench, disk) = (Bench::new(), Disk::new(200));
    let (dir, file) = (every_kind(&bench), bench.path("files.tar").to_string_lossy().into_owned());
    let partitions = json!([{"name": "root", "size": "100MiB", "format": "ext4", "mount": "/"}]);
    let tar = |more: &str| sh(&format!("cd {dir}; tar --create -f {file} {more}"));
    let run = |sum: &str| {
        let (url, right) = packed(&file);
        let sum = if sum.is_empty() { right } else { sum.to_owned() };
        let image = json!([{"target": "/", "format": "tar", "url": url, "raw_sha256": sum}]);
        let document = document(&disk, Some(partitions.clone()), &image);
        bench.run_driver("bareon", &document, &["partition"]).succeeded();
        bench.run_driver("bareon", &document, &["copyimage"])
    };
    let wiped = || {
        assert_eq!(disk.probe(1), "");
        assert_unused(&disk);
    };
    tar(".");
    run(&"0".repeat(64)).failed(&["the sha256 sum", "it was wiped again"]);
    wiped();
    // Names that lead out of the folder.
    sh(&format!("cd {dir}/sub; tar --create --absolute-names -f {file} ../plain"));
    run("").failed(&["Member name contains '..'"]);
    wiped();
    // A whole archive that breaks off.
    tar(".");
    sh(&format!("truncate -s 5000 {file}"));
    run("").failed(&["Unexpected EOF in archive"]);
    wiped();
    // More than there is room for.
    sh(&format!("head -c 120M /dev/urandom >{dir}/large"));
    tar("large");
    run("").failed(&["No space left on device"]);
    wiped();
    let report = bench.report();
    assert!(report["end"]["error"].to_string().contains("holds nothing that can be mounted"), "{report}");
}

#[test]
#[ignore = "needs root and loop devices"]
fn what_an_image_has_below_a_mount_point_is_moved_onto_the_file_system_mounted_there() {
    let (bench, disk) = (Bench::new(), Disk::new(900));
    let (dir, tree) = (every_kind(&bench), bench.path("system"));
    let tree = tree.display();
    sh(&format!(
        "mkdir -p {tree}/var {tree}/etc {tree}/boot; cp -a {dir} {tree}/var/lib; echo kept >{tree}/etc/file; \
                 echo kernel >{tree}/boot/vmlinuz; echo log >{tree}/var/log; ln -s var {tree}/link"
    ));
    let file = bench.path("system.tar").to_string_lossy().into_owned();
    sh(&format!(
        "tar --create --sparse --xattrs --xattrs-include='*' --acls --format=posix -f {file} -C {tree} ."
    ));
    let (url, sum) = packed(&file);
    let partitions = json!([
        {"size": "200MiB", "format": "ext4", "mount": "/"},
        {"size": "300MiB", "format": "xfs", "mount": "/var/lib"},
        {"size": "100MiB", "format": "ext4", "mount": "/var"},
        {"size": "60MiB", "format": "ext2", "mount": "/boot"},
        {"size": "40MiB", "format": "ext2", "mount": "/link/efi"},
    ]);
    let image = json!([{"target": "/", "format": "tar", "url": url, "raw_sha256": sum}]);
    let document = document(&disk, Some(partitions), &image);
    bench.run_driver("bareon", &document, &["partition"]).succeeded();
    bench.run_driver("bareon", &document, &["copyimage"]).succeeded();
    let list = |number: u32| {
        let mounted = Mounted::new(&disk.part(number));
        sh(&format!("ls -A {} | grep -v lost+found || true", mounted.path().display()))
    };
    let mounted = Mounted::new(&disk.part(2));
    let moved = manifest(&mounted.path().to_string_lossy());
    drop(mounted);
    assert_eq!(moved, manifest(&dir));
    assert_eq!((list(1).as_str(), list(3).as_str()), ("boot\netc\nlink\nvar", "lib\nlog"));
    assert_eq!((list(4).as_str(), list(5).as_str()), ("vmlinuz", ""));
    let mounted = Mounted::new(&disk.part(1));
    let left = sh(&format!("cd {}; find boot etc var ! -type d", mounted.path().display()));
    drop(mounted);
    assert_eq!(left, "etc/file");
    assert_unused(&disk);
}

#[test]
#[ignore = "needs root and loop devices"]
fn images_for_several_disks_are_written_at_once_and_one_for_all_is_fetched_once() {
    let (bench, disks) = (Bench::new(), [Disk::new(100), Disk::new(120), Disk::new(160)]);
    let (whole, part) = (packed(&whole(&bench)), packed(&images::make(&bench, "ext4", 30)));
    let described = |i: usize, more: Value| {
        let mut described = more;
        described["name"] = json!(format!("disk{i}"));
        described["match"] = json!({"name": disks[i].name.trim_start_matches("/dev/")});
        described["boot"] = json!(false);
        described
    };
    let partitions = json!({"partitions": [{"name": "data", "size": "120MiB", "format": "ext4"}]});
    let image = |target: &str, format: &str, (url, sum): &(String, String)| json!({"target": target, "format": format, "url": url, "raw_sha256": sum});
    let mut document = json!({
        "version": 1,
        "disks": [described(0, json!({})), described(1, json!({})), described(2, partitions)],
        "images": [image("disk0", "disk", &whole), image("disk1", "disk", &whole), image("data", "ext4", &part)],
    });
    document["images"][1]["grow"] = json!(true);
    bench.run_driver("bareon", &document, &["partition"]).succeeded();
    bench.run_driver("bareon", &document, &["copyimage", "--memory-limit=200MiB"]).succeeded();
    for (disk, grown) in [(&disks[0], false), (&disks[1], true)] {
        let (hello, size) = disk.file(2, "hello");
        assert_eq!((hello.as_str(), size > 60 << 20), (HELLO, grown));
    }
    assert_eq!(disks[2].file(1, "hello").0, HELLO);
    assert_ne!(disks[0].table()["id"], disks[1].table()["id"]);
    let report = bench.report();
    let steps: Vec<_> = report["steps"].as_array().expect("steps").iter().map(|step| &step["name"]).collect();
    let both = format!("write {} to {} and {}", whole.0, disks[0].name, disks[1].name);
    assert!(*steps[0] == both, "{steps:?}");
    assert_eq!(report["images"].as_array().map(Vec::len), Some(3), "{report}");
    // The second began before the first ended.
    let begun = |i: usize| report["steps"][i]["start_ms"].as_u64().expect("a time");
    assert!(begun(1) < begun(0) + report["steps"][0]["ms"].as_u64().expect("a time"), "{report}");

    document["images"][0]["raw_sha256"] = json!("0".repeat(64));
    document["images"][1]["raw_sha256"] = json!("0".repeat(64));
    bench.run_driver("bareon", &document, &["copyimage"]).failed(&[
        "the sha256 sum",
        &disks[0].name,
        &disks[1].name,
    ]);
    for disk in &disks[..2] {
        assert_eq!(sh(&format!("blkid -p {} || test $? = 2", disk.name)), "");
    }
}
