//! A layout as a plain shell script, tool call after tool call in the order in which the original bareon made them.
//!
//! It is what the program is measured against, and what tells whether [`Found`](super::found::Found) reads disks rightly:
//! nothing of ours takes part in it.

use serde_json::Value;

/// The script for `scheme`, as `plan --json` and [`Scheme`](super::scheme::Scheme) have it, on disks that are empty; the
/// file systems at the mount points `imaged` are not made. It runs with `set -e`; `$calls` counts the programs it started,
/// and the function `mark`, which has to be there, is called with the name of each part that follows.
pub fn script(scheme: &Value, imaged: &[&str]) -> String {
    let mut script = String::from(
        "set -e\ncalls=0\nrun() { calls=$((calls + 1)); \"$@\" >>/tmp/by-hand 2>&1; }\n\
         settle() { run udevadm settle --timeout=10; }\n\
         lookup() { for call; do run $call || true; done; }\n",
    );
    let mut line = |text: String| {
        script += &text;
        script.push('\n');
    };
    line("mark tables".into());
    line("lookup 'lvs' 'vgs' 'pvs' 'mdadm --detail --scan'".into());
    for partition in partitions(scheme) {
        let (disk, begin, end) =
            (text(&partition["device"]), mib(&partition["begin"]), mib(&partition["end"]));
        for place in [begin, end] {
            let seek = place.saturating_sub(3);
            line(format!("run dd if=/dev/zero of={disk} bs=1M count=5 seek={seek} || true"));
        }
    }
    for parted in list(&scheme["parteds"]) {
        let disk = text(&parted["name"]);
        line(format!("settle; run parted -s {disk} mklabel {}; settle", text(&parted["label"])));
        for partition in list(&parted["partitions"]) {
            make_partition(disk, partition, &mut line);
        }
    }
    line("mark arrays".into());
    for array in list(&scheme["mds"]) {
        make_array(array, &mut line);
    }
    line("mark groups".into());
    for pv in list(&scheme["pvs"]) {
        line(format!(
            "lookup pvs; settle; run pvcreate -y --metadatacopies {} --metadatasize {}m {}",
            pv["metadatacopies"],
            pv["metadatasize"],
            text(&pv["name"])
        ));
    }
    for group in list(&scheme["vgs"]) {
        line(format!(
            "lookup vgs pvs; settle; run vgcreate -s 4m {} {}",
            text(&group["name"]),
            words(&group["pvnames"])
        ));
    }
    for lv in list(&scheme["lvs"]) {
        let (group, name) = (text(&lv["vgname"]), text(&lv["name"]));
        line(format!(
            "lookup vgs lvs; settle; run lvcreate -y --wipesignatures y -L {}m -n {name} {group}",
            lv["size"]
        ));
    }
    line("mark file-systems".into());
    for fs in list(&scheme["fss"]) {
        if !imaged.contains(&text(&fs["mount"])) {
            line(make_file_system(fs));
        }
    }
    line("settle; mark end".into());
    script
}

fn make_partition(disk: &str, partition: &Value, line: &mut impl FnMut(String)) {
    let (number, kind) = (&partition["count"], text(&partition["partition_type"]));
    let reread = format!("run partx -u {disk} || true; settle");
    line(format!("lookup 'parted -s {disk} -m unit MiB print free'; settle"));
    line(format!(
        "run parted -a none -s {disk} unit MiB mkpart {kind} {} {}; {reread}",
        mib(&partition["begin"]),
        mib(&partition["end"])
    ));
    for flag in list(&partition["flags"]) {
        line(format!("settle; run parted -s {disk} set {number} {} on; {reread}", text(flag)));
    }
    if let Some(guid) = partition["guid"].as_str() {
        line(format!("settle; run sgdisk --typecode={number}:{guid} {disk}; {reread}"));
    }
}

fn make_array(array: &Value, line: &mut impl FnMut(String)) {
    let (devices, spares) = (words(&array["devices"]), words(&array["spares"]));
    line("lookup 'mdadm --detail --scan'".into());
    for device in devices.split(' ').chain(spares.split_whitespace()) {
        line(format!("run mdadm --zero-superblock --force {device} || true"));
    }
    let metadata = match text(&array["metadata"]) {
        "default" | "" => "1.2",
        given => given,
    };
    line(format!(
        "settle; run mdadm --create --force --run {} -e {metadata} --level={} --raid-devices={} \
         --spare-devices={} {devices} {spares}; settle",
        text(&array["name"]),
        text(&array["level"]),
        list(&array["devices"]).len(),
        list(&array["spares"]).len(),
    ));
}

fn make_file_system(fs: &Value) -> String {
    let (kind, label, device) = (text(&fs["fs_type"]), text(&fs["fs_label"]), text(&fs["device"]));
    let (program, quiet, named) = match kind {
        "swap" => ("mkswap".to_owned(), "-f", "-L"),
        "xfs" => ("mkfs.xfs".to_owned(), "-f", "-L"),
        "btrfs" => ("mkfs.btrfs".to_owned(), "-f", "-L"),
        "vfat" => ("mkfs.vfat".to_owned(), "", "-n"),
        kind => (format!("mkfs.{kind}"), "-F", "-L"),
    };
    let label = if label.is_empty() { String::new() } else { format!("{named} '{label}'") };
    format!("run {program} {quiet} {label} {device}")
}

fn partitions(scheme: &Value) -> impl Iterator<Item = &Value> {
    list(&scheme["parteds"]).iter().flat_map(|parted| list(&parted["partitions"]))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn mib(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn words(value: &Value) -> String {
    list(value).iter().map(text).collect::<Vec<_>>().join(" ")
}
