//! The boot loader: is there a root to boot, a disk to boot from, and room on it?

use super::{Checks, Stage};
use crate::objects::partition::Label;

impl Checks<'_> {
    pub(super) fn boot_loader(&mut self) {
        let deployment = self.deployment;
        let scheme = &deployment.partition_scheme;
        if deployment.grub.version == Some(1) && !deployment.grub_guessed {
            self.refuse(
                &[Stage::Bootloader],
                "/grub/version",
                "1",
                "GRUB legacy is not installed yet",
                "use an image that brings GRUB 2",
            );
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
            if self.firmware.bios() && parted.label == Label::Gpt && !bios_boot {
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
}
