//! The console: whether the installed system talks, and listens, where this one does.
//!
//! A machine that is run by its serial port is lost from sight where the installed system does not know of it, though
//! it boots.

use super::{Check, Finding, Seen, grub_cfg};

/// Compares the consoles of the kernels that are started with those of this system.
pub fn check(seen: &Seen<'_>) -> Vec<Finding> {
    let lines = grub_cfg::kernels(seen.root);
    // Entries for rescue do not speak for the others; the first one is started.
    let Some(first) = lines.first() else { return Vec::new() };
    compared(&seen.running.cmdline, &first.arguments, &first.file).into_iter().collect()
}

/// The ports behind `console=`, without their speed.
fn consoles(cmdline: &str) -> Vec<&str> {
    let values = cmdline.split_whitespace().filter_map(|word| word.strip_prefix("console="));
    values.map(|value| value.split(',').next().unwrap_or(value)).collect()
}

fn serial(port: &str) -> bool {
    ["ttyS", "ttyAMA", "ttyUSB", "hvc", "ttysclp"].iter().any(|kind| port.starts_with(kind))
}

fn compared(running: &str, installed: &str, file: &str) -> Option<Finding> {
    let (here, there) = (consoles(running), consoles(installed));
    let missing = here.iter().find(|port| serial(port) && !there.contains(port))?;
    let has = if there.is_empty() { "none".into() } else { there.join(", ") };
    Some(Finding::warning(
        Check::Console,
        file,
        format!("this system's console is {missing}, the installed system's: {has}"),
        format!("add console={missing} to kernel_params if the machine is run by that port"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_console_of_this_system_is_one_of_the_installed_one() {
        for (running, installed, found) in [
            ("quiet console=ttyS0", "root=UUID=a ro", true),
            ("console=ttyS0,115200n8", "console=tty0 console=ttyS0", false),
            ("console=ttyS1 console=tty0", "console=ttyS0", true),
            ("console=tty0", "", false),
            ("quiet", "console=ttyS0", false),
        ] {
            assert_eq!(compared(running, installed, "f").is_some(), found, "{running} {installed}");
        }
        let told = compared("console=ttyS0", "console=tty0", "/boot/grub/grub.cfg").unwrap().to_string();
        assert!(told.contains("console is ttyS0, the installed system's: tty0"), "{told}");
    }
}
