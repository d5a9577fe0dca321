//! A job: what a machine in the ramdisk is to do, and what came of it.
//!
//! The script runs in `sh` with two functions of ours: `provision [ARGUMENT…]` runs the program on the document, with its
//! log in `/out/log` and its report in `/out/report.json`, and `nothing_left` fails unless the target is unmounted and
//! every process of the program has ended. `power_cut` ends the machine there and then, for [`cut_off`]. `read_back NAME` keeps what lies on the disks in `/out/NAME`, for
//! [`Found`](super::found::Found), and `clean_disks` removes from all disks what makes them look used. Whatever lies in `/out` at the end comes back.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::{
    assets,
    http::Server,
    machine::{Machine, Running},
    process::{self, Result},
};

/// A run of the slowest job may take this long before it counts as hanging.
const LIMIT: Duration = Duration::from_mins(25);

/// How long to wait before looking at the console again.
const POLL: Duration = Duration::from_millis(50);

/// What the console says when the power is to be cut.
const CUT: &str = "the power is cut here";

/// What every job's script starts with.
const PRELUDE: &str = r#"
set -u
cd /root
get() { curl -sSf -o "$2" "$JOB_SERVER/$1" || exit 124; }
get bareon-provision /usr/bin/bareon-provision
chmod 755 /usr/bin/bareon-provision
mkdir -p /usr/share/bareon
get templates.tar /tmp/templates.tar
tar -C /usr/share/bareon -xf /tmp/templates.tar
provision() {
    bareon-provision --input-data-file /tmp/provision.json --log-file /out/log --report /out/report.json --debug "$@"
}
# The mounts there were before the program ran are the ramdisk's own.
mounts() { cut -d' ' -f2 /proc/mounts | sort; }
mounts >/tmp/mounts
power_cut() { echo "the power is cut here" >/dev/console; sleep 1000; }
nothing_left() {
    mounts | diff /tmp/mounts - || { echo "something is still mounted"; return 1; }
    udevadm settle
    if pgrep -a 'bareon|mkfs|sfdisk|parted|grub|resize2fs|e2fsck|chroot|mdadm|lvm|wipefs'; then
        echo "a process is left"; return 1
    fi
    losetup -ln -O BACK-FILE | grep -v root.squashfs && { echo "a loop device is left"; return 1; }
    return 0
}
clean_disks() {
    lvm vgchange -qq -an
    mdadm --stop --scan 2>/dev/null
    udevadm settle
    for node in $(lsblk -nrpo NAME,TYPE | sed -n 's/ part$//p') $(lsblk -dnrpo NAME,TYPE | sed -n 's/ disk$//p'); do
        wipefs -qaf "$node"
        partx -d "$node" 2>/dev/null
    done
    udevadm settle
}
read_back() {
    mkdir -p "/out/$1"
    udevadm settle
    lsblk --json --bytes --list --output PATH,TYPE,SIZE,START,LOG-SEC >"/out/$1/kernel.json"
    for disk in $(lsblk -dnro PATH,TYPE | sed -n 's/ disk$//p'); do
        name=${disk##*/}
        sfdisk --json "$disk" >"/out/$1/$name.sfdisk" 2>"/out/$1/$name.sfdisk-said" || continue
        sgdisk --verify --print "$disk" >"/out/$1/$name.sgdisk" 2>&1
    done
    for md in /sys/block/md*/md; do
        [ -e "$md" ] || continue
        md=${md%/md}
        md=${md##*/}
        mdadm --detail --export "/dev/$md" >"/out/$1/$md.mdadm"
    done
    lvm fullreport --reportformat json --units b --nosuffix --configreport vg --options vg_name,vg_extent_size,pv_count \
        --configreport pv --options pv_name,vg_name,pv_size,pv_mda_count,pv_mda_size \
        --configreport lv --options lv_name,vg_name,lv_size,lv_active \
        --configreport pvseg --options pvseg_start --configreport seg --options seg_start >"/out/$1/lvm.json"
    for node in $(lsblk -nro PATH,TYPE | grep -vE ' (disk|loop)$' | cut -d' ' -f1 | sort -u); do blkid -p -o export "$node" && echo; done >"/out/$1/blkid"
    return 0
}
"#;

/// How a job ended.
pub struct Outcome {
    /// The script's exit status.
    pub status: i32,
    /// What the script wrote.
    pub output: String,
    /// The folder with what lay in `/out`.
    pub dir: PathBuf,
    /// How long the machine ran.
    pub took: Duration,
}

impl Outcome {
    /// A file of `/out`; empty when the job made none.
    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap_or_default()
    }

    /// The report of the program's last run.
    ///
    /// # Errors
    /// When there is none, or it is no JSON.
    pub fn report(&self) -> Result<Value> {
        serde_json::from_str(&self.file("report.json"))
            .map_err(|e| format!("report.json: {e}\n{self}").into())
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tail = |text: &str| {
            let lines: Vec<_> = text.lines().collect();
            lines[lines.len().saturating_sub(50)..].join("\n")
        };
        let (output, log) = (tail(&self.output), tail(&self.file("log")));
        write!(
            f,
            "status {} after {:?}\n--- output ends:\n{output}\n--- log ends:\n{log}",
            self.status, self.took
        )
    }
}

/// Serves the image that the assets hold below `/image/` of a server, and below `/split/` the one with a `/boot` of its own.
/// Below `/indexed/` it lies as it was built, with its chunk index. Elsewhere only the MD5 of the root image is told, as in the original's metadata: an emulated processor takes many seconds for each
/// further sum.
///
/// # Errors
/// When it cannot be made.
pub fn serve_image(server: &Server) -> Result<()> {
    let image = &assets::assets()?.image;
    for (url, dir) in [("/image", image.clone()), ("/split", image.join("split"))] {
        server.file(&format!("{url}/root.img.gz"), dir.join("root.img.gz"));
        server.bytes(&format!("{url}/root.yaml"), md5_of_root(&fs::read_to_string(dir.join("root.yaml"))?));
    }
    server.file("/split/boot.img.gz", image.join("split/boot.img.gz"));
    for name in ["root.img.gz", "root.img.gz.bidx", "root.yaml"] {
        server.file(&format!("/indexed/{name}"), image.join(name));
    }
    Ok(())
}

/// The metadata without the SHA-256 of the root image.
fn md5_of_root(metadata: &str) -> String {
    let mut of_root = false;
    let told = |line: &&str| {
        if line.contains("container_name:") {
            of_root = line.contains("root.img.gz");
        }
        !(of_root && line.contains("_sha256:"))
    };
    let lines: Vec<_> = metadata.lines().filter(told).collect();
    lines.join("\n") + "\n"
}

/// Runs `script` in the ramdisk of `machine`, with `document` as the input document. `name` names what is kept in the
/// machine's folder: the console, the outcome.
///
/// # Errors
/// When the machine does not start, hangs, or brings nothing back. A script that fails is an outcome.
pub fn run(machine: &Machine, name: &str, document: &Value, script: &str) -> Result<Outcome> {
    run_with(machine, name, &[("provision.json", document)], script)
}

/// The same with several documents, each of which lies in `/tmp` under its name.
///
/// # Errors
/// The same.
pub fn run_with(
    machine: &Machine,
    name: &str,
    documents: &[(&str, &Value)],
    script: &str,
) -> Result<Outcome> {
    let console = machine.dir.join(format!("{name}.console"));
    let (server, running) = start(machine, documents, script, &console)?;
    let took = running.wait(LIMIT)?;
    outcome(machine, name, &server, &console, took)
}

/// Runs `script` until it says `power_cut`, which is when the machine loses its power: whatever its kernel had not handed to the
/// disks is lost.
///
/// # Errors
/// When the machine does not start, or ends or hangs before that.
pub fn cut_off(machine: &Machine, name: &str, documents: &[(&str, &Value)], script: &str) -> Result<()> {
    let console = machine.dir.join(format!("{name}.console"));
    let (_server, mut running) = start(machine, documents, script, &console)?;
    while !running.console().contains(CUT) {
        if running.status()?.is_some() || running.age() > LIMIT {
            return Err(format!("the script never said power_cut\n{}", running.said()).into());
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// Starts a machine with a job, and the server that it gets all of it from.
fn start(
    machine: &Machine,
    documents: &[(&str, &Value)],
    script: &str,
    console: &Path,
) -> Result<(Server, Running)> {
    let assets = assets::assets()?;
    let server = Server::start()?;
    let mut fetch = String::new();
    for (document, content) in documents {
        server.bytes(&format!("/{document}"), serde_json::to_vec_pretty(content)?);
        fetch = format!("{fetch}get {document} /tmp/{document}\n");
    }
    server.bytes("/job", format!("{PRELUDE}{fetch}{script}"));
    server.bytes("/templates.tar", assets.templates.clone());
    server.file("/bareon-provision", &assets.program);
    let running = machine.start_ramdisk(&server.url("/job"), console)?;
    Ok((server, running))
}

/// What came back of a job.
fn outcome(
    machine: &Machine,
    name: &str,
    server: &Server,
    console: &Path,
    took: Duration,
) -> Result<Outcome> {
    let Some(result) = server.uploaded("/result") else {
        let text = fs::read(console).unwrap_or_default();
        return Err(format!("no result came back; the console:\n{}", String::from_utf8_lossy(&text)).into());
    };
    let dir = machine.dir.join(name);
    fs::create_dir_all(&dir)?;
    let tar = dir.with_extension("tar");
    fs::write(&tar, result)?;
    process::output(process::command("tar").arg("-C").arg(&dir).arg("-xf").arg(&tar))?;
    fs::remove_file(tar)?;
    let read = |name: &str| fs::read(dir.join(name)).map(|text| String::from_utf8_lossy(&text).into_owned());
    Ok(Outcome { status: read("status")?.trim().parse()?, output: read("output")?, dir, took })
}
