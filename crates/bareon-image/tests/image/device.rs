//! Real block devices: loop devices, which take root.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    process::Command,
};

use bareon_image::{Container, ImageError, Options, Silent, Verify};

use crate::support::{MIB, OLD, Place, gzip, noise, options, write};

/// A loop device over a file of a [`Place`]; let go when dropped.
pub struct Loop(pub PathBuf);

impl Loop {
    /// `None`, and said so, where there is no way to have one.
    #[expect(clippy::disallowed_methods, reason = "a test sets up its device")]
    pub fn over(place: &Place, sector: u32) -> Option<Self> {
        let made = Command::new("losetup")
            .args(["--find", "--show", "--sector-size", &sector.to_string()])
            .arg(&place.target)
            .output();
        match made {
            Ok(output) if output.status.success() => {
                Some(Self(String::from_utf8(output.stdout).unwrap().trim().into()))
            }
            made => {
                eprintln!("SKIPPED: no loop device (root and losetup are needed): {made:?}");
                None
            }
        }
    }
}

impl Drop for Loop {
    #[expect(clippy::disallowed_methods, reason = "a test lets go of its device")]
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

#[test]
fn images_arrive_on_devices_of_both_sector_sizes() {
    for sector in [512, 4096] {
        for size in [512, MIB + 512, 3 * MIB, 5 * MIB + 4096 + 512, 5 * MIB + 7] {
            let place = Place::with_old_data(8 * MIB);
            let Some(device) = Loop::over(&place, sector) else { return };
            let data = noise(size);
            let mut request = place.request(&place.source(&gzip(&data)), Container::Gzip);
            request.target.clone_from(&device.0);
            let written = write(&request).unwrap();
            assert_eq!(written.raw_bytes, size as u64);
            assert!(fs::read(&device.0).unwrap()[..size] == data, "sectors of {sector}, {size} bytes");
            drop(device);
            assert!(place.content()[..size] == data, "sectors of {sector}, {size} bytes, by the file");
        }
    }
}

#[test]
fn an_image_fills_a_device_to_its_last_sector_and_not_beyond() {
    let place = Place::with_old_data(3 * MIB + 512);
    let Some(device) = Loop::over(&place, 512) else { return };
    let data = noise(3 * MIB + 512);
    let mut request = place.request(&place.source(&gzip(&data)), Container::Gzip);
    request.target.clone_from(&device.0);
    write(&request).unwrap();
    assert!(fs::read(&device.0).unwrap() == data);

    // Too large, which shows only on the way.
    place.source(&gzip(&noise(4 * MIB)));
    let error = write(&request).unwrap_err();
    assert!(matches!(error, ImageError::NoRoom { exact: false, .. }), "{error:?}");
    assert!(fs::read(&device.0).unwrap()[..MIB].iter().all(|byte| *byte == 0));
}

#[test]
fn an_image_known_to_be_too_large_is_refused_before_the_first_byte() {
    let place = Place::with_old_data(MIB);
    let Some(device) = Loop::over(&place, 512) else { return };
    let data = noise(MIB + 1);
    let mut raw = place.request(&place.source(&data), Container::Raw);
    raw.target.clone_from(&device.0);
    let mut packed = raw.clone();
    (packed.request.container, packed.request.size) = (Some(Container::Gzip), Some(data.len() as u64));
    for request in [raw, packed] {
        let error = write(&request).unwrap_err();
        assert!(matches!(error, ImageError::NoRoom { exact: true, .. }), "{error:?}");
    }
    drop(device);
    place.assert_untouched();
}

#[test]
fn a_device_that_somebody_holds_is_refused() {
    let place = Place::with_old_data(MIB);
    let Some(device) = Loop::over(&place, 512) else { return };
    let holder: File = OpenOptions::new().read(true).custom_flags(libc::O_EXCL).open(&device.0).unwrap();
    let mut request = place.request(&place.source(&noise(512)), Container::Raw);
    request.target.clone_from(&device.0);
    let error = write(&request).unwrap_err();
    assert!(matches!(error, ImageError::Busy { .. }), "{error:?}");
    drop(holder);
    write(&request).unwrap();
}

#[test]
fn zeros_are_made_where_a_device_held_something() {
    let mut data = noise(9 * MIB);
    data[2 * MIB - 70_000..7 * MIB].fill(0);
    data[8 * MIB..].fill(0);
    let place = Place::with_old_data(10 * MIB);
    for block in [512, 4096] {
        fs::write(&place.target, vec![OLD; 10 * MIB]).unwrap();
        let Some(device) = Loop::over(&place, block) else { return };
        let request = place.request(&place.source(&gzip(&data)), Container::Gzip);
        let options = Options { verify: Verify::Readback, ..options() };
        bareon_image::write(&request, &options, &device.0, &Silent).unwrap();
        drop(device);
        let content = place.content();
        assert!(content[..data.len()] == data, "blocks of {block}");
        assert!(content[data.len()..].iter().all(|byte| *byte == OLD));
    }
}
