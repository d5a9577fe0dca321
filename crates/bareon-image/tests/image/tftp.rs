//! TFTP servers that lose, repeat, disorder, forget, and lie.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use bareon_image::{Algorithm, Container, ImageError, fetch};

use crate::support::{Listener, MIB, Place, left_after, noise, options, sha256, told, write};

/// What becomes of a block that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Arrives,
    Vanishes,
    ComesTwice,
    /// The server falls silent for good, in this transfer.
    IsTheLast,
    /// The server says error 0 in its place.
    IsAnError,
    /// A stranger sends a block of the same number first.
    IsForged,
    ComesAfterTheNext,
}

/// How a server behaves.
#[derive(Clone)]
struct Manner {
    content: Arc<Vec<u8>>,
    /// What it agrees to of the size of blocks and of windows; nothing where it knows no options.
    agrees: Option<(usize, usize)>,
    tells_size: bool,
    /// It answers a repeated acknowledgement by sending again, as servers before RFC 1123 did.
    sorcerer: bool,
    /// It goes on at 1 after 65535.
    from_one: bool,
    /// Which transfer, which block, which time it is sent.
    fate: Arc<dyn Fn(usize, u64, usize) -> Fate + Send + Sync>,
}

/// What it saw.
#[derive(Default)]
struct Seen {
    transfers: AtomicUsize,
    blocks: AtomicUsize,
    strangers_told: AtomicUsize,
    requests: Mutex<Vec<String>>,
}

struct Server {
    port: u16,
    seen: Arc<Seen>,
}

impl Server {
    fn start(manner: Manner) -> Self {
        let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            let mut datagram = [0; 600];
            let mut last = None;
            while let Ok((length, client)) = listener.recv_from(&mut datagram) {
                // Who asks twice was too impatient for a machine that does much else.
                if last.replace(client) == Some(client) {
                    continue;
                }
                let request = String::from_utf8_lossy(&datagram[2..length]).into_owned();
                shared.requests.lock().unwrap().push(request);
                let number = shared.transfers.fetch_add(1, Ordering::SeqCst);
                let (manner, seen) = (manner.clone(), Arc::clone(&shared));
                thread::spawn(move || Transfer::new(&manner, client, number, &seen).run());
            }
        });
        Self { port, seen }
    }

    fn uri(&self) -> String {
        format!("tftp://127.0.0.1:{}/image", self.port)
    }

    fn transfers(&self) -> usize {
        self.seen.transfers.load(Ordering::SeqCst)
    }
}

struct Transfer<'a> {
    manner: &'a Manner,
    socket: UdpSocket,
    client: SocketAddr,
    number: usize,
    seen: &'a Seen,
    sent: Vec<usize>,
    later: Option<Vec<u8>>,
}

impl<'a> Transfer<'a> {
    fn new(manner: &'a Manner, client: SocketAddr, number: usize, seen: &'a Seen) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let (sent, later) = (Vec::new(), None);
        Self { manner, socket, client, number, seen, sent, later }
    }

    fn block(&self) -> usize {
        self.manner.agrees.map_or(512, |(block, _)| block)
    }

    fn blocks(&self) -> u64 {
        (self.manner.content.len() / self.block()) as u64 + 1
    }

    fn wire(&self, block: u64) -> u16 {
        let number = if self.manner.from_one && block > 0 { (block - 1) % 65535 + 1 } else { block % 65536 };
        u16::try_from(number).unwrap()
    }

    fn run(mut self) {
        // Everything up to this one was acknowledged; the options count as block 0.
        let mut acknowledged = if self.agree() { None } else { Some(0) };
        let mut silent = 0;
        loop {
            let window = self.manner.agrees.map_or(1, |(_, window)| window) as u64;
            if let Some(done) = acknowledged {
                if done == self.blocks() {
                    return;
                }
                for block in done + 1..=(done + window).min(self.blocks()) {
                    if !self.send(block) {
                        return;
                    }
                }
            }
            // Until there is a new acknowledgement, or too long none at all.
            acknowledged = loop {
                match self.heard() {
                    None if silent > 20 => return,
                    None => {
                        silent += 1;
                        break acknowledged;
                    }
                    Some(Err(())) => return,
                    Some(Ok(number)) => {
                        let before = acknowledged.unwrap_or(0);
                        let new = (before..=before + window).rev().find(|block| self.wire(*block) == number);
                        let repeated = acknowledged.is_some() && new == Some(before);
                        // Half of a window is acknowledged where there is a gap.
                        if new.is_some() && (!repeated || self.manner.sorcerer || window > 1) {
                            silent = 0;
                            break new;
                        }
                    }
                }
            };
        }
    }

    fn agree(&self) -> bool {
        let Some((block, window)) = self.manner.agrees else { return false };
        let mut packet = format!("\0\x06blksize\0{block}\0windowsize\0{window}\0").into_bytes();
        if self.manner.tells_size {
            packet.extend(format!("tsize\0{}\0", self.manner.content.len()).bytes());
        }
        self.socket.send_to(&packet, self.client).unwrap();
        true
    }

    /// Sends a block, or does not; false at the end of it all.
    fn send(&mut self, block: u64) -> bool {
        let at = usize::try_from(block - 1).unwrap();
        self.sent.resize(self.sent.len().max(at + 1), 0);
        let fate = (self.manner.fate)(self.number, block, self.sent[at]);
        self.sent[at] += 1;
        let start = at * self.block();
        let end = self.manner.content.len().min(start + self.block());
        let mut packet = vec![0, 3];
        packet.extend(self.wire(block).to_be_bytes());
        packet.extend(&self.manner.content[start..end]);
        let send = |packet: &[u8]| self.socket.send_to(packet, self.client).map(drop).unwrap();
        self.seen.blocks.fetch_add(1, Ordering::SeqCst);
        match fate {
            Fate::Arrives => send(&packet),
            Fate::Vanishes => {}
            Fate::ComesTwice => {
                send(&packet);
                send(&packet);
            }
            Fate::IsTheLast => return false,
            Fate::IsAnError => {
                send(b"\0\x05\0\0out of sorts\0");
                return false;
            }
            Fate::IsForged => {
                let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
                let mut forged = packet.clone();
                forged[4..].fill(0x66);
                stranger.send_to(&forged, self.client).unwrap();
                stranger.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                let mut answer = [0; 64];
                let length = stranger.recv(&mut answer).unwrap();
                if answer[..4] == [0, 5, 0, 5] && length > 4 {
                    self.seen.strangers_told.fetch_add(1, Ordering::SeqCst);
                }
                send(&packet);
            }
            Fate::ComesAfterTheNext => {
                self.later = Some(packet);
                return true;
            }
        }
        if let Some(later) = self.later.take() {
            send(&later);
        }
        true
    }

    /// An acknowledgement, or an error; nothing when none came in time.
    fn heard(&self) -> Option<Result<u16, ()>> {
        let mut packet = [0; 600];
        let (length, from) = self.socket.recv_from(&mut packet).ok()?;
        assert_eq!(from, self.client);
        match &packet[..length] {
            [0, 4, high, low] => Some(Ok(u16::from_be_bytes([*high, *low]))),
            _ => Some(Err(())),
        }
    }
}

fn sound(content: &[u8]) -> Manner {
    Manner {
        content: Arc::new(content.to_vec()),
        agrees: Some((1428, 32)),
        tells_size: true,
        sorcerer: false,
        from_one: false,
        fate: Arc::new(|_, _, _| Fate::Arrives),
    }
}

fn falling(manner: Manner, fate: impl Fn(usize, u64, usize) -> Fate + Send + Sync + 'static) -> Manner {
    Manner { fate: Arc::new(fate), ..manner }
}

fn arrives(manner: Manner) -> Server {
    let data = Arc::clone(&manner.content);
    let server = Server::start(manner);
    let got = fetch(&server.uri(), &options(), 1 << 30, &Listener::default());
    assert!(got.map_err(|e| told(&e)).unwrap() == *data);
    server
}

#[test]
fn blocks_and_windows_of_all_sizes_arrive() {
    for agrees in [None, Some((8, 1)), Some((512, 1)), Some((1428, 2)), Some((1428, 32)), Some((1000, 7))] {
        for length in [1, 511, 512, 1024, 1428 * 32, 1428 * 64 + 5, 50_000] {
            for tells_size in [true, false] {
                let server = arrives(Manner { agrees, tells_size, ..sound(&noise(length)) });
                assert_eq!(server.transfers(), 1);
            }
        }
    }
}

#[test]
fn what_is_lost_comes_again_and_what_comes_again_does_no_harm() {
    let data = noise(150_000);
    for agrees in [None, Some((512, 1)), Some((1428, 32)), Some((1428, 3))] {
        let manner = Manner { agrees, ..sound(&data) };
        let first_time = |fate: Fate| {
            move |_, block, time| if block % 41 == 7 && time == 0 { fate } else { Fate::Arrives }
        };
        for fate in [Fate::ComesTwice, Fate::Vanishes, Fate::ComesAfterTheNext] {
            if agrees.is_none_or(|(_, window)| window == 1) && fate != Fate::ComesTwice {
                continue;
            }
            arrives(falling(manner.clone(), first_time(fate)));
        }
    }
    // One at a time, whoever misses it waits a second: one is enough.
    let lost = |_, block, time| if block == 7 && time == 0 { Fate::Vanishes } else { Fate::Arrives };
    let server = arrives(falling(Manner { agrees: Some((1428, 1)), ..sound(&data) }, lost));
    assert_eq!(server.transfers(), 1);
}

#[test]
fn a_sorcerers_apprentice_is_not_made() {
    let data = noise(100_000);
    let twice = |_, block, time| if block < 9 && time == 0 { Fate::ComesTwice } else { Fate::Arrives };
    let manner = Manner { agrees: None, sorcerer: true, ..sound(&data) };
    let server = arrives(falling(manner, twice));
    let blocks = server.seen.blocks.load(Ordering::SeqCst);
    // Else it were twice as many; a few may be sent again where the machine is slow.
    assert!(blocks < 100_000 / 512 * 3 / 2, "{blocks} blocks were sent");
}

#[test]
fn a_stranger_is_told_so_and_not_listened_to() {
    let forged = |_, block, time| if block == 5 && time == 0 { Fate::IsForged } else { Fate::Arrives };
    let server = arrives(falling(Manner { agrees: Some((1428, 1)), ..sound(&noise(60_000)) }, forged));
    assert_eq!(server.seen.strangers_told.load(Ordering::SeqCst), 1);
}

#[test]
fn numbers_go_on_at_0_or_at_1() {
    for from_one in [false, true] {
        arrives(Manner { agrees: Some((8, 1)), from_one, ..sound(&noise(8 * 65_540)) });
    }
}

#[test]
fn what_breaks_off_is_asked_for_again_and_read_up_to_there() {
    let data = noise(400_000);
    for fate in [Fate::IsTheLast, Fate::IsAnError] {
        let breaks =
            move |transfer, block, _| if transfer < 2 && block == 200 { fate } else { Fate::Arrives };
        let server = Server::start(falling(sound(&data), breaks));
        let place = Place::with_old_data(MIB);
        let mut request = place.request(&server.uri(), Container::Raw);
        request.expect(Algorithm::Sha256, sha256(&data));
        // Only the silence needs it, and no answer must be as late.
        let options = left_after(Duration::from_secs(3));
        let written = bareon_image::write(&request, &options, &request.target, &Listener::default()).unwrap();
        assert_eq!((place.content()[..data.len()] == data, server.transfers()), (true, 3));
        assert_eq!(written.resumes, 2);
    }
}

#[test]
fn a_server_that_ends_elsewhere_than_it_said_is_given_up() {
    struct Lies(i64);
    for Lies(lie) in [Lies(-1), Lies(1)] {
        let data = noise(5_000);
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let uri = format!("tftp://{}/image", server.local_addr().unwrap());
        let told_size = i64::try_from(data.len()).unwrap() + lie;
        thread::spawn(move || {
            let mut packet = [0; 600];
            while let Ok((_, client)) = server.recv_from(&mut packet) {
                let agreed = format!("\0\x06tsize\0{told_size}\0");
                let transfer = UdpSocket::bind("127.0.0.1:0").unwrap();
                transfer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                transfer.send_to(agreed.as_bytes(), client).unwrap();
                while let Ok(4) = transfer.recv(&mut packet) {
                    let done = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
                    let Some(left) = data.get(done * 512..) else { break };
                    let mut block = vec![0, 3];
                    block.extend(u16::try_from(done + 1).unwrap().to_be_bytes());
                    block.extend(&left[..left.len().min(512)]);
                    transfer.send_to(&block, client).unwrap();
                }
            }
        });
        let error = fetch(&uri, &options(), 1 << 20, &Listener::default()).unwrap_err();
        assert!(told(&error).contains("bytes, but the server sent"), "{}", told(&error));
    }
}

#[test]
fn an_error_is_told_in_the_servers_words_and_not_asked_for_twice() {
    for (code, said) in [(1, "File not found"), (2, "Access violation")] {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let uri = format!("tftp://{}/image", server.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        thread::spawn(move || {
            while let Ok((_, client)) = server.recv_from(&mut [0; 600]) {
                count.fetch_add(1, Ordering::SeqCst);
                let packet = [&[0, 5, 0, code][..], said.as_bytes(), &[0]].concat();
                server.send_to(&packet, client).unwrap();
            }
        });
        let error = fetch(&uri, &options(), 9, &Listener::default()).unwrap_err();
        assert!(matches!(&error, ImageError::Tftp { uri: at, .. } if *at == uri), "{error:?}");
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn a_server_that_refuses_options_is_asked_without() {
    for refusal in [
        &b"\0\x05\0\x08no options\0"[..],
        b"\0\x05\0\x04illegal\0",
        b"\0\x06blksize\x0065464\0",
        b"\0\x06blksize\0many\0",
    ] {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let uri = format!("tftp://{}/image", server.local_addr().unwrap());
        thread::spawn(move || {
            let mut packet = [0; 600];
            while let Ok((length, client)) = server.recv_from(&mut packet) {
                match &packet[..length] {
                    request if request.ends_with(b"tsize\x000\0") => server.send_to(refusal, client).unwrap(),
                    [0, 1, ..] => server.send_to(b"\0\x03\0\x01all of it", client).unwrap(),
                    _ => 0,
                };
            }
        });
        assert_eq!(fetch(&uri, &options(), 99, &Listener::default()).unwrap(), b"all of it");
    }
}

#[test]
fn silence_and_noise_end_at_the_time_limit() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let uri = format!("tftp://{}/image", server.local_addr().unwrap());
    thread::spawn(move || {
        while let Ok((_, client)) = server.recv_from(&mut [0; 600]) {
            for noise in [&b""[..], b"\0", b"\0\x03\0", b"\0\x09what?", b"\0\x03\0\x09later", b"\0\x06a"] {
                server.send_to(noise, client).unwrap();
            }
        }
    });
    let listener = Listener::default();
    let error = fetch(&uri, &left_after(Duration::from_millis(500)), 99, &listener).unwrap_err();
    assert!(matches!(error, ImageError::GaveUp { at: 0, attempts: 4, .. }), "{error:?}");
    assert!(told(&error).contains("nothing came for 500ms"), "{}", told(&error));
    assert_eq!(listener.retried.lock().unwrap().len(), 3);
}

#[test]
fn without_a_strong_sum_nothing_is_asked_for() {
    let server = Server::start(sound(&noise(2000)));
    let place = Place::with_old_data(MIB);
    let mut request = place.request(&server.uri(), Container::Raw);
    request.expect(Algorithm::Md5, "0".repeat(32));
    assert!(matches!(write(&request).unwrap_err(), ImageError::NoDigest { .. }));
    request.uris = vec!["http://127.0.0.1:9/image".to_owned(), server.uri()];
    assert!(matches!(write(&request).unwrap_err(), ImageError::NoDigest { .. }));
    assert_eq!(server.transfers(), 0);
    place.assert_untouched();
}
