//! Records to syslog: datagrams to `/dev/log` in the form of RFC 3164.

use std::{os::unix::net::UnixDatagram, path::Path};

use tracing::Level;

use super::{
    output,
    value::{Kind, Setting},
};

/// Where a syslog daemon listens.
const SOCKET: &str = "/dev/log";

/// The facilities by name; the place in the list is not the number.
const NAMES: &[&str] = &[
    "LOG_KERN",
    "LOG_USER",
    "LOG_MAIL",
    "LOG_DAEMON",
    "LOG_AUTH",
    "LOG_SYSLOG",
    "LOG_LPR",
    "LOG_NEWS",
    "LOG_UUCP",
    "LOG_CRON",
    "LOG_AUTHPRIV",
    "LOG_FTP",
    "LOG_LOCAL0",
    "LOG_LOCAL1",
    "LOG_LOCAL2",
    "LOG_LOCAL3",
    "LOG_LOCAL4",
    "LOG_LOCAL5",
    "LOG_LOCAL6",
    "LOG_LOCAL7",
];

/// A facility, as its number in RFC 3164, table 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facility(u8);

impl Setting for Facility {
    const KIND: Kind = Kind::Choice(NAMES);

    /// Takes `LOG_LOCAL0`, `local0` and what lies between them.
    fn read(text: &str) -> Option<Self> {
        let name = text.to_ascii_uppercase();
        let name = if name.starts_with("LOG_") { name } else { format!("LOG_{name}") };
        let place = u8::try_from(NAMES.iter().position(|known| *known == name)?).ok()?;
        // 12 to 15 are for others than us; LOCAL0 is 16.
        Some(Self(if place < 12 { place } else { place + 4 }))
    }
}

/// A way to the daemon, where there is one.
#[derive(Debug)]
pub struct Syslog {
    socket: Option<UnixDatagram>,
    facility: Facility,
    tag: String,
}

impl Syslog {
    /// Connects to the daemon. Where none listens that is said once, and records are dropped.
    pub fn new(program: &str, facility: Facility) -> Self {
        Self::at(Path::new(SOCKET), program, facility)
    }

    fn at(path: &Path, program: &str, facility: Facility) -> Self {
        let connect = || {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            // A daemon that does not read must not hold up a run.
            socket.set_nonblocking(true)?;
            Ok::<_, std::io::Error>(socket)
        };
        let socket = connect().inspect_err(|error| {
            output::complain(&format!("warning: no syslog: connecting to {}: {error}", path.display()));
        });
        Self { socket: socket.ok(), facility, tag: format!("{program}[{}]", std::process::id()) }
    }

    /// Sends `text`, a datagram for each of its lines.
    pub fn send(&self, level: Level, text: &str) {
        let Some(socket) = &self.socket else { return };
        let severity = match level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        let priority = u16::from(self.facility.0) * 8 + severity;
        let time = jiff::Zoned::now().strftime("%b %e %H:%M:%S").to_string();
        for line in text.lines() {
            // A lost datagram is syslog's nature.
            let _ = socket.send(format!("<{priority}>{time} {}: {line}", self.tag).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facilities_have_their_numbers() {
        for (name, number) in
            [("LOG_USER", 1), ("daemon", 3), ("LOG_FTP", 11), ("local0", 16), ("LOG_LOCAL7", 23)]
        {
            assert_eq!(Facility::read(name), Some(Facility(number)), "{name}");
        }
        assert_eq!(Facility::read("LOG_NOSUCH"), None);
    }

    #[test]
    fn a_record_arrives_as_a_datagram_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        Syslog::at(&path, "provision", Facility(16)).send(Level::WARN, "one\ntwo");
        let mut buffer = [0; 256];
        for word in ["one", "two"] {
            let n = daemon.recv(&mut buffer).unwrap();
            let text = std::str::from_utf8(&buffer[..n]).unwrap();
            assert!(text.starts_with("<132>"), "{text}");
            assert!(text.ends_with(&format!(" provision[{}]: {word}", std::process::id())), "{text}");
        }
    }

    #[test]
    fn without_a_daemon_records_are_dropped() {
        Syslog::at(Path::new("/nonexistent/log"), "p", Facility(1)).send(Level::INFO, "lost");
    }
}
