//! The boot loader: is there a root to boot, a disk to boot from, and room on it?

use super::{Checks, Stage};
use crate::objects::partition::{Label, Level};
use crate::plan::images;

impl Checks<'_> {
    pub(super) fn boot_loader(&mut self) {
        let deployment = self.deployment;
        let scheme = &deployment.partition_scheme;
        // A version that the profile's name alone speaks for is not the image's word.
        let legacy = deployment.grub.version == Some(1) && !deployment.grub_guessed;
        if legacy {
            self.legacy();
        }
        let whole = |image| images::is_whole(image, deployment);
        // A disk that comes as a whole brings its boot loader with it.
        if scheme.root().is_none() && deployment.image_scheme.iter().any(whole) {
            return;
        }
        if scheme.root().is_none() {
            let remedy = "add a file system with mount \"/\"";
            self.refuse(
                &[Stage::Bootloader],
                "/partition_scheme/fss",
                "",
                "there is no root file system",
                remedy,
            );
        }
        let disks: Vec<_> = scheme.parteds.iter().enumerate().filter(|(_, p)| p.install_bootloader).collect();
        if disks.is_empty() {
            let remedy = "set install_bootloader of the disks that the machine boots from";
            self.refuse(
                &[Stage::Bootloader],
                "/partition_scheme/parteds",
                "",
                "no disk gets the boot loader",
                remedy,
            );
        }
        for (i, parted) in disks {
            let path = format!("/partition_scheme/parteds/{i}");
            let bios_boot = parted.partitions.iter().any(|partition| partition.is_bios_boot(parted.label));
            if self.firmware.bios() && parted.label == Label::Gpt && !bios_boot && !legacy {
                let problem = "a GPT has no place for GRUB's BIOS image without a bios_grub partition";
                let remedy = "add one of 1 MiB or more with the flag bios_grub";
                self.refuse(&[Stage::Partition, Stage::Bootloader], &path, &parted.name, problem, remedy);
            }
            if self.firmware.uefi() && !parted.partitions.iter().any(|partition| partition.esp) {
                let problem = "UEFI needs an EFI system partition on a disk that it boots from";
                let remedy = "add one of 100 MiB or more with the flag esp";
                self.refuse(&[Stage::Partition, Stage::Bootloader], &path, &parted.name, problem, remedy);
            }
        }
    }

    /// GRUB legacy boots by a BIOS only, and reads `/boot` from a partition or a member of a mirror alone.
    fn legacy(&mut self) {
        const WHOLE: [Stage; 2] = [Stage::Partition, Stage::Bootloader];
        let scheme = &self.deployment.partition_scheme;
        if self.firmware.uefi() {
            let problem = "GRUB legacy does not boot by UEFI";
            self.refuse(
                &[Stage::Bootloader],
                "/grub/version",
                "1",
                problem,
                "set firmware=bios, or use an image with GRUB 2",
            );
        }
        let Some((i, fs)) = scheme
            .fss
            .iter()
            .enumerate()
            .find(|(_, fs)| fs.mount.as_deref() == Some("/boot"))
            .or_else(|| scheme.fss.iter().enumerate().find(|(_, fs)| fs.mount.as_deref() == Some("/")))
        else {
            return;
        };
        if scheme.lvs.iter().any(|lv| lv.device() == fs.device) {
            let problem = "GRUB legacy cannot read /boot on a logical volume";
            let path = format!("/partition_scheme/fss/{i}/device");
            self.refuse(&WHOLE, &path, &fs.device, problem, "put /boot on a partition of its own");
        }
        let Some((i, md)) = scheme.mds.iter().enumerate().find(|(_, md)| md.name == fs.device) else {
            return;
        };
        let path = |field: &str| format!("/partition_scheme/mds/{i}/{field}");
        if md.level() != Some(Level::Raid1) {
            let problem = "GRUB legacy reads /boot from a mirror only";
            self.refuse(&WHOLE, &path("level"), &md.level, problem, "use raid1, or put /boot on a partition");
        } else if !matches!(md.metadata.as_str(), "0" | "0.90" | "1.0") {
            let problem = "GRUB legacy reads a member of a mirror only where its superblock is at its end";
            self.refuse(&WHOLE, &path("metadata"), &md.metadata, problem, "use 0.90 or 1.0");
        }
    }
}
