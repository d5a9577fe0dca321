//! Tells Ironic that this ramdisk is up and may be deployed to.
//!
//! Ironic boots the ramdisk with where to report to on the kernel's command line (`api-url`,
//! `deployment_id`) and, from PXE, the MAC address of the interface that it booted by (`BOOTIF`).
//! The address of that interface is what Ironic will reach this machine at.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use nix::{ifaddrs::InterfaceAddress, sys::socket::SockaddrStorage};
use reqwest::blocking::Client;

use super::options::Settings;

/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Ironic could not be told.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// The kernel's command line cannot be read.
    #[error("reading the kernel's command line from {}", .path.display())]
    CommandLine {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A word is missing there.
    #[error("the kernel's command line has no {name}=…; Ironic's PXE configuration has to add it")]
    Missing {
        /// The word.
        name: &'static str,
    },
    /// `BOOTIF` holds no MAC address.
    #[error(
        "BOOTIF={value} on the kernel's command line: expected 01-aa-bb-cc-dd-ee-ff; add `ipappend 2` to the PXE configuration"
    )]
    BootIf {
        /// What stands there.
        value: String,
    },
    /// The interfaces cannot be listed.
    #[error("listing the network interfaces")]
    Interfaces(#[source] nix::Error),
    /// There is no such interface, or it has no address (yet).
    #[error("no network interface with the MAC address {mac} has an IP address; these are there: {there}")]
    NoAddress {
        /// The address from `BOOTIF`.
        mac: String,
        /// The interfaces and their MAC addresses.
        there: String,
    },
    /// The HTTP client cannot be set up.
    #[error("setting up the HTTP client")]
    Client(#[source] bareon_image::ImageError),
    /// The server cannot be reached.
    #[error("posting to {url}")]
    Post {
        /// Where to.
        url: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// The server said something else than 202.
    #[error("{url} answered {status} in place of 202{answer}")]
    Status {
        /// Who answered.
        url: String,
        /// What.
        status: u16,
        /// The beginning of the answer's text.
        answer: String,
    },
    /// The run was told to stop.
    #[error("stopped before Ironic could be told")]
    Cancelled,
}

impl CallbackError {
    /// Whether trying again may help: the network may come up late, a server may be busy.
    fn passes(&self) -> bool {
        match self {
            Self::NoAddress { .. } | Self::Post { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 409 | 429 | 500..),
            _ => false,
        }
    }
}

/// What the kernel's command line says.
#[derive(Debug, PartialEq, Eq)]
struct Boot {
    url: String,
    mac: String,
}

/// Tells Ironic; tries again as often as `http_max_retries` says.
///
/// # Errors
/// When something is missing on the command line, and when Ironic does not accept.
pub fn run(kernel_command_line: &Path, settings: &Settings) -> Result<(), CallbackError> {
    let text = fs::read_to_string(kernel_command_line)
        .map_err(|source| CallbackError::CommandLine { path: kernel_command_line.into(), source })?;
    let boot = boot(&text)?;
    let client = bareon_image::http_client(&boot.url, &settings.http()).map_err(CallbackError::Client)?;
    let mut wait = settings.http_retry_delay;
    let mut attempt = 0;
    loop {
        let error = match tell(&client, &boot) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        attempt += 1;
        let more = settings.http_max_retries == 0 || attempt <= settings.http_max_retries;
        if !more || !error.passes() {
            return Err(error);
        }
        tracing::warn!("{}; trying again ({attempt})", super::Failure::from(error));
        pause(wait)?;
        wait = (wait * 2).min(LONGEST_WAIT.max(settings.http_retry_delay));
    }
}

/// Sleeps, unless the run is told to stop.
fn pause(time: Duration) -> Result<(), CallbackError> {
    const STEP: Duration = Duration::from_millis(100);
    let mut left = time;
    loop {
        if bareon_host::runner::cancelled() {
            return Err(CallbackError::Cancelled);
        }
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(STEP));
        left = left.saturating_sub(STEP);
    }
}

fn boot(command_line: &str) -> Result<Boot, CallbackError> {
    let word = |name: &'static str| {
        let mut words = command_line.split_whitespace();
        let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        value.filter(|value| !value.is_empty()).ok_or(CallbackError::Missing { name })
    };
    let (api, id, bootif) = (word("api-url")?, word("deployment_id")?, word("BOOTIF")?);
    let mac = mac(bootif).ok_or_else(|| CallbackError::BootIf { value: bootif.into() })?;
    let api = api.trim_end_matches('/');
    Ok(Boot { url: format!("{api}/v1/nodes/{id}/vendor_passthru/pass_deploy_info"), mac })
}

/// `01-AA-BB-…` or `aa:bb:…` as the kernel writes a MAC address. The first byte of the longer form
/// is the type of the hardware, 01 for Ethernet.
fn mac(bootif: &str) -> Option<String> {
    let bytes: Vec<_> = bootif.split(['-', ':']).collect();
    let bytes = match bytes.len() {
        7 => &bytes[1..],
        6 => &bytes[..],
        _ => return None,
    };
    let good = |byte: &&str| byte.len() == 2 && byte.chars().all(|c| c.is_ascii_hexdigit());
    bytes.iter().all(good).then(|| bytes.join(":").to_ascii_lowercase())
}

/// The address of the interface with this MAC address; IPv4 comes first.
fn address(mac: &str) -> Result<IpAddr, CallbackError> {
    let all: Vec<_> = nix::ifaddrs::getifaddrs().map_err(CallbackError::Interfaces)?.collect();
    let links: Vec<_> = all.iter().filter_map(|i| Some((&i.interface_name, link(i)?))).collect();
    let names: Vec<_> = links.iter().filter(|(_, link)| link == mac).map(|(name, _)| *name).collect();
    let ours = all.iter().filter(|i| names.contains(&&i.interface_name));
    let mut addresses: Vec<_> = ours.filter_map(|i| ip(i.address.as_ref()?)).collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.first().copied().ok_or_else(|| {
        let there: Vec<_> = links.iter().map(|(name, link)| format!("{name} {link}")).collect();
        CallbackError::NoAddress { mac: mac.into(), there: there.join(", ") }
    })
}

fn link(interface: &InterfaceAddress) -> Option<String> {
    let bytes = interface.address.as_ref()?.as_link_addr()?.addr()?;
    Some(bytes.map(|byte| format!("{byte:02x}")).join(":"))
}

/// The IP address, unless it is one that only holds on the link.
fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(v4.ip().into());
    }
    let v6 = address.as_sockaddr_in6()?.ip();
    (!v6.is_unicast_link_local()).then(|| v6.into())
}

fn tell(client: &Client, boot: &Boot) -> Result<(), CallbackError> {
    let address = address(&boot.mac)?;
    let body = serde_json::json!({
        "address": address.to_string(),
        "status": "ready",
        "error_message": "no errors",
    });
    let url = || boot.url.clone();
    let request = client.post(&boot.url).header("Content-Type", "application/json").body(body.to_string());
    let response =
        request.send().map_err(|source| CallbackError::Post { url: url(), source: source.without_url() })?;
    let status = response.status().as_u16();
    if status == 202 {
        tracing::info!("{} accepted that this machine is ready at {address}", boot.url);
        return Ok(());
    }
    let answer = beginning(&response.text().unwrap_or_default());
    Err(CallbackError::Status { url: url(), status, answer })
}

/// The first line of an answer, as the end of a message.
fn beginning(text: &str) -> String {
    const SHOWN: usize = 200;
    let line: String = text.trim().lines().next().unwrap_or_default().chars().take(SHOWN).collect();
    if line.is_empty() { line } else { format!(": {line}") }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    use super::*;
    use crate::cli::value::Timeout;

    /// The loopback interface has this one everywhere.
    const LOOPBACK: &str = "01-00-00-00-00-00-00";

    /// A server that answers one connection after the other; it returns what it was sent.
    fn serve(answers: &'static [&'static str]) -> (String, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = format!("http://{}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let one = |answer: &&str| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while !request.ends_with(b"}") {
                    let n = stream.read(&mut buffer).unwrap();
                    assert!(n > 0, "the request broke off");
                    request.extend_from_slice(&buffer[..n]);
                }
                let head = "Connection: close\r\nContent-Length";
                write!(stream, "HTTP/1.1 {answer}\r\n{head}: 7\r\n\r\nbecause").unwrap();
                String::from_utf8(request).unwrap()
            };
            answers.iter().map(one).collect()
        });
        (api, server)
    }

    fn call(api: &str, retries: u64) -> Result<(), CallbackError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let line = format!("quiet api-url={api}/ deployment_id=1234 BOOTIF={LOOPBACK} root=/dev/ram0\n");
        fs::write(file.path(), line).unwrap();
        let settings = Settings {
            http_max_retries: retries,
            http_request_timeout: Timeout(Duration::from_secs(10)),
            ..Settings::default()
        };
        run(file.path(), &settings)
    }

    #[test]
    fn ironic_is_told_the_address_of_the_interface_that_booted() {
        let (api, server) = serve(&["202 Accepted"]);
        call(&api, 1).unwrap();
        let request = server.join().unwrap().remove(0);
        assert!(request.starts_with("POST /v1/nodes/1234/vendor_passthru/pass_deploy_info HTTP/1.1\r\n"));
        assert!(request.to_ascii_lowercase().contains("content-type: application/json\r\n"));
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let want =
            serde_json::json!({"address": "127.0.0.1", "status": "ready", "error_message": "no errors"});
        assert_eq!(body, want);
    }

    #[test]
    fn a_busy_server_is_asked_again_and_no_more_often_than_said() {
        let (api, server) = serve(&["503 Busy", "202 Accepted"]);
        call(&api, 1).unwrap();
        assert_eq!(server.join().unwrap().len(), 2);
        let (api, server) = serve(&["503 Busy", "503 Busy"]);
        let error = call(&api, 1).unwrap_err();
        assert!(matches!(&error, CallbackError::Status { status: 503, answer, .. } if answer == ": because"));
        server.join().unwrap();
    }

    #[test]
    fn an_answer_that_is_a_no_is_not_asked_for_again() {
        let (api, server) = serve(&["404 Not Found"]);
        let error = call(&api, 5).unwrap_err();
        assert!(error.to_string().ends_with("answered 404 in place of 202: because"), "{error}");
        server.join().unwrap();
    }

    #[test]
    fn a_word_that_is_missing_is_named() {
        let missing = |line: &str| boot(line).unwrap_err().to_string();
        assert!(missing("deployment_id=1 BOOTIF=x").contains("no api-url=…"));
        assert!(missing("api-url=http://a deployment_id= BOOTIF=x").contains("no deployment_id=…"));
        assert!(missing("api-url=http://a deployment_id=1 BOOTIF=eth0").contains("BOOTIF=eth0"));
    }

    #[test]
    fn both_forms_of_a_mac_address_are_read() {
        for text in ["01-AA-BB-0C-DD-EE-FF", "aa:bb:0c:dd:ee:ff", "aa-bb-0c-dd-ee-ff"] {
            assert_eq!(mac(text).as_deref(), Some("aa:bb:0c:dd:ee:ff"));
        }
        assert_eq!(mac("01-AA-BB-0C-DD-EE-FG"), None);
    }

    #[test]
    fn an_unknown_interface_is_told_with_those_that_are_there() {
        let error = address("02:00:00:00:00:99").unwrap_err().to_string();
        assert!(error.contains("02:00:00:00:00:99") && error.contains("lo 00:00:00:00:00:00"), "{error}");
    }
}
