//! Keeps udev from starting arrays and groups while disks are worked on.
//!
//! As soon as a partition appears where an old array or physical volume lay, udev's rules start it again: it holds the
//! disk, or gets written to by a resync, between two of our commands. So for that time the rules that start things are
//! masked, the way udev(7) has it: a file of the same name in `/run/udev/rules.d` takes the place of one in
//! `/usr/lib/udev/rules.d`. Nothing of the system is renamed or changed, and a ramdisk that is restarted has forgotten
//! it. All other rules work on: links, probing, locks.
//!
//! Which rules start things is known by what they run, as their names differ between distributions and versions
//! (`64-md-raid-assembly.rules`, `65-md-incremental.rules`; `69-lvm.rules`, `69-dm-lvm.rules`, `69-dm-lvm-metad.rules`;
//! `69-bcache.rules`; `95-ceph-osd.rules`). A site's own rules in `/etc/udev/rules.d` come before ours and cannot be
//! masked: they are warned of.
//!
//! The masks say that they are ours. Those of a run that was killed are taken over, and removed in the end.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use bareon_host::{CommandError, Runner, udevadm};

/// What a mask holds, by which it is known as ours.
const MARK: &str = "# bareon keeps udev from starting arrays and groups while it works on disks; this file goes when it is done\n";

/// The waits between attempts to reach a udev that has more events than it takes.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
    Duration::from_millis(3200),
];

/// What rules run that start arrays, groups and the like.
const STARTS: [&str; 8] = [
    "mdadm --incremental",
    "mdadm -I ",
    "pvscan",
    "vgchange",
    "lvm_scan",
    "bcache-register",
    "ceph-disk",
    "ceph-volume",
];

/// Where udev keeps its things; elsewhere in tests.
#[derive(Debug, Clone)]
pub struct Udev {
    /// The folders of the system's rules.
    pub system: Vec<PathBuf>,
    /// The folder of the site's own rules, which come before all others.
    pub site: PathBuf,
    /// The folder of rules that last until the next boot, which come before the system's.
    pub volatile: PathBuf,
    /// What is there as long as udev runs.
    pub control: PathBuf,
}

impl Default for Udev {
    fn default() -> Self {
        Self {
            system: ["/usr/lib/udev/rules.d", "/lib/udev/rules.d", "/usr/local/lib/udev/rules.d"]
                .map(Into::into)
                .to_vec(),
            site: "/etc/udev/rules.d".into(),
            volatile: "/run/udev/rules.d".into(),
            control: "/run/udev/control".into(),
        }
    }
}

/// A mask that could not be written or removed.
#[derive(Debug, thiserror::Error)]
#[error("masking udev's rules: {}", .path.display())]
pub struct HoldOffError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// As long as this lives, udev starts nothing by itself.
pub struct HoldOff<'a> {
    host: &'a dyn Runner,
    masks: Vec<PathBuf>,
}

impl std::fmt::Debug for HoldOff<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HoldOff").field("masks", &self.masks).finish_non_exhaustive()
    }
}

impl<'a> HoldOff<'a> {
    /// Keeps udev off from here on. Where no udev runs, or no rule starts anything, nothing is done.
    ///
    /// # Errors
    /// When a mask cannot be written.
    pub fn begin(host: &'a dyn Runner, udev: &Udev) -> Result<Self, HoldOffError> {
        let mut held = Self { host, masks: Vec::new() };
        if !udev.control.exists() {
            return Ok(held);
        }
        for name in starting(&udev.site) {
            tracing::warn!(
                "{} starts arrays or groups and cannot be held off, being the site's own: it may get in the way",
                udev.site.join(name).display()
            );
        }
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| HoldOffError { path, source }
        };
        let mut names: BTreeSet<_> = udev.system.iter().flat_map(|dir| starting(dir)).collect();
        // One of ours from a run that was killed may mask a rule that has been removed since.
        names.extend(leftovers(&udev.volatile));
        fs::create_dir_all(&udev.volatile).map_err(failed(&udev.volatile))?;
        for name in names {
            let mask = udev.volatile.join(&name);
            // Masked by somebody else already, or replaced by him with rules of his own.
            if mask.symlink_metadata().is_ok() && !is_ours(&mask) {
                tracing::warn!("{} is not ours: it is left as it is", mask.display());
                continue;
            }
            fs::write(&mask, MARK).map_err(failed(&mask))?;
            held.masks.push(mask);
        }
        if !held.masks.is_empty() {
            held.reload(&PAUSES);
        }
        Ok(held)
    }

    /// Lets udev work as before.
    ///
    /// # Errors
    /// When a mask cannot be removed.
    pub fn close(mut self) -> Result<(), HoldOffError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), HoldOffError> {
        if self.masks.is_empty() {
            return Ok(());
        }
        let mut first = Ok(());
        for mask in self.masks.drain(..) {
            match fs::remove_file(&mask) {
                Err(source) if source.kind() != io::ErrorKind::NotFound && first.is_ok() => {
                    first = Err(HoldOffError { path: mask, source });
                }
                _ => {}
            }
        }
        first
    }

    /// Has udev read its rules at once. By itself it looks with the next event, three seconds after it last did: in time
    /// for what comes after a run, and not for what comes now. One that does not answer may have left its socket behind
    /// and be gone; one under a flood of events takes no message until it has worked some of them off.
    fn reload(&self, pauses: &[Duration]) {
        let mut pauses = pauses.iter();
        while let Err(error) = self.host.run(&udevadm::reload()) {
            if !is_flooded(&error) {
                tracing::warn!("udev may see its changed rules late: {error}");
                return;
            }
            let Some(pause) = pauses.next() else {
                tracing::warn!(
                    "udev has so many events that it takes no message: it may start arrays and groups while they are worked \
                     on, and LVM waits for it for up to three minutes; `udevadm monitor` shows what sends them: {error}"
                );
                return;
            };
            thread::sleep(*pause);
        }
    }
}

/// Whether udev is there, and has no room for a message.
fn is_flooded(error: &CommandError) -> bool {
    matches!(error, CommandError::Failed { stderr, .. } if stderr.contains("Resource temporarily unavailable"))
}

impl Drop for HoldOff<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!("udev's rules may still be masked in /run/udev/rules.d: {error}");
        }
    }
}

/// The rules in `dir` that start something.
fn starting(dir: &Path) -> Vec<String> {
    rules(dir, |text| {
        let lines = text.lines().map(str::trim_start).filter(|line| !line.starts_with('#'));
        lines.into_iter().any(|line| STARTS.iter().any(|start| line.contains(start)))
    })
}

/// The masks that a run left which was killed.
fn leftovers(dir: &Path) -> Vec<String> {
    rules(dir, |text| text == MARK)
}

fn is_ours(mask: &Path) -> bool {
    fs::read_to_string(mask).is_ok_and(|text| text == MARK)
}

/// The rules in `dir` of which `holds` is true.
fn rules(dir: &Path, holds: impl Fn(&str) -> bool) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut found: Vec<_> = names
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "rules"))
        .filter(|name| {
            // A site's rules may be in any encoding.
            fs::read(dir.join(name)).is_ok_and(|text| holds(&String::from_utf8_lossy(&text)))
        })
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use bareon_host::Script;

    use super::*;

    const RELOAD: &str = "udevadm control --reload";

    fn udev(root: &Path) -> Udev {
        let udev = Udev {
            system: vec![root.join("usr"), root.join("lib")],
            site: root.join("etc"),
            volatile: root.join("run/rules.d"),
            control: root.join("control"),
        };
        for (file, text) in [
            ("usr/64-md-raid-assembly.rules", "ACTION==\"add\", RUN+=\"/sbin/mdadm -I $tempnode\"\n"),
            (
                "usr/63-md-raid-arrays.rules",
                "# mdadm -I \nIMPORT{program}=\"mdadm --detail --export $devnode\"\n",
            ),
            ("lib/69-lvm.rules", "IMPORT{program}=\"/sbin/lvm pvscan --cache\"\n"),
            ("etc/10-site.rules", "RUN+=\"vgchange -ay\"\n"),
            ("usr/60-block.rules", "a\n"),
            ("control", ""),
        ] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), text).unwrap();
        }
        udev
    }

    fn masks(udev: &Udev) -> Vec<String> {
        rules(&udev.volatile, |_| true)
    }

    #[test]
    fn the_rules_that_start_something_are_masked_for_a_while() {
        let root = tempfile::tempdir().unwrap();
        let udev = udev(root.path());
        let host = Script::default().ok(RELOAD, "");
        let held = HoldOff::begin(&host, &udev).unwrap();
        assert_eq!(masks(&udev), ["64-md-raid-assembly.rules", "69-lvm.rules"]);
        held.close().unwrap();
        assert!(masks(&udev).is_empty());
    }

    #[test]
    fn what_a_killed_run_left_is_taken_over_and_what_others_wrote_is_left() {
        let root = tempfile::tempdir().unwrap();
        let udev = udev(root.path());
        fs::create_dir_all(&udev.volatile).unwrap();
        fs::write(udev.volatile.join("64-md-raid-assembly.rules"), MARK).unwrap();
        fs::write(udev.volatile.join("85-mdadm.rules"), MARK).unwrap();
        fs::write(udev.volatile.join("69-lvm.rules"), "RUN+=\"vgchange\"\n").unwrap();
        let host = Script::default().ok(RELOAD, "");
        drop(HoldOff::begin(&host, &udev).unwrap());
        assert_eq!(masks(&udev), ["69-lvm.rules"]);
    }

    #[test]
    fn without_udev_nothing_is_done() {
        let root = tempfile::tempdir().unwrap();
        let udev = Udev { control: root.path().join("nosuch"), ..udev(root.path()) };
        HoldOff::begin(&Script::default(), &udev).unwrap().close().unwrap();
        assert!(!udev.volatile.exists());
    }

    #[test]
    fn a_udev_that_does_not_answer_is_none_to_wait_for() {
        let root = tempfile::tempdir().unwrap();
        let udev = udev(root.path());
        let host = Script::default().fails(RELOAD, 1, "no answer");
        HoldOff::begin(&host, &udev).unwrap().close().unwrap();
        assert!(masks(&udev).is_empty());
    }

    #[test]
    fn a_udev_under_a_flood_is_asked_again() {
        let flood = "Failed to send request to reload: Resource temporarily unavailable";
        let held = |host| HoldOff { host, masks: Vec::new() };
        let host = Script::default().fails(RELOAD, 1, flood).fails(RELOAD, 1, flood).ok(RELOAD, "");
        held(&host).reload(&[Duration::ZERO; 2]);
        let host = Script::default().fails(RELOAD, 1, flood).fails(RELOAD, 1, flood);
        held(&host).reload(&[Duration::ZERO]);
    }
}
