//! An HTTP server over plain sockets, which does exactly what a test says, right or wrong.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Which one it is, from 0.
    pub number: usize,
    pub target: String,
    pub headers: HashMap<String, String>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first byte that is asked for.
    pub fn first(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.split_once('-')?.0.parse().ok()
    }

    /// The last byte that is asked for, where that is not simply the end.
    pub fn last(&self) -> Option<usize> {
        self.header("range")?.split_once('-')?.1.parse().ok()
    }
}

pub struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers each request by `answer`, on a connection of its own, which is closed after it.
    pub fn start(answer: impl Fn(&Asked, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&asked), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    if let Some(request) = read(&stream, &log) {
                        answer(&request, &mut stream);
                    }
                });
            }
        });
        Self { port, asked }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn uri(&self) -> String {
        format!("http://127.0.0.1:{}/image", self.port)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn read(stream: &TcpStream, log: &Mutex<Vec<Asked>>) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let target = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": ").map(|(n, v)| (n.to_lowercase(), v.to_owned())))
        .collect();
    let mut log = log.lock().unwrap();
    let asked = Asked { number: log.len(), target, headers };
    log.push(asked.clone());
    Some(asked)
}

/// Sends a head; a client that is gone is no matter.
pub fn head(stream: &mut TcpStream, status: &str, headers: &str) {
    let _ = write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n");
}

pub fn body(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

/// A file that a sound server has.
#[derive(Debug, Clone)]
pub struct Content {
    pub bytes: Vec<u8>,
    /// Headers that tell its version, each with its line end.
    pub version: &'static str,
}

pub const ETAG: &str = "ETag: \"one\"\r\n";

impl Content {
    pub fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), version: ETAG }
    }

    /// Sends what was asked for, as it should be, but no more than `most` bytes of it.
    pub fn send(&self, asked: &Asked, stream: &mut TcpStream, most: usize) {
        let (version, total) = (self.version, self.bytes.len());
        let first = asked.first().unwrap_or(0);
        let last = asked.last().unwrap_or(total - 1);
        let part = &self.bytes[first..=last];
        let length = part.len();
        if asked.first().is_some() {
            let range = format!("Content-Range: bytes {first}-{last}/{total}\r\n");
            head(stream, "206 Partial Content", &format!("{version}{range}Content-Length: {length}\r\n"));
        } else {
            head(stream, "200 OK", &format!("{version}Content-Length: {length}\r\n"));
        }
        body(stream, &part[..length.min(most)]);
    }

    /// Sends the whole, whatever was asked for.
    pub fn send_whole(&self, stream: &mut TcpStream, most: usize) {
        let length = self.bytes.len();
        head(stream, "200 OK", &format!("{}Content-Length: {length}\r\n", self.version));
        body(stream, &self.bytes[..length.min(most)]);
    }
}
