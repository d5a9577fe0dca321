//! Servers that break off, lie, stall, refuse and come back.

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::Duration,
};

use bareon_image::{Algorithm, Container, ImageError, Sums, fetch, write as write_with};

use crate::{
    server::{Asked, Content, ETAG, Server, body, head},
    support::{Listener, MIB, Place, gzip, left_after, noise, options, sha256, told, write},
};

const ALL: usize = usize::MAX;

/// What a transfer that must fail says; the image is of 3 MiB, and raw.
fn failure(
    answer: impl Fn(&Asked, &mut TcpStream, &Content) + Send + Sync + 'static,
) -> (ImageError, Server, Place) {
    let content = Content::new(&noise(3 * MIB));
    let server = Server::start(move |asked, stream| answer(asked, stream, &content));
    let place = Place::with_old_data(4 * MIB);
    let error = write(&place.request(&server.uri(), Container::Raw)).unwrap_err();
    (error, server, place)
}

/// Half of the image comes, then the connection is closed; what the second request gets is up to the test.
fn second_answer(
    answer: impl Fn(&Asked, &mut TcpStream, &Content) + Send + Sync + 'static,
) -> (ImageError, Server) {
    let (error, server, place) = failure(move |asked, stream, content| match asked.number {
        0 => content.send(asked, stream, 2 * MIB),
        _ => answer(asked, stream, content),
    });
    place.assert_first_mib_zero_or_untouched();
    (error, server)
}

#[test]
fn an_image_arrives_and_its_progress_is_told() {
    let data = noise(3 * MIB + 5);
    let packed = gzip(&data);
    let content = Content::new(&packed);
    let server = Server::start(move |asked, stream| content.send(asked, stream, ALL));
    let place = Place::with_old_data(4 * MIB);
    let listener = Listener::default();
    let mut request = place.request(&server.uri(), Container::Gzip);
    request.size = Some(data.len() as u64);
    let written = write_with(&request, &options(), &request.target, &listener).unwrap();
    assert_eq!(&place.content()[..data.len()], data);
    assert_eq!((written.raw_bytes, written.container_bytes), (data.len() as u64, packed.len() as u64));
    let sums = Sums::default().with(Algorithm::Sha256, Some(sha256(&data)));
    assert_eq!((written.sums, written.resumes), (sums, 0));
    let totals = (Some(data.len() as u64), Some(packed.len() as u64));
    assert_eq!(*listener.started.lock().unwrap(), [totals]);
    assert_eq!(*listener.chunks.lock().unwrap(), [1, 2, 3, 4]);
    let advanced = listener.advanced.lock().unwrap();
    assert!(advanced.is_sorted());
    assert_eq!(*advanced.last().unwrap(), (data.len() as u64, packed.len() as u64));
    let asked = &server.asked()[0];
    assert_eq!((asked.header("range"), asked.header("accept-encoding")), (None, Some("identity")));
}

#[test]
fn a_transfer_that_breaks_off_goes_on_where_it_was() {
    let data = noise(5 * MIB);
    let content = Content::new(&gzip(&data));
    let server = Server::start(move |asked, stream| content.send(asked, stream, MIB + 777));
    let place = Place::with_old_data(0);
    let listener = Listener::default();
    let mut request = place.request(&server.uri(), Container::Gzip);
    request.expect(Algorithm::Sha256, sha256(&data));
    let written = write_with(&request, &options(), &request.target, &listener).unwrap();
    assert_eq!(place.content(), data);
    let asked = server.asked();
    assert_eq!(written.resumes as usize, asked.len() - 1);
    assert!(asked.len() > 4, "more breaks than may come in a row: {}", asked.len());
    for (number, asked) in asked.iter().enumerate().skip(1) {
        assert_eq!(asked.header("range").unwrap(), format!("bytes={}-", number * (MIB + 777)));
        assert_eq!(asked.header("if-range"), Some("\"one\""));
    }
    let retried = listener.retried.lock().unwrap();
    // Each time a MiB had come: the count began anew.
    assert!(retried.iter().all(|(_, attempt)| *attempt == 1), "{retried:?}");
    assert!(retried[0].0.contains("connection"), "{retried:?}");
}

#[test]
fn a_server_that_cannot_resume_is_read_again_up_to_the_break() {
    let data = noise(3 * MIB);
    let version = "Last-Modified: Sat, 01 Nov 2025 10:00:00 GMT\r\n";
    let content = Content { bytes: data.clone(), version };
    let server = Server::start(move |asked, stream| {
        content.send_whole(stream, if asked.number == 0 { 2 * MIB } else { ALL });
    });
    let place = Place::with_old_data(0);
    let written = write(&place.request(&server.uri(), Container::Raw)).unwrap();
    assert_eq!((place.content() == data, written.resumes), (true, 1));
    // A date that may be too young to be a strong validator is compared here, not sent.
    assert_eq!(server.asked()[1].header("if-range"), None);
}

#[test]
fn a_file_that_changed_meanwhile_is_not_glued_together() {
    let (error, server) = second_answer(|_, stream, content| {
        Content { version: "ETag: \"two\"\r\n", ..content.clone() }.send_whole(stream, ALL);
    });
    assert!(told(&error).contains("was changed meanwhile"), "{}", told(&error));
    assert_eq!(server.asked().len(), 2);
    let (error, _) = second_answer(|asked, stream, content| {
        Content { version: "ETag: \"two\"\r\n", ..content.clone() }.send(asked, stream, ALL);
    });
    assert!(told(&error).contains("was changed meanwhile"), "{}", told(&error));
    let (error, _) = second_answer(|asked, stream, content| {
        let mut longer = content.clone();
        longer.bytes.push(0);
        longer.send(asked, stream, ALL);
    });
    assert!(told(&error).contains("another length"), "{}", told(&error));
}

#[test]
fn a_part_that_was_not_asked_for_is_refused() {
    for range in ["bytes 7-3145727/3145728", "bytes 2097152-2097160/3145728", "bytes */3145728", "nonsense"] {
        let (error, _) = second_answer(move |_, stream, content| {
            let headers = format!("{ETAG}Content-Range: {range}\r\nContent-Length: {MIB}\r\n");
            head(stream, "206 Partial Content", &headers);
            body(stream, &content.bytes[2 * MIB..]);
        });
        assert!(matches!(error, ImageError::NoResume { .. }), "{range}: {error:?}");
        assert!(told(&error).contains("another part"), "{}", told(&error));
    }
}

#[test]
fn a_range_past_the_end_means_that_the_file_shrank() {
    let (error, _) = second_answer(|_, stream, _| {
        let headers = format!("{ETAG}Content-Range: bytes */100\r\nContent-Length: 0\r\n");
        head(stream, "416 Range Not Satisfiable", &headers);
    });
    assert!(told(&error).contains("shorter now"), "{}", told(&error));
}

#[test]
fn without_a_version_nothing_is_resumed() {
    for version in ["", "ETag: W/\"weak\"\r\n"] {
        let (error, _, place) = failure(move |asked, stream, content| {
            Content { version, ..content.clone() }.send(asked, stream, 2 * MIB);
        });
        place.assert_first_mib_zero_or_untouched();
        assert!(told(&error).contains("neither ETag nor Last-Modified"), "{}", told(&error));
    }
}

#[test]
fn a_length_that_is_not_told_is_no_obstacle() {
    let data = noise(2 * MIB);
    let content = Content::new(&data);
    let server = Server::start(move |asked, stream| {
        if asked.number > 0 {
            return content.send(asked, stream, ALL);
        }
        head(stream, "200 OK", &format!("{ETAG}Transfer-Encoding: chunked\r\n"));
        let _ = write!(stream, "{MIB:x}\r\n");
        body(stream, &content.bytes[..MIB]);
        body(stream, b"\r\n");
    });
    let place = Place::with_old_data(0);
    let written = write(&place.request(&server.uri(), Container::Raw)).unwrap();
    assert_eq!((place.content() == data, written.resumes), (true, 1));
}

#[test]
fn a_break_just_before_the_end_of_an_unknown_length_is_seen_by_416() {
    let data = noise(MIB);
    let content = Content::new(&data);
    let server = Server::start(move |asked, stream| {
        if asked.number > 0 {
            let headers = format!("{ETAG}Content-Range: bytes */{MIB}\r\nContent-Length: 0\r\n");
            return head(stream, "416 Range Not Satisfiable", &headers);
        }
        head(stream, "200 OK", &format!("{ETAG}Transfer-Encoding: chunked\r\n"));
        let _ = write!(stream, "{MIB:x}\r\n");
        body(stream, &content.bytes);
    });
    let place = Place::with_old_data(0);
    write(&place.request(&server.uri(), Container::Raw)).unwrap();
    assert_eq!(place.content(), data);
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let data = noise(2 * MIB);
    let content = Content::new(&data);
    let server = Server::start(move |asked, stream| match asked.number {
        0 => head(stream, "503 Service Unavailable", "Content-Length: 0\r\n"),
        1 => head(stream, "429 Too Many Requests", "Content-Length: 0\r\n"),
        2 => {}
        _ => content.send(asked, stream, ALL),
    });
    let place = Place::with_old_data(0);
    let listener = Listener::default();
    let written =
        write_with(&place.request(&server.uri(), Container::Raw), &options(), &place.target, &listener)
            .unwrap();
    assert_eq!((place.content() == data, written.resumes), (true, 0));
    let retried = listener.retried.lock().unwrap();
    assert_eq!(retried.iter().map(|(_, attempt)| *attempt).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(retried[0].0.contains("503"), "{retried:?}");
}

#[test]
fn a_server_that_says_no_is_asked_once_and_the_target_left_alone() {
    for status in ["404 Not Found", "403 Forbidden", "400 Bad Request", "204 No Content"] {
        let (error, server, place) =
            failure(move |_, stream, _| head(stream, status, "Content-Length: 0\r\n"));
        assert!(error.to_string().contains(&status[..3]), "{error}");
        assert_eq!(server.asked().len(), 1);
        place.assert_untouched();
    }
}

#[test]
fn a_server_that_drops_for_ever_is_given_up() {
    let (error, server, place) = failure(|asked, stream, content| content.send(asked, stream, 10));
    assert!(matches!(error, ImageError::GaveUp { attempts: 4, .. }), "{error:?}");
    assert!(told(&error).contains("4 times in a row"), "{}", told(&error));
    assert_eq!(server.asked().len(), 4);
    place.assert_untouched();
}

#[test]
fn nobody_there_is_an_error_after_the_retries() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://127.0.0.1:{}/image", listener.local_addr().unwrap().port());
    drop(listener);
    let place = Place::with_old_data(MIB);
    let error = write(&place.request(&uri, Container::Raw)).unwrap_err();
    assert!(told(&error).contains("refused"), "{}", told(&error));
    assert!(matches!(error, ImageError::GaveUp { at: 0, .. }));
    place.assert_untouched();
}

#[test]
fn a_stall_is_ended_and_the_transfer_goes_on() {
    let data = noise(3 * MIB);
    let content = Content::new(&data);
    let (release, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let server = Server::start(move |asked, stream| {
        if asked.number == 0 {
            content.send(asked, stream, MIB);
            // Until the test ends: the connection stays open and says nothing.
            let _ = held.lock().unwrap().recv();
        } else {
            content.send(asked, stream, ALL);
        }
    });
    let place = Place::with_old_data(0);
    let listener = Listener::default();
    let request = place.request(&server.uri(), Container::Raw);
    // The one that has the rest must not be late as well.
    let options = left_after(Duration::from_secs(3));
    let written = write_with(&request, &options, &place.target, &listener).unwrap();
    assert_eq!((place.content() == data, written.resumes), (true, 1));
    assert!(listener.retried.lock().unwrap()[0].0.contains("nothing came for"));
    drop(release);
}

#[test]
fn a_slow_transfer_is_no_stall() {
    let data = noise(10);
    let content = Content::new(&data);
    let server = Server::start(move |_, stream| {
        head(stream, "200 OK", &format!("{ETAG}Content-Length: 10\r\n"));
        // All of it takes longer than the limit, no part of it does.
        for byte in &content.bytes {
            thread::sleep(Duration::from_millis(400));
            body(stream, &[*byte]);
        }
    });
    let place = Place::with_old_data(0);
    let request = place.request(&server.uri(), Container::Raw);
    let options = left_after(Duration::from_secs(3));
    let written = write_with(&request, &options, &place.target, &Listener::default()).unwrap();
    assert_eq!((place.content()[..10] == data, written.resumes), (true, 0));
}

#[test]
fn a_page_is_no_image() {
    for headers in ["Content-Type: text/html; charset=utf-8\r\n", ""] {
        let (error, _, place) = failure(move |_, stream, _| {
            head(stream, "200 OK", headers);
            body(stream, b"\n<!DOCTYPE html>\n<title>Please log in</title>");
        });
        assert!(error.to_string().contains("gave a page, not an image: `<!DOCTYPE html>`"), "{error}");
        place.assert_untouched();
    }
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    let data = noise(2 * MIB);
    let content = Content::new(&data);
    let server = Server::start(move |asked, stream| match asked.target.as_str() {
        "/image" => head(stream, "302 Found", "Location: /elsewhere\r\nContent-Length: 0\r\n"),
        "/loop" => head(stream, "302 Found", "Location: /loop\r\nContent-Length: 0\r\n"),
        _ => content.send(asked, stream, MIB + 1),
    });
    let place = Place::with_old_data(0);
    let written = write(&place.request(&server.uri(), Container::Raw)).unwrap();
    assert_eq!((place.content() == data, written.resumes), (true, 1));
    let circle = server.uri().replace("image", "loop");
    let error = write(&place.request(&circle, Container::Raw)).unwrap_err();
    assert!(matches!(error, ImageError::Redirect { .. }), "{error:?}");
}

#[test]
fn a_stop_is_heard_while_waiting_to_try_again() {
    let server = Server::start(|_, stream| head(stream, "503 Service Unavailable", "Content-Length: 0\r\n"));
    let place = Place::with_old_data(MIB);
    let listener = Listener { cancel_on_retry: true, ..Listener::default() };
    let mut options = options();
    options.http.retry_delay = Duration::from_hours(1);
    options.http.max_retries = 0;
    let error = write_with(&place.request(&server.uri(), Container::Raw), &options, &place.target, &listener)
        .unwrap_err();
    assert!(matches!(error.error, ImageError::Cancelled), "{error:?}");
    let error = fetch(&server.uri(), &options, 10, &listener).unwrap_err();
    assert!(matches!(error, ImageError::Cancelled), "{error:?}");
    place.assert_untouched();
}

#[test]
fn a_stop_is_heard_while_the_server_says_nothing() {
    let listener = std::sync::Arc::new(Listener::default());
    let (release, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let content = Content::new(&noise(3 * MIB));
    let stopper = std::sync::Arc::clone(&listener);
    let server = Server::start(move |asked, stream| {
        content.send(asked, stream, 2 * MIB);
        stopper.cancel.store(true, std::sync::atomic::Ordering::SeqCst);
        let _ = held.lock().unwrap().recv();
    });
    let place = Place::with_old_data(MIB);
    let mut options = options();
    options.http.stall = Duration::from_hours(1);
    let error =
        write_with(&place.request(&server.uri(), Container::Raw), &options, &place.target, &*listener)
            .unwrap_err();
    assert!(matches!(error.error, ImageError::Cancelled), "{error:?}");
    drop(release);
}

#[test]
fn small_files_are_fetched_with_the_same_care() {
    let text = b"os: {name: Debian}\n";
    let content = Content::new(text);
    let server = Server::start(move |asked, stream| match asked.target.as_str() {
        "/page" => {
            head(stream, "200 OK", "");
            body(stream, b"<html>no");
        }
        "/none" => head(stream, "404 Not Found", "Content-Length: 0\r\n"),
        _ => content.send(asked, stream, 7),
    });
    let (quiet, options) = (Listener::default(), options());
    assert_eq!(fetch(&server.uri(), &options, 1024, &quiet).unwrap(), text);
    let large = fetch(&server.uri(), &options, 18, &quiet).unwrap_err();
    assert!(matches!(large, ImageError::Large { limit: 18, .. }), "{large:?}");
    let page = fetch(&server.uri().replace("image", "page"), &options, 1024, &quiet).unwrap_err();
    assert!(matches!(page, ImageError::Page { .. }), "{page:?}");
    let none = fetch(&server.uri().replace("image", "none"), &options, 1024, &quiet).unwrap_err();
    assert!(matches!(none, ImageError::Status { status: 404, .. }), "{none:?}");
}
