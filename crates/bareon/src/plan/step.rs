//! A step of a plan: what it does, and the commands that it runs.

use std::path::PathBuf;

use bareon_host::{Cmd, cmd::quoted};
use bareon_image::{Container, Request, shown};

use super::Stage;
use crate::{
    audit,
    objects::{Bytes, PartitionScheme},
    steps::{
        backup::SaveMetadata,
        bootloader::{self, Boot, Family},
        configdrive::{Format, Rendered},
        copyimage::WriteImage,
        keep::{BringUp, ChangeGroup},
        moved::MoveFiles,
        partitioning::{self, LayOutDisk, MakeFs},
        place::Ground,
        teardown::TearDown,
        volumes::{MakeArrays, MakeGroup},
    },
};

/// One thing that is done.
#[derive(Debug, Clone)]
pub struct Step {
    /// The stage that it belongs to.
    pub stage: Stage,
    /// What it does, for people.
    pub what: String,
    /// What it does.
    pub action: Action,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Brings up what is kept, and looks at it.
    BringUp(Box<BringUp>),
    /// Makes volumes of a kept group anew.
    ChangeGroup(ChangeGroup),
    /// Saves the metadata of the disks.
    SaveMetadata(SaveMetadata),
    /// Takes down what lies on the disks.
    TearDown(TearDown),
    /// Writes a disk's table and makes the file systems on it.
    LayOut(LayOutDisk),
    /// Makes arrays.
    MakeArrays(MakeArrays),
    /// Makes a volume group and its volumes.
    MakeGroup(MakeGroup),
    /// Makes a file system on an array or a volume.
    MakeFs(MakeFs),
    /// Lets udev see what was done.
    Settle,
    /// Makes the config drive's image.
    MakeConfigDrive(MakeConfigDrive),
    /// Writes an image.
    WriteImage(Box<WriteImage>),
    /// Moves files of an image onto the file system that is mounted over them.
    MoveFiles(Box<MoveFiles>),
    /// Installs the boot loader.
    InstallBoot(Box<InstallBoot>),
}

/// The config drive's image and what it is made from.
#[derive(Debug, Clone)]
pub struct MakeConfigDrive {
    /// Its files.
    pub rendered: Rendered,
    /// The image.
    pub path: PathBuf,
    /// Where it is put together.
    pub tmp_path: PathBuf,
    /// How large it may be: as its partition.
    pub max: Bytes,
    /// What kind of file system it is.
    pub format: Format,
    /// What makes it; nothing where that is done in memory.
    pub commands: Vec<Cmd>,
}

/// The boot loader's step.
#[derive(Debug, Clone)]
pub struct InstallBoot {
    /// What is installed.
    pub boot: Boot,
    /// The family that the image is taken to be of while the plan is shown; what is found counts.
    pub family: Family,
    /// What the devices lie on by the layout that are mounted.
    pub grounds: Vec<Ground>,
    /// What brings the arrays and volumes among them up, where this stage runs alone on a machine just booted.
    pub up: Option<BringUp>,
    /// What its audit looks at beside.
    pub scope: audit::Scope,
    /// What the audit's errors do to the run.
    pub audit: audit::OnError,
}

impl InstallBoot {
    fn commands(&self) -> Vec<Cmd> {
        let mut cmds = bootloader::commands(&self.boot, self.family);
        if self.audit != audit::OnError::Off {
            // The last one unmounts.
            let end = cmds.len().saturating_sub(1);
            cmds.splice(end..end, audit::commands(&self.boot));
        }
        cmds
    }
}

impl Step {
    /// The command lines that it runs, as far as they are known before it runs.
    pub fn commands(&self) -> Vec<String> {
        self.calls().iter().map(ToString::to_string).collect()
    }

    /// The same as commands.
    pub(super) fn calls(&self) -> Vec<Cmd> {
        match &self.action {
            // It reads and writes in this process.
            Action::SaveMetadata(_) => Vec::new(),
            Action::TearDown(down) => down.commands(),
            Action::BringUp(up) => up.commands(),
            Action::ChangeGroup(group) => group.commands(),
            Action::LayOut(disk) => disk.commands(),
            Action::MakeArrays(arrays) => arrays.commands(),
            Action::MakeGroup(group) => group.commands(),
            Action::MakeFs(fs) => vec![fs.command()],
            Action::Settle => vec![partitioning::settle()],
            Action::MakeConfigDrive(drive) => drive.commands.clone(),
            Action::WriteImage(image) => image.commands(),
            Action::MoveFiles(files) => files.commands(),
            Action::InstallBoot(install) => install.commands(),
        }
    }

    /// Whether this and `next` can run at once: two disks, two file systems, images on different disks.
    pub fn independent_of(&self, next: &Self) -> bool {
        match (&self.action, &next.action) {
            (Action::LayOut(_), Action::LayOut(_)) | (Action::MakeFs(_), Action::MakeFs(_)) => true,
            (Action::WriteImage(image), Action::WriteImage(next)) => image.is_apart_from(next),
            _ => false,
        }
    }

    /// The devices that a file system or an image is written to.
    pub(super) fn written(&self) -> Vec<String> {
        match &self.action {
            Action::LayOut(disk) => disk.file_systems.iter().map(|fs| fs.device.clone()).collect(),
            Action::MakeFs(fs) => vec![fs.device.clone()],
            Action::WriteImage(image) => image.devices(),
            _ => Vec::new(),
        }
    }

    /// The devices over whose data it writes; `scheme` is the layout's.
    pub fn overwrites(&self, scheme: &PartitionScheme) -> Vec<String> {
        match &self.action {
            Action::MakeArrays(MakeArrays { arrays }) => {
                arrays.iter().flat_map(|array| array.members.iter().chain(&array.spares)).cloned().collect()
            }
            Action::MakeGroup(group) => group.members.clone(),
            Action::ChangeGroup(group) => group.members.clone(),
            // Its core image goes where there is no file system.
            Action::InstallBoot(_) => scheme
                .parteds
                .iter()
                .flat_map(|parted| {
                    parted.partitions.iter().filter(|partition| partition.is_bios_boot(parted.label))
                })
                .map(|partition| partition.name.clone())
                .collect(),
            _ => self.written(),
        }
    }

    /// The devices that an image is written to, where the step does that.
    pub(super) fn image_targets(&self) -> Vec<String> {
        match &self.action {
            Action::WriteImage(image) => image.devices(),
            _ => Vec::new(),
        }
    }

    /// What does the same by hand where no command is run for it.
    pub fn by_hand(&self) -> Option<String> {
        let Action::WriteImage(image) = &self.action else { return None };
        let Request { uris, container, .. } = &image.request;
        let uri = uris.first()?;
        let unpack = match container.or_else(|| Container::by_ending(uri)) {
            Some(Container::Raw) | None => "",
            Some(Container::Gzip) => " | gunzip -c",
            Some(Container::Zstd) => " | zstd -dc --long=31",
            Some(Container::Xz) => " | xz -dc",
            Some(Container::Bzip2) => " | bzip2 -dc",
            Some(Container::Lz4) => " | lz4 -dc",
        };
        let fetch = if uri.contains("://") { "curl -fL" } else { "cat" };
        let take = image.by_hand();
        Some(format!("{fetch} {}{unpack} | {take}", quoted(&shown(uri))))
    }
}
