//! How long it takes to build a server's image, and how much memory: ours beside the sequence of commands that the original
//! bareon ran for it, and beside plain mmdebstrap, all from the same mirror, one after the other.
//!
//! `cargo bench -p bareon-tests --bench builds` (root, debootstrap, mmdebstrap, pigz; about ten minutes) prints a table.
//! Everything is built below `TMPDIR`; `BAREON_BUILD_IMAGE` names the program, else a release build of it is used. The
//! packages are those of `tests/vm/image.yaml`.

#![expect(clippy::disallowed_methods, reason = "whole programs are measured, and not called by ours")]

use std::{
    collections::BTreeSet,
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

const MIRROR: &str = "http://deb.debian.org/debian";

/// What the original did: everything on a loop device with an ext4 that is shrunk afterwards, and one thread that packs.
const ORIGINAL: &str = "
mkdir tree
truncate -s 8G raw
mkfs.ext4 -qF raw
mount -o loop raw tree
trap 'umount -R tree' EXIT
debootstrap --variant=minbase bookworm tree $MIRROR
printf '#!/bin/sh\\nexit 101\\n' >tree/usr/sbin/policy-rc.d
chmod 755 tree/usr/sbin/policy-rc.d
mount -t proc proc tree/proc
mount --bind /dev tree/dev
export DEBIAN_FRONTEND=noninteractive
chroot tree apt-get update
chroot tree apt-get -y dist-upgrade
chroot tree apt-get -y --no-install-recommends install $PACKAGES
chroot tree apt-get clean
rm tree/usr/sbin/policy-rc.d
umount -R tree
trap - EXIT
e2fsck -fp raw || test $? = 1
resize2fs -M raw
gzip -c raw >root.img.gz
";

/// No image of a file system either: a tree, packed.
const MMDEBSTRAP: &str = "mmdebstrap --variant=minbase --include=\"$(echo $PACKAGES | tr ' ' ,)\" bookworm - $MIRROR | pigz >root.img.gz";

const OURS: &str = "$PROGRAM --input-data-file input.json --image-build-dir \"$PWD/work\" --cache-dir $CACHE";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let program = program()?;
    let packages = packages()?;
    let top = env::temp_dir().join(format!("bareon-bench-{}", std::process::id()));
    let no_cache = OURS.replace(" --cache-dir $CACHE", "");
    let lines = [
        ("the original's commands", ORIGINAL.to_owned()),
        ("mmdebstrap | pigz", MMDEBSTRAP.to_owned()),
        ("ours, debootstrap", no_cache.clone()),
        ("ours, mmdebstrap", format!("{no_cache} --bootstrapper mmdebstrap")),
        ("(fills the cache)", format!("{OURS} --bootstrapper mmdebstrap")),
        ("ours, mmdebstrap, cache", format!("{OURS} --bootstrapper mmdebstrap")),
    ];
    let mut first = None;
    println!(
        "| what | seconds | the original's = 1 | peak memory, MiB | image, MiB |\n|---|---|---|---|---|"
    );
    for (name, line) in lines {
        let dir = top.join("build");
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("input.json"), document(&dir, &packages))?;
        let variables = [
            ("MIRROR", MIRROR.into()),
            ("PACKAGES", packages.join(" ")),
            ("PROGRAM", program.display().to_string()),
            ("CACHE", top.join("cache").display().to_string()),
        ];
        let begun = Instant::now();
        let child = Command::new("bash")
            .args(["-euc", &format!("set -o pipefail; {line}")])
            .envs(variables)
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(fs::File::create(dir.join("log"))?)
            .stderr(fs::File::create(dir.join("errors"))?)
            .spawn()?;
        let peak = peak(child).map_err(|error| format!("{name}: {error}; see {}", dir.display()))?;
        let seconds = begun.elapsed().as_secs_f64();
        let ratio = seconds / *first.get_or_insert(seconds);
        let image =
            [dir.join("root.img.gz"), dir.join("out/root.img.gz")].into_iter().find(|path| path.exists());
        let size = fs::metadata(image.ok_or("no image was made")?)?.len() >> 20;
        println!("| {name} | {seconds:.0} | {ratio:.2} | {} | {size} |", peak >> 10);
        fs::remove_dir_all(&dir)?;
    }
    fs::remove_dir_all(&top)?;
    Ok(())
}

fn document(dir: &Path, packages: &[String]) -> String {
    json!({
        "codename": "bookworm",
        "output": dir.join("out"),
        "repos": [{"name": "debian", "uri": MIRROR, "suite": "bookworm", "section": "main", "priority": null}],
        "packages": packages,
        "image_data": {"/": {"uri": "root.img.gz", "format": "ext4", "container": "gzip"}},
    })
    .to_string()
}

/// The names between the brackets of the tests' input.
fn packages() -> Result<Vec<String>> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/vm/image.yaml"))?;
    let list =
        text.split_once("packages: [").and_then(|(_, rest)| rest.split_once(']')).ok_or("no packages")?.0;
    Ok(list.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect())
}

fn program() -> Result<PathBuf> {
    if let Some(path) = env::var_os("BAREON_BUILD_IMAGE") {
        return Ok(path.into());
    }
    let status =
        Command::new(env!("CARGO")).args(["build", "--release", "-qp", "bareon-build-image"]).status()?;
    let bench = env::current_exe()?;
    let path = bench.ancestors().nth(2).map(|dir| dir.join("bareon-build-image"));
    path.filter(|path| status.success() && path.is_file())
        .ok_or_else(|| "no bareon-build-image was built".into())
}

/// Waits for a child, and tells the most memory that it and its descendants had, files in memory not counted, in KiB.
fn peak(mut child: Child) -> Result<u64> {
    let mut peak = 0;
    loop {
        if let Some(status) = child.try_wait()? {
            return if status.success() { Ok(peak) } else { Err(format!("it ended with {status}").into()) };
        }
        peak = peak.max(resident(child.id()));
        thread::sleep(Duration::from_millis(200));
    }
}

fn resident(top: u32) -> u64 {
    let numbers = |path: &Path| -> Option<(u32, u32)> {
        let pid = path.file_name()?.to_str()?.parse().ok()?;
        let stat = fs::read_to_string(path.join("stat")).ok()?;
        Some((pid, stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?))
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut parents: Vec<_> = processes.filter_map(|entry| numbers(&entry.path())).collect();
    parents.sort_unstable();
    let mut family = BTreeSet::from([top]);
    while let Some((pid, _)) =
        parents.iter().find(|(pid, parent)| family.contains(parent) && !family.contains(pid))
    {
        family.insert(*pid);
    }
    let held = |pid: &u32| {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        rollup
            .lines()
            .find_map(|line| line.strip_prefix("Pss_Anon:"))?
            .trim()
            .trim_end_matches(" kB")
            .parse::<u64>()
            .ok()
    };
    family.iter().filter_map(held).sum::<u64>()
}
