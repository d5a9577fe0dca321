//! The operating system that is installed, and what follows from it for the boot loader.

use serde_json::{Value, json};

use super::document::Base;
use crate::objects::{Grub, OperatingSystem};

/// The operating system that a profile's name stands for.
pub fn by_profile(profile: &str) -> OperatingSystem {
    let profile = profile.to_lowercase();
    let (name, major, minor) = if profile.contains("centos") {
        if profile.contains('7') { ("Centos", json!(7), json!(0)) } else { ("Centos", json!(6), json!(5)) }
    } else if profile.contains("ubuntu") {
        let major = if profile.contains("1404") { 14 } else { 12 };
        ("Ubuntu", json!(major), json!(4))
    } else {
        ("OperatingSystem", json!("unknown"), json!("unknown"))
    };
    OperatingSystem { name: name.into(), major, minor }
}

/// Whether a system is CentOS 6, whose boot loader is GRUB legacy and reads md metadata 0.90 only.
pub fn is_centos6(os: &OperatingSystem) -> bool {
    os.name == "Centos" && os.major.as_f64() == Some(6.0)
}

/// The boot loader of `os`. Which kernels it may boot is told by the profile: images of CentOS 6
/// carried a newer kernel beside their own, which is booted only where the input says so.
pub fn grub(base: &Base, os: &OperatingSystem) -> Grub {
    let own_kernel = is_centos6(&by_profile(&base.profile)) && !base.kernel_lt;
    let regexp = |name: &str| own_kernel.then(|| format!(r"^{name}-2\.6.*"));
    Grub {
        version: Some(if is_centos6(os) { 1 } else { 2 }),
        kernel_params: base.kernel_params.split_whitespace().collect::<Vec<_>>().join(" "),
        kernel_regexp: regexp("vmlinuz"),
        initrd_regexp: regexp("initramfs"),
        kernel_name: None,
        initrd_name: None,
    }
}

/// A value of the input that templates see; `null` where it is not there.
pub fn or_null(value: Option<&Value>) -> Value {
    value.cloned().unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_names_a_system() {
        for (profile, name, major) in [
            ("centos_65_x86_64", "Centos", json!(6)),
            ("base-CentOS7-x86_64", "Centos", json!(7)),
            ("base-centos-6.7-x86_64", "Centos", json!(7)),
            ("ubuntu_1404_x86_64", "Ubuntu", json!(14)),
            ("ubuntu_1604_x86_64", "Ubuntu", json!(12)),
            ("ubuntu-centos-1404", "Centos", json!(6)),
            ("debian-8", "OperatingSystem", json!("unknown")),
        ] {
            let os = by_profile(profile);
            assert_eq!((os.name.as_str(), &os.major), (name, &major), "{profile}");
        }
    }

    #[test]
    fn six_point_zero_is_six() {
        let os = |major| OperatingSystem { name: "Centos".into(), major, minor: json!(0) };
        assert!(is_centos6(&os(json!(6.0))) && is_centos6(&os(json!(6))) && !is_centos6(&os(json!(7))));
    }
}
