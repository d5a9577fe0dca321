//! An array or a group, as a thing that lies on devices and makes devices.

use crate::hardware::{
    stack::{Array, Group},
    usage::Holder,
};

/// A group's UUID as the device mapper writes it.
pub(super) fn plain(uuid: &str) -> String {
    uuid.replace('-', "")
}

/// An array or a group.
#[derive(Debug, Clone, Copy)]
pub(super) enum Node<'a> {
    Array(&'a Array),
    Group(&'a Group),
}

impl<'a> Node<'a> {
    /// What it lies on.
    pub(super) fn below(self) -> Vec<&'a str> {
        match self {
            Self::Array(array) => array.members.iter().map(String::as_str).collect(),
            Self::Group(group) => group.devices().collect(),
        }
    }

    /// The devices that it makes.
    pub(super) fn devices(self) -> Vec<&'a str> {
        match self {
            Self::Array(array) => array.device.as_deref().into_iter().collect(),
            Self::Group(group) => group.lvs.iter().map(|lv| lv.device.as_str()).collect(),
        }
    }

    /// Whether anything of it is there to be ended.
    pub(super) fn is_up(self) -> bool {
        match self {
            Self::Array(array) => array.device.is_some(),
            Self::Group(group) => group.lvs.iter().any(|lv| lv.active),
        }
    }

    pub(super) fn holder(self) -> Option<Holder> {
        match self {
            Self::Array(array) => array.device.clone().map(Holder::Array),
            Self::Group(group) => Some(Holder::Group(plain(&group.uuid))),
        }
    }

    pub(super) fn name(self) -> String {
        match self {
            Self::Array(array) => array.name(),
            Self::Group(group) => format!("the volume group {}", group.name),
        }
    }

    /// Whether `device` is one that it makes, or a partition of one.
    pub(super) fn makes(self, device: &str) -> bool {
        self.devices().iter().any(|own| *own == device || is_partition(device, own))
    }

    /// Whether it lies on `other`. A volume of firmware RAID has the members of its container.
    pub(super) fn lies_on(self, other: Self) -> bool {
        let shares = || match (self, other) {
            (Self::Array(volume), Self::Array(container)) => {
                container.is_container()
                    && !volume.is_container()
                    && volume.members.iter().any(|member| container.members.contains(member))
            }
            _ => false,
        };
        self.below().into_iter().any(|device| other.makes(device)) || shares()
    }
}

/// Whether `device` is named as a partition of `disk` is, by the kernel.
fn is_partition(device: &str, disk: &str) -> bool {
    let digit = disk.ends_with(|c: char| c.is_ascii_digit());
    let number =
        device.strip_prefix(disk).and_then(|rest| if digit { rest.strip_prefix('p') } else { Some(rest) });
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}
