//! A small HTTP/1.1 server for jobs and images, which can be told to fail as real ones do.
//!
//! It answers GET and HEAD with `Range`, `If-Range` and a strong `ETag`, and keeps what comes by PUT or POST. One thread for
//! each connection, one request for each connection: enough for one machine, and simple enough to trust.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::process::Result;

/// How long the accepting thread rests when nobody calls.
const POLL: Duration = Duration::from_millis(5);

/// The address under which a guest of QEMU's user network sees this machine's loopback.
const HOST_SEEN_FROM_GUEST: &str = "10.0.2.2";

/// What goes wrong with a server, once.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// After so many bytes of bodies every connection is cut and none is accepted any more, until the time given has
    /// passed, or for ever.
    Dies {
        /// Bytes of bodies sent before it happens.
        after: u64,
        /// When it is back.
        back: Option<Duration>,
    },
    /// After so many bytes of bodies nothing more is sent for the time given, while connections stay open.
    Stalls {
        /// Bytes of bodies sent before it happens.
        after: u64,
        /// How long nothing is sent.
        lasts: Duration,
    },
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Request {
    /// GET, HEAD, PUT or POST.
    pub method: String,
    /// The path, with its leading slash.
    pub path: String,
    /// The value of `Range`, where there was one.
    pub range: Option<String>,
}

#[derive(Clone)]
enum Content {
    Bytes(Arc<Vec<u8>>),
    File(PathBuf),
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Health {
    #[default]
    Up,
    DownUntil(Instant),
    Dead,
}

#[derive(Default)]
struct State {
    contents: BTreeMap<String, Content>,
    uploads: BTreeMap<String, Vec<u8>>,
    requests: Vec<Request>,
    fault: Option<Fault>,
    sent: u64,
    health: Health,
    stopped: bool,
}

type Shared = Arc<Mutex<State>>;

/// A server on a free port of the loopback, until dropped.
pub struct Server {
    port: u16,
    state: Shared,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// Starts a server that has nothing yet.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let state = Shared::default();
        let shared = Arc::clone(&state);
        let thread = thread::spawn(move || accept(listener, port, &shared));
        Ok(Self { port, state, thread: Some(thread) })
    }

    /// The address of `path` as a guest sees it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{HOST_SEEN_FROM_GUEST}:{}{path}", self.port)
    }

    /// The address of `path` on this machine.
    pub fn local_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Serves `bytes` at `path`.
    pub fn bytes(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        lock(&self.state).contents.insert(path.into(), Content::Bytes(Arc::new(bytes.into())));
    }

    /// Serves the file `file` at `path`.
    pub fn file(&self, path: &str, file: impl Into<PathBuf>) {
        lock(&self.state).contents.insert(path.into(), Content::File(file.into()));
    }

    /// Lets `fault` happen, once, counted from now.
    pub fn fault(&self, fault: Fault) {
        let mut state = lock(&self.state);
        state.sent = 0;
        state.fault = Some(fault);
    }

    /// Takes what came by PUT or POST at `path`.
    pub fn uploaded(&self, path: &str) -> Option<Vec<u8>> {
        lock(&self.state).uploads.remove(path)
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.state).requests.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        lock(&self.state).stopped = true;
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed; there is nothing to add.
            let _ = thread.join();
        }
    }
}

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Accepts connections until stopped; while the server plays dead, the port is really closed.
fn accept(listener: TcpListener, port: u16, state: &Shared) {
    let mut listener = Some(listener);
    loop {
        let down = {
            let mut state = lock(state);
            if state.stopped {
                return;
            }
            if matches!(state.health, Health::DownUntil(back) if Instant::now() >= back) {
                state.health = Health::Up;
            }
            state.health != Health::Up
        };
        if down {
            listener = None;
        } else if listener.is_none() {
            let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
            listener = TcpListener::bind(address).and_then(|l| l.set_nonblocking(true).map(|()| l)).ok();
        }
        match listener.as_ref().map(TcpListener::accept) {
            Some(Ok((stream, _))) => {
                let state = Arc::clone(state);
                // The peer's going away is its own affair; what it missed shows in its own log.
                thread::spawn(move || drop(answer(&stream, &state)));
            }
            _ => thread::sleep(POLL),
        }
    }
}

fn answer(stream: &TcpStream, state: &Shared) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or("").to_owned(), words.next().unwrap_or("").to_owned());
    let headers = headers(&mut reader)?;
    let range = headers.get("range").cloned();
    lock(state).requests.push(Request { method: method.clone(), path: path.clone(), range });
    if method == "PUT" || method == "POST" {
        if headers.contains_key("expect") {
            (&*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let length = headers.get("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
        let mut body = Vec::new();
        reader.take(length).read_to_end(&mut body)?;
        lock(state).uploads.insert(path, body);
        return (&*stream)
            .write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let content = lock(state).contents.get(&path).cloned();
    match content {
        Some(Content::Bytes(bytes)) => {
            let length = bytes.len() as u64;
            send(stream, state, &method, &headers, (Cursor::new(bytes.as_slice()), length))
        }
        Some(Content::File(path)) => {
            let file = File::open(path)?;
            let length = file.metadata()?.len();
            send(stream, state, &method, &headers, (file, length))
        }
        None => {
            (&*stream).write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
    }
}

/// The header lines up to the empty one; names in lower case.
fn headers(reader: &mut impl BufRead) -> io::Result<BTreeMap<String, String>> {
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.trim().to_owned()),
            None => return Ok(headers),
        };
    }
}

fn send(
    stream: &TcpStream,
    state: &Shared,
    method: &str,
    headers: &BTreeMap<String, String>,
    (mut body, length): (impl Read + Seek, u64),
) -> io::Result<()> {
    let mut stream = stream;
    let etag = format!("\"{length}\"");
    let same = headers.get("if-range").is_none_or(|tag| *tag == etag);
    let begin = headers
        .get("range")
        .filter(|_| same)
        .and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse::<u64>().ok());
    // The last byte that is asked for, where that is not simply the end.
    let last = headers.get("range").and_then(|range| range.split_once('-')?.1.parse::<u64>().ok());
    let end = last.filter(|_| begin.is_some()).map_or(length, |last| length.min(last.saturating_add(1)));
    let (status, begin) = match begin {
        Some(begin) if begin >= length => ("416 Range Not Satisfiable", length),
        Some(begin) => ("206 Partial Content", begin),
        None => ("200 OK", 0),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: {etag}\r\n", end.saturating_sub(begin))?;
    write!(
        stream,
        "Accept-Ranges: bytes\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n"
    )?;
    if status.starts_with("206") {
        write!(stream, "Content-Range: bytes {begin}-{}/{length}\r\n", end - 1)?;
    } else if status.starts_with("416") {
        write!(stream, "Content-Range: bytes */{length}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    if method == "HEAD" {
        return Ok(());
    }
    body.seek(SeekFrom::Start(begin))?;
    let mut body = body.take(end - begin);
    let mut chunk = vec![0; 65536];
    loop {
        let n = body.read(&mut chunk)?;
        if n == 0 || !still_up(state, n as u64) {
            return Ok(());
        }
        stream.write_all(&chunk[..n])?;
    }
}

/// Counts `n` bytes about to be sent and lets a fault that is due happen. False when the connection is to be cut.
fn still_up(state: &Shared, n: u64) -> bool {
    let mut guard = lock(state);
    guard.sent += n;
    match guard.fault {
        Some(Fault::Dies { after, back }) if guard.sent > after => {
            guard.fault = None;
            guard.health = back.map_or(Health::Dead, |back| Health::DownUntil(Instant::now() + back));
        }
        Some(Fault::Stalls { after, lasts }) if guard.sent > after => {
            guard.fault = None;
            drop(guard);
            thread::sleep(lasts);
            return true;
        }
        _ => {}
    }
    guard.health == Health::Up
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(server: &Server, path: &str, header: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn a_range_is_answered_with_the_rest_unless_the_content_changed() {
        let server = Server::start().unwrap();
        server.bytes("/a", "0123456789");
        let text = get(&server, "/a", "Range: bytes=7-\r\nIf-Range: \"10\"\r\n").unwrap();
        assert!(
            text.starts_with("HTTP/1.1 206")
                && text.contains("bytes 7-9/10")
                && text.ends_with("\r\n\r\n789")
        );
        let text = get(&server, "/a", "Range: bytes=7-\r\nIf-Range: \"11\"\r\n").unwrap();
        assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("0123456789"));
        assert!(get(&server, "/b", "").unwrap().starts_with("HTTP/1.1 404"));
        let text = get(&server, "/a", "Range: bytes=2-4\r\n").unwrap();
        assert!(text.contains("bytes 2-4/10") && text.ends_with("\r\n\r\n234"), "{text}");
        assert_eq!(server.requests()[0].range.as_deref(), Some("bytes=7-"));
    }

    #[test]
    fn a_server_that_died_refuses_connections_and_can_come_back() {
        let server = Server::start().unwrap();
        server.bytes("/a", vec![b'x'; 200_000]);
        server.fault(Fault::Dies { after: 100_000, back: Some(Duration::from_millis(300)) });
        assert!(get(&server, "/a", "").unwrap_or_default().len() < 200_000);
        while get(&server, "/a", "").unwrap_or_default().len() < 200_000 {
            thread::sleep(POLL);
        }
    }
}
