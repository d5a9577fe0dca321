//! The main job, for real: a bare machine in QEMU is provisioned from the ramdisk and boots from its own disk.
//!
//! A machine takes minutes, so few are made and much is asked of each. They need root and QEMU and are ignored without
//! `--include-ignored`, which `contrib/test` gives when it can. `BAREON_KEEP=1` keeps disks, consoles and logs.

mod boots;
mod breaks;
mod bystander;
mod case;
mod crowd;
mod differential;
mod disk_image;
mod faults;
mod found;
mod keep;
mod leftovers;
mod native;
mod network;
mod refusals;
mod storage;
