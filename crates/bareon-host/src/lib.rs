//! How a tool of the operating system is run. This crate knows no word of bareon.
//!
//! A wrapper builds a [`Cmd`], a [`Runner`] runs it, and a pure function reads what it printed.
//! [`System`] is the real machine, [`Script`] a fake one for tests.

pub mod apt;
pub mod blkid;
pub mod btrfs;
pub mod chroot;
pub mod cmd;
pub mod cp;
pub mod debootstrap;
pub mod efibootmgr;
pub mod entropy;
pub mod fsck;
pub mod grow;
pub mod grub;
pub mod kpartx;
pub mod lock;
pub mod lvm;
pub mod mdadm;
pub mod mke2fs;
pub mod mkfs;
pub mod mmdebstrap;
pub mod mount;
pub mod namespace;
mod orphan;
pub mod partx;
mod process;
pub mod qemu_img;
pub mod runner;
pub mod script;
pub mod sfdisk;
pub mod sgdisk;
pub mod squashfs;
pub mod tar;
pub mod tool;
pub mod udevadm;
pub mod wipefs;
pub mod xorriso;

pub use cmd::Cmd;
pub use runner::{CommandError, Output, Runner, System};
pub use script::Script;
pub use tool::Tool;
