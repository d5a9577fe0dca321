//! tftpd-hpa, which knows blocks of other sizes, and atftpd, which knows windows, too.

use std::{fs, os::unix::fs::MetadataExt};

use bareon_image::{ImageError, Silent, fetch};

use crate::{
    process::{Process, udp_port},
    support::{MIB, Place, noise, options},
};

/// tftpd-hpa, with these arguments; it locks itself into the folder that it serves, which takes root.
fn hpa(place: &Place, port: u16, more: &[&str]) -> Option<Process> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("SKIPPED: tftpd-hpa needs root");
        return None;
    }
    let address = format!("127.0.0.1:{port}");
    let arguments = ["-L", "-4", "-a", &address, "-s", place.served.to_str().unwrap()];
    Some(Process::start("in.tftpd", &[more, &arguments].concat(), place.path())?.holds(port))
}

fn atftpd(place: &Place, port: u16, more: &[&str]) -> Option<Process> {
    let user = if fs::metadata("/proc/self").unwrap().uid() == 0 { "nobody.nogroup" } else { "" };
    let port_text = port.to_string();
    let mut arguments =
        vec!["--daemon", "--no-fork", "--port", &port_text, "--bind-address", "127.0.0.1", "--logfile", "-"];
    if !user.is_empty() {
        arguments.extend(["--user", user]);
    }
    arguments.extend_from_slice(more);
    arguments.push(place.served.to_str().unwrap());
    Some(Process::start("atftpd", &arguments, place.path())?.holds(port))
}

/// Writes images whose last blocks are full, empty and in between.
fn serves_all_sizes(place: &Place, port: u16) {
    for size in [1, 511, 512, 513, 1428, 1428 * 32, 1428 * 33 - 1, 3 * MIB + 17] {
        let data = noise(size);
        place.serve("image", &data);
        fs::write(&place.target, []).unwrap();
        let uri = format!("tftp://127.0.0.1:{port}/image");
        place.write(&[uri], &data, &options(), &Silent).unwrap();
    }
    let error = fetch(&format!("tftp://127.0.0.1:{port}/none"), &options(), 9, &Silent).unwrap_err();
    assert!(matches!(error, ImageError::Tftp { code: 1, .. }), "{error:?}");
}

#[test]
fn tftpd_hpa_serves_images_of_all_sizes() {
    let (place, port) = (Place::new(), udp_port());
    let Some(_server) = hpa(&place, port, &[]) else { return };
    serves_all_sizes(&place, port);
}

#[test]
fn tftpd_hpa_without_options_serves_images_of_all_sizes() {
    let (place, port) = (Place::new(), udp_port());
    let Some(_server) = hpa(&place, port, &["-r", "blksize", "-r", "tsize"]) else { return };
    serves_all_sizes(&place, port);
}

#[test]
fn tftpd_hpa_goes_on_at_0_after_the_last_number() {
    let (place, port) = (Place::new(), udp_port());
    let Some(_server) = hpa(&place, port, &["-B", "512"]) else { return };
    // Beyond 65535 blocks twice.
    let data = noise(512 * 65536 * 2 + 512 * 9);
    place.serve("image", &data);
    place.write(&[format!("tftp://127.0.0.1:{port}/image")], &data, &options(), &Silent).unwrap();
}

#[test]
fn atftpd_serves_images_of_all_sizes_in_windows() {
    let (place, port) = (Place::new(), udp_port());
    let Some(_server) = atftpd(&place, port, &[]) else { return };
    serves_all_sizes(&place, port);
}

#[test]
fn atftpd_without_windows_serves_images_of_all_sizes() {
    let (place, port) = (Place::new(), udp_port());
    let Some(_server) = atftpd(&place, port, &["--no-windowsize", "--no-blksize"]) else { return };
    serves_all_sizes(&place, port);
}

#[test]
fn atftpd_goes_on_at_0_in_windows_after_the_last_number() {
    let (place, port) = (Place::new(), udp_port());
    let Some(_server) = atftpd(&place, port, &[]) else { return };
    let data = noise(1428 * 65536 + 1428 * 99);
    place.serve("image", &data);
    place.write(&[format!("tftp://127.0.0.1:{port}/image")], &data, &options(), &Silent).unwrap();
}
