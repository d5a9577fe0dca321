//! What needs more than one crate, root or a virtual machine to be tested.

pub mod vm;
