//! A server in a process of its own.

use std::{
    fs,
    net::{TcpListener, TcpStream, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a server may take to start.
const START: Duration = Duration::from_secs(30);

/// Ends with the value.
pub struct Process(Child);

impl Process {
    /// Starts `program`; `None`, and said so, where it is not installed.
    #[expect(clippy::disallowed_methods, reason = "the other side of a test")]
    pub fn start(program: &str, arguments: &[&str], dir: &Path) -> Option<Self> {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        if !path.split(':').any(|folder| Path::new(folder).join(program).exists()) {
            eprintln!("SKIPPED: {program} is not installed (contrib/install-deps)");
            return None;
        }
        let log = fs::File::create(dir.join(format!("{program}.log"))).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).current_dir(dir).env("PATH", path).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        Some(Self(command.spawn().unwrap()))
    }

    /// Waits until somebody accepts at this port of TCP.
    pub fn accepts(mut self, port: u16) -> Self {
        self.wait(&mut || TcpStream::connect(("127.0.0.1", port)).is_ok());
        self
    }

    /// Waits until somebody has this port of UDP.
    pub fn holds(mut self, port: u16) -> Self {
        self.wait(&mut || UdpSocket::bind(("127.0.0.1", port)).is_err());
        self
    }

    fn wait(&mut self, ready: &mut dyn FnMut() -> bool) {
        let begun = Instant::now();
        while !ready() {
            assert_eq!(self.0.try_wait().unwrap(), None, "the server ended");
            assert!(begun.elapsed() < START, "the server does not start");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port of TCP that nobody has.
pub fn tcp_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A port of UDP that nobody has.
pub fn udp_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Runs a program that is to succeed; false, and said so, where it is not installed.
#[expect(clippy::disallowed_methods, reason = "what a test needs beside")]
pub fn run(program: &str, line: &str, dir: &Path) -> bool {
    match Command::new(program).args(line.split(' ')).current_dir(dir).output() {
        Ok(output) => {
            assert!(output.status.success(), "{program} {line}: {output:?}");
            true
        }
        Err(error) => {
            eprintln!("SKIPPED: {program} does not run: {error}");
            false
        }
    }
}
