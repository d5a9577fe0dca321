//! Where bytes go. A target is one file: today a device (or a file that stands for one).

mod device;

pub use device::Device;
