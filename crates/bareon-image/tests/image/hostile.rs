//! HTTP servers that cut where they like, lie about lengths, and send what was not meant to be sent.

use std::{
    io::Write,
    net::TcpStream,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use bareon_image::{Algorithm, Container, ImageError, Target, TargetState, fetch, write_to};
use nix::{
    libc::linger,
    sys::socket::{setsockopt, sockopt::Linger},
};
use proptest::{
    prelude::{ProptestConfig, prop_assert, prop_assert_eq},
    proptest,
};

use crate::{
    server::{Content, ETAG, Server, body, head},
    support::{Listener, MIB, Place, gzip, noise, options, sha256, told, write},
};

const ALL: usize = usize::MAX;

/// Closes the connection by a reset, not by an end.
fn reset(stream: &TcpStream) {
    let now = linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&stream.as_fd(), Linger, &now).unwrap();
}

/// All that a sound server sends for a request, head and body.
fn sound(content: &[u8], first: Option<usize>) -> Vec<u8> {
    let total = content.len();
    let from = first.unwrap_or(0);
    let begin = match first {
        None => "HTTP/1.1 200 OK".to_owned(),
        Some(_) => {
            format!("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{total}", total - 1)
        }
    };
    let length = total - from;
    let answer = format!("{begin}\r\n{ETAG}Connection: close\r\nContent-Length: {length}\r\n\r\n");
    [answer.as_bytes(), &content[from..]].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Each answer is cut at another byte, in its head or its body, by a reset or an end; then there is one more cut,
    /// and then a sound one. What arrives is whole, or the failure is told; the target boots in no other case.
    #[test]
    fn answers_cut_at_any_byte(cuts in proptest::collection::vec((0..9000_usize, proptest::bool::ANY), 0..3)) {
        let data = noise(8000);
        let (content, plan) = (data.clone(), cuts.clone());
        let server = Server::start(move |asked, stream| {
            let answer = sound(&content, asked.first());
            match plan.get(asked.number) {
                Some((cut, by_reset)) => {
                    let _ = stream.write_all(&answer[..answer.len().min(*cut)]);
                    if *by_reset {
                        reset(stream);
                    }
                }
                None => drop(stream.write_all(&answer)),
            }
        });
        let got = fetch(&server.uri(), &options(), 1 << 20, &Listener::default());
        prop_assert_eq!(got.map_err(|e| told(&e)), Ok(data));
        prop_assert!(server.asked().len() <= cuts.len() + 1);
    }

    /// A byte of the head is another one. Whatever that makes of the answer, no other image is taken for this one.
    #[test]
    fn heads_with_a_wrong_byte(at in 0..120_usize, byte: u8) {
        let data = noise(8000);
        let content = data.clone();
        let server = Server::start(move |asked, stream| {
            let mut answer = sound(&content, asked.first());
            answer[at] = byte;
            let _ = stream.write_all(&answer);
        });
        let place = Place::with_old_data(2 * MIB);
        let mut request = place.request(&server.uri(), Container::Raw);
        request.expect(Algorithm::Sha256, sha256(&data));
        // The states of the target are compared in there.
        if write(&request).is_ok() {
            prop_assert!(place.content().starts_with(&data));
        }
    }
}

#[test]
fn lengths_that_are_wrong_are_seen() {
    let data = noise(2 * MIB);
    for (length, part) in [
        // The rest never comes, however often it is asked for.
        (3 * MIB, "cannot go on"),
        // The rest is not read, so that the sum is another.
        (MIB, "sum"),
        (0, "is empty"),
    ] {
        let content = Content::new(&data);
        let server = Server::start(move |asked, stream| match asked.number {
            0 => {
                head(stream, "200 OK", &format!("{ETAG}Content-Length: {length}\r\n"));
                body(stream, &content.bytes);
            }
            _ => content.send(asked, stream, ALL),
        });
        let place = Place::with_old_data(4 * MIB);
        let mut request = place.request(&server.uri(), Container::Raw);
        request.expect(Algorithm::Sha256, sha256(&data));
        let error = write(&request);
        match (length, error) {
            (_, Err(error)) => assert!(told(&error).contains(part), "{length}: {}", told(&error)),
            (_, Ok(written)) => panic!("{length}: {written:?}"),
        }
        place.assert_first_mib_zero_or_untouched();
    }
}

#[test]
fn heads_that_are_none_are_no_answer() {
    let heads = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nimage",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nimage",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nimage",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\nimage",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nimage",
        "HTTP/1.1 20 OK\r\n\r\nimage",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "\0\0\0\0\0\0\0\0\0\0\0\0",
    ];
    for text in heads {
        let server = Server::start(move |_, stream| drop(stream.write_all(text.as_bytes())));
        let error = fetch(&server.uri(), &options(), 100, &Listener::default()).unwrap_err();
        assert!(
            matches!(&error, ImageError::GaveUp { uri, .. } if *uri == server.uri()),
            "{text}: {error:?}"
        );
    }
    let endless = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"X-More: and more and more and more\r\n").is_ok() {}
    });
    let error = fetch(&endless.uri(), &options(), 100, &Listener::default()).unwrap_err();
    assert!(matches!(error, ImageError::GaveUp { at: 0, .. }), "{error:?}");
}

#[test]
fn a_part_is_no_answer_to_who_asked_for_all() {
    let content = Content::new(&noise(2 * MIB));
    let server = Server::start(move |_, stream| {
        let range = format!("Content-Range: bytes {MIB}-{}/{}\r\n", 2 * MIB - 1, 2 * MIB);
        head(stream, "206 Partial Content", &format!("{ETAG}{range}Content-Length: {MIB}\r\n"));
        body(stream, &content.bytes[MIB..]);
    });
    let place = Place::with_old_data(MIB);
    let error = write(&place.request(&server.uri(), Container::Raw)).unwrap_err();
    assert!(matches!(error, ImageError::NoResume { at: 0, .. }), "{error:?}");
    place.assert_untouched();
}

#[test]
fn a_drip_with_breaks_is_progress_and_ends() {
    let data = noise(40);
    let content = data.clone();
    let server = Server::start(move |asked, stream| {
        let answer = sound(&content, asked.first());
        for byte in answer.iter().take(answer.len() - content.len() + asked.first().unwrap_or(0) + 14) {
            if stream.write_all(&[*byte]).and_then(|()| stream.flush()).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
    });
    let mut options = options();
    options.http.max_retries = 5;
    assert_eq!(fetch(&server.uri(), &options, 99, &Listener::default()).unwrap(), data);
}

#[test]
fn a_file_that_changes_at_each_request_is_given_up_at_once() {
    let data = noise(3 * MIB);
    let server = Server::start(move |asked, stream| {
        let mut content = sound(&data, asked.first());
        let tag = content.windows(5).position(|part| part == b"\"one\"").unwrap();
        content[tag + 1] = b'a' + u8::try_from(asked.number % 20).unwrap();
        let _ = stream.write_all(&content[..content.len().min(2 * MIB)]);
    });
    let place = Place::with_old_data(4 * MIB);
    let error = write(&place.request(&server.uri(), Container::Raw)).unwrap_err();
    assert!(told(&error).contains("was changed meanwhile"), "{}", told(&error));
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn two_servers_that_send_each_other_the_client_are_left() {
    let other = Arc::new(AtomicUsize::new(0));
    let (to, count) = (Arc::clone(&other), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    let send_on = move |stream: &mut TcpStream, port: usize| {
        counted.fetch_add(1, Ordering::SeqCst);
        head(
            stream,
            "302 Found",
            &format!("Location: http://127.0.0.1:{port}/image\r\nContent-Length: 0\r\n"),
        );
    };
    let again = send_on.clone();
    let one = Server::start(move |_, stream| send_on(stream, to.load(Ordering::SeqCst)));
    let port = usize::from(one.port());
    let two = Server::start(move |_, stream| again(stream, port));
    other.store(usize::from(two.port()), Ordering::SeqCst);
    let error = fetch(&one.uri(), &options(), 99, &Listener::default()).unwrap_err();
    assert!(matches!(error, ImageError::Redirect { .. }), "{error:?}");
    assert!(count.load(Ordering::SeqCst) < 20);
}

/// A device with little room, which counts what it is given.
struct Small {
    room: u64,
    written: u64,
    committed: bool,
}

impl Target for Small {
    fn check_room(&self, needs: u64, exact: bool) -> Result<(), ImageError> {
        if needs <= self.room {
            return Ok(());
        }
        Err(ImageError::NoRoom { path: "small".into(), room: self.room, needs, exact })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.check_room(self.written + bytes.len() as u64, false)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<(), ImageError> {
        self.written = 0;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), ImageError> {
        self.committed = true;
        Ok(())
    }

    fn differs(&self) -> ImageError {
        ImageError::Differs { path: "small".into() }
    }

    fn state(&self) -> TargetState {
        TargetState::Cleared
    }
}

#[test]
fn a_bomb_is_stopped_where_the_device_ends() {
    // A thousandfold, and again: what unpacks to 64 MiB, so often that it would be 16 GiB.
    let member = gzip(&vec![0; 64 * MIB]);
    let length = member.len();
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let server = Server::start(move |_, stream| {
        head(stream, "200 OK", &format!("{ETAG}Content-Length: {}\r\n", length * 256));
        for _ in 0..256 {
            if stream.write_all(&member).is_err() {
                return;
            }
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let place = Place::with_old_data(0);
    let request = place.request(&server.uri(), Container::Gzip);
    let mut small = Small { room: 3 * MIB as u64, written: 0, committed: false };
    let error = write_to(&request, &options(), &mut [&mut small], &Listener::default()).unwrap_err();
    assert!(matches!(error, ImageError::NoRoom { exact: false, .. }), "{error:?}");
    assert!(small.written <= small.room && !small.committed);
    // Where the size is known, not more than that is unpacked.
    let mut request = request;
    request.size = Some(5);
    let error = write_to(&request, &options(), &mut [&mut small], &Listener::default()).unwrap_err();
    assert!(matches!(error, ImageError::Size { exact: false, .. }), "{error:?}");
}
