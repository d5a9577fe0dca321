//! Software RAID: every call of `mdadm(8)` is in this file.

use crate::{Cmd, Tool, cmd::SHORT};

/// An array to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// Its device node, such as `/dev/md0`.
    pub device: String,
    /// Its level as mdadm takes it.
    pub level: String,
    /// The version of its superblock; mdadm's own choice where nothing is given.
    pub metadata: Option<String>,
    /// Its members.
    pub members: Vec<String>,
    /// Its spares.
    pub spares: Vec<String>,
    /// Whether it has a bitmap of regions that are being written, so that a member that was away is brought up
    /// to date by those alone. Nothing for a level without redundancy, for which mdadm takes no such option.
    pub bitmap: Option<bool>,
    /// Whether its members are taken to be in step already, so that they are not synchronised first.
    pub assume_clean: bool,
}

/// Makes an array over whatever lies on its members, and starts it.
///
/// `any` as the home host: whichever name the installed system gets, it gives the array this name.
pub fn create(array: &Create) -> Cmd {
    let mut cmd = Tool::Mdadm
        .cmd()
        .time_limit(SHORT)
        .args(["--create", &array.device, "--run", "--homehost=any"])
        .arg(format!("--level={}", array.level));
    // An array of one member is asked about; where there are more, mdadm brings parity in step its quicker way.
    if array.members.len() == 1 {
        cmd = cmd.arg("--force");
    }
    if let Some(metadata) = &array.metadata {
        cmd = cmd.arg(format!("--metadata={metadata}"));
    }
    if let Some(bitmap) = array.bitmap {
        cmd = cmd.arg(if bitmap { "--bitmap=internal" } else { "--bitmap=none" });
    }
    if array.assume_clean {
        cmd = cmd.arg("--assume-clean");
    }
    cmd = cmd.arg(format!("--raid-devices={}", array.members.len()));
    if !array.spares.is_empty() {
        cmd = cmd.arg(format!("--spare-devices={}", array.spares.len()));
    }
    cmd.args(&array.members).args(&array.spares)
}

/// Starts the array with that UUID from `members`, as `device`, also when some are missing.
pub fn assemble(device: &str, uuid: &str, members: &[String]) -> Cmd {
    Tool::Mdadm
        .cmd()
        .time_limit(SHORT)
        .args(["--assemble", device, "--run"])
        .arg(format!("--uuid={uuid}"))
        .args(members)
}

/// Stops arrays.
pub fn stop(devices: &[String]) -> Cmd {
    Tool::Mdadm.cmd().time_limit(SHORT).arg("--stop").args(devices)
}

/// Prints all arrays that the superblocks of all devices tell of, with those devices.
pub fn examine_scan() -> Cmd {
    Tool::Mdadm.cmd().time_limit(SHORT).args(["--examine", "--scan", "--verbose"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_made_in_one_call() {
        let array = Create {
            device: "/dev/md0".into(),
            level: "5".into(),
            metadata: Some("1.2".into()),
            members: ["/dev/sda3", "/dev/sdb3", "/dev/sdc3"].map(Into::into).to_vec(),
            spares: vec!["/dev/sdd3".into()],
            bitmap: Some(true),
            assume_clean: false,
        };
        assert_eq!(
            create(&array).to_string(),
            "mdadm --create /dev/md0 --run --homehost=any --level=5 --metadata=1.2 --bitmap=internal \
             --raid-devices=3 --spare-devices=1 /dev/sda3 /dev/sdb3 /dev/sdc3 /dev/sdd3"
        );
        let mirror = Create {
            level: "mirror".into(),
            metadata: None,
            members: array.members[..2].to_vec(),
            spares: Vec::new(),
            bitmap: Some(false),
            assume_clean: true,
            ..array
        };
        assert_eq!(
            create(&mirror).to_string(),
            "mdadm --create /dev/md0 --run --homehost=any --level=mirror --bitmap=none --assume-clean \
             --raid-devices=2 /dev/sda3 /dev/sdb3"
        );
    }
}
