//! What the system brings: authorities, proxies, memory. Each is tried in a process of its own.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use bareon_image::{
    Container, ImageError, Silent, ceiling, fetch,
    pack::{Packing, pack},
};

use crate::{
    server::{Asked, Content, Server},
    support::{Listener, MIB, Place, noise, options, told, write},
};

/// What the other test says is to be had; nothing where somebody runs all that is ignored.
fn given() -> Option<String> {
    let uri = env::var("TEST_URI").ok();
    if uri.is_none() {
        eprintln!("SKIPPED: other tests run this one");
    }
    uri
}

/// Fetches, in a process with the environment that another test gave it.
#[test]
#[ignore = "run by other tests, in a process of its own"]
fn child_that_fetches() {
    let Some(uri) = given() else { return };
    let mut options = options();
    options.http.ca_file = env::var_os("TEST_CA_FILE").map(Into::into);
    match fetch(&uri, &options, 1 << 20, &Listener::default()) {
        Ok(bytes) => println!("\nfetched {}", String::from_utf8(bytes).unwrap()),
        Err(error) => panic!("{}", told(&error)),
    }
}

/// Writes, and tells the most memory that this took.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn child_that_writes() {
    let Some(uri) = given() else { return };
    let place = Place::with_old_data(0);
    let mut request = place.request(&uri, Container::Gzip);
    request.container = None;
    write(&request).unwrap();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("\npeak {}", peak.trim().trim_end_matches(" kB"));
}

#[expect(
    clippy::disallowed_methods,
    reason = "the environment of a process cannot be changed safely from within"
)]
fn child(test: &str, uri: &str, environment: &[(&str, &str)]) -> Output {
    Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", &format!("system::{test}")])
        .env("TEST_URI", uri)
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn small(asked: &Asked, stream: &mut TcpStream) {
    Content::new(format!("{} by {:?}", asked.target, asked.header("host")).as_bytes())
        .send(asked, stream, MIB);
}

#[test]
fn plain_http_works_on_a_system_without_authorities() {
    let server = Server::start(small);
    let nothing = [("SSL_CERT_FILE", "/nonexistent"), ("SSL_CERT_DIR", "/nonexistent")];
    assert!(stdout(&child("child_that_fetches", &server.uri(), &nothing)).contains("fetched /image"));
}

#[test]
fn the_proxy_of_the_environment_is_used() {
    let proxy = Server::start(small);
    let address = format!("http://127.0.0.1:{}", proxy.port());
    let uri = "http://image.invalid/image";
    let fetched = stdout(&child("child_that_fetches", uri, &[("HTTP_PROXY", &address)]));
    assert!(fetched.contains("fetched http://image.invalid/image"), "{fetched}");
    let around = [("HTTP_PROXY", address.as_str()), ("NO_PROXY", "image.invalid")];
    assert!(!child("child_that_fetches", uri, &around).status.success());
    assert_eq!(proxy.asked().len(), 1);
}

/// What is packed in pieces is unpacked by several threads, and takes more, but within its bounds too.
#[test]
fn memory_does_not_grow_with_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let packed = |packing, mib: usize| {
        let (raw, out) = (dir.path().join("raw"), dir.path().join("out"));
        fs::write(&raw, noise(mib * MIB)).unwrap();
        pack(&raw, packing, &out, 2, &Silent).unwrap();
        let packed = fs::read(&out).unwrap();
        fs::remove_file(out).unwrap();
        packed
    };
    let peak = |packed: &[u8]| -> usize {
        let content = Content::new(packed);
        let server = Server::start(move |asked, stream| content.send(asked, stream, usize::MAX));
        let output = stdout(&child("child_that_writes", &server.uri(), &[]));
        let peak = output.lines().find_map(|line| line.strip_prefix("peak ")).unwrap();
        peak.parse::<usize>().unwrap() * 1024
    };
    for packing in [None, Some(Packing::Gzip), Some(Packing::Zstd)] {
        let [small, large] = [40, 96].map(|mib| match packing {
            None => peak(&crate::support::gzip(&noise(mib * MIB))),
            Some(packing) => peak(&packed(packing, mib)),
        });
        println!("{packing:?}: peak of 40 MiB: {} KiB, of 96 MiB: {} KiB", small / 1024, large / 1024);
        // How many of the buffers there are for pieces come into use is a matter of chance.
        let (chance, pieces) = if packing.is_some() { (16 * MIB, 40 * MIB) } else { (4 * MIB, 0) };
        assert!(large < small + chance, "{packing:?}: {small} bytes for 40 MiB, {large} for 96 MiB");
        // The program itself, its libraries and stacks, and the buffers.
        assert!(large < ceiling(&options()) + pieces + 32 * MIB, "{packing:?}: {large} bytes");
    }
}

const TLS_SERVER: &str = r#"
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        body = open(sys.argv[2], "rb").read()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.HTTPServer((sys.argv[1], 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

/// Answers each request with the same.
pub struct TlsServer {
    child: Child,
    pub port: String,
}

impl TlsServer {
    /// `None`, and said so, where openssl or Python is not there.
    #[expect(clippy::disallowed_methods, reason = "the other side of a test")]
    pub fn start(dir: &Path, address: &str, body: &[u8]) -> Option<Self> {
        let key = "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.pem -subj /CN=test-ca";
        let request = "req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=server";
        let sign = "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out cert.pem -extfile ext";
        let ext = format!("subjectAltName=IP:{address}\nbasicConstraints=CA:FALSE\n");
        fs::write(dir.join("ext"), ext).unwrap();
        fs::write(dir.join("body"), body).unwrap();
        for line in [key, request, sign] {
            let made = Command::new("openssl").args(line.split(' ')).current_dir(dir).output();
            if !made.as_ref().is_ok_and(|output| output.status.success()) {
                eprintln!("SKIPPED: no certificates (openssl is needed): {made:?}");
                return None;
            }
        }
        let started = Command::new("python3")
            .args(["-c", TLS_SERVER, address, "body"])
            .current_dir(dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = started else {
            eprintln!("SKIPPED: no server (python3 is needed)");
            return None;
        };
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Some(Self { child, port: port.trim().to_owned() })
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn https_trusts_whom_it_is_told_to_trust_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = TlsServer::start(dir.path(), "127.0.0.1", b"secret") else { return };
    let uri = format!("https://127.0.0.1:{}/image", server.port);
    let quiet = Listener::default();
    let mut options = options();
    let error = fetch(&uri, &options, 100, &quiet).unwrap_err();
    assert!(matches!(error, ImageError::Certificate { .. }), "{}", told(&error));
    assert!(quiet.retried.lock().unwrap().is_empty(), "nobody becomes trusted by waiting");
    options.http.ca_file = Some(dir.path().join("ca.pem"));
    assert_eq!(fetch(&uri, &options, 100, &quiet).unwrap(), b"secret");
    // On a system that has no authorities of its own, too.
    let ca_file = dir.path().join("ca.pem");
    let bare = [
        ("SSL_CERT_FILE", "/nonexistent"),
        ("SSL_CERT_DIR", "/nonexistent"),
        ("TEST_CA_FILE", ca_file.to_str().unwrap()),
    ];
    assert!(stdout(&child("child_that_fetches", &uri, &bare)).contains("fetched secret"));
}

#[test]
fn a_ca_file_without_certificates_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty.pem");
    fs::write(&empty, "no certificate").unwrap();
    let mut options = options();
    for path in [empty, dir.path().join("absent.pem")] {
        options.http.ca_file = Some(path);
        let error = fetch("http://127.0.0.1:9/", &options, 100, &Listener::default()).unwrap_err();
        assert!(matches!(error, ImageError::CaFile { .. }), "{error:?}");
    }
}
