//! Several addresses of one image: who takes over from whom, where, and who is refused.

use std::{fs, net::TcpStream};

use bareon_image::{Algorithm, Container, ImageError, Written, write_to};

use crate::{
    server::{Asked, Content, ETAG, Server, head},
    support::{self, Listener, MIB, Place, gzip, noise, options, sha256, told, write},
};

const ALL: usize = usize::MAX;

/// A server that gives so many bytes at the first request, and to all others what a server does that is down.
fn dying(content: Content, most: usize) -> Server {
    Server::start(move |asked, stream| match asked.number {
        0 => content.send(asked, stream, most),
        _ => down(stream),
    })
}

fn sound(content: Content) -> Server {
    Server::start(move |asked, stream| content.send(asked, stream, ALL))
}

fn answering(status: &'static str) -> Server {
    Server::start(move |_, stream| head(stream, status, "Content-Length: 0\r\n"))
}

fn down(stream: &mut TcpStream) {
    head(stream, "503 Service Unavailable", "Content-Length: 0\r\n");
}

fn written(mut request: support::Asked, sum: Option<String>) -> Result<Written, ImageError> {
    if let Some(sum) = sum {
        request.expect(Algorithm::Sha256, sum);
    }
    write(&request)
}

fn uris(servers: &[&Server]) -> Vec<String> {
    servers.iter().map(|server| server.uri()).collect()
}

/// What comes of an image of which the sum is known, and is that of `data`.
fn summed(data: &[u8], servers: &[&Server]) -> (Result<Written, ImageError>, Place) {
    let place = Place::with_old_data(4 * MIB);
    let mut request = place.request("", Container::Raw);
    request.uris = uris(servers);
    (written(request, Some(sha256(data))), place)
}

fn first(asked: &[Asked]) -> Vec<usize> {
    asked.iter().map(|asked| asked.first().unwrap_or(0)).collect()
}

#[test]
fn the_next_takes_over_where_the_last_one_stopped() {
    let data = noise(3 * MIB);
    let (one, two) = (dying(Content::new(&data), MIB + 99), sound(Content::new(&data)));
    let (written, place) = summed(&data, &[&one, &two]);
    let written = written.unwrap();
    assert_eq!(&place.content()[..data.len()], data);
    assert_eq!((written.uri, written.resumes), (one.uri(), 1));
    // A few tries, though more are allowed, while there is another one.
    assert_eq!(first(&one.asked()), [0, MIB + 99, MIB + 99, MIB + 99]);
    assert_eq!(first(&two.asked()), [MIB + 99]);
    assert_eq!(two.asked()[0].header("if-range"), None, "that was the other server's");
}

#[test]
fn packed_data_go_on_from_another_server_that_knows_no_ranges() {
    let data = noise(3 * MIB);
    let packed = Content::new(&gzip(&data));
    let one = dying(packed.clone(), 2 * MIB);
    let two = Server::start(move |_, stream| packed.send_whole(stream, ALL));
    let place = Place::with_old_data(0);
    let mut request = place.request("", Container::Gzip);
    request.uris = uris(&[&one, &two]);
    written(request, Some(sha256(&data))).unwrap();
    assert_eq!(place.content(), data);
}

#[test]
fn the_last_one_gets_all_the_patience() {
    let (one, two) = (answering("503 Service Unavailable"), answering("503 Service Unavailable"));
    let mut options = options();
    options.http.max_retries = 7;
    let place = Place::with_old_data(0);
    let mut request = place.request("", Container::Raw);
    request.uris = uris(&[&one, &two]);
    let mut device = bareon_image::Device::open(&place.target).unwrap();
    let error = write_to(&request, &options, &mut [&mut device], &Listener::default()).unwrap_err();
    assert!(matches!(&error, ImageError::GaveUp { uri, attempts: 8, .. } if *uri == two.uri()), "{error:?}");
    assert_eq!((one.asked().len(), two.asked().len()), (4, 8));
}

#[test]
fn one_out_of_reach_is_asked_again_when_the_last_one_says_no() {
    let data = noise(2 * MIB);
    let content = Content::new(&data);
    let one = Server::start(move |asked, stream| match asked.number {
        0..4 => down(stream),
        _ => content.send(asked, stream, ALL),
    });
    let two = answering("404 Not Found");
    let (written, place) = summed(&data, &[&one, &two]);
    written.unwrap();
    assert_eq!(&place.content()[..data.len()], data);
    assert_eq!((one.asked().len(), two.asked().len()), (5, 1));
}

#[test]
fn when_all_say_no_the_last_word_is_told_and_the_target_left_alone() {
    let (one, two) = (answering("403 Forbidden"), answering("404 Not Found"));
    let (error, place) = summed(&noise(MIB), &[&one, &two]);
    let error = error.unwrap_err();
    assert!(matches!(&error, ImageError::Status { status: 404, uri, .. } if *uri == two.uri()), "{error:?}");
    assert_eq!((one.asked().len(), two.asked().len()), (1, 1));
    place.assert_untouched();
}

#[test]
fn another_length_is_another_file_and_is_begun_anew() {
    let data = noise(3 * MIB);
    let mut longer = Content::new(&data);
    longer.bytes.push(7);
    let (one, two, three) = (dying(longer, MIB), sound(Content::new(&data)), answering("404 Not Found"));
    let (written, place) = summed(&data, &[&one, &two, &three]);
    assert_eq!(written.unwrap().uri, two.uri());
    assert_eq!(&place.content()[..data.len()], data);
    assert_eq!(first(&two.asked()), [MIB, 0], "refused in the middle, then taken from the beginning");
}

#[test]
fn another_sum_is_another_file_of_the_same_length() {
    let data = noise(3 * MIB);
    let mut other = data.clone();
    other[0] ^= 1;
    let one = dying(
        Content {
            version: "X-Checksum-Sha256: 2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6\r\nETag: \"one\"\r\n",
            ..Content::new(&other)
        },
        2 * MIB,
    );
    let two = sound(Content {
        version: "Repr-Digest: sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:\r\nETag: \"one\"\r\n",
        ..Content::new(&data)
    });
    let (written, place) = summed(&data, &[&one, &two]);
    assert_eq!(written.unwrap().uri, two.uri());
    assert_eq!(&place.content()[..data.len()], data);
    assert_eq!(first(&two.asked()), [2 * MIB, 0]);
}

#[test]
fn what_two_servers_gave_and_is_wrong_is_fetched_from_one() {
    let data = noise(3 * MIB);
    let mut wrong = data.clone();
    wrong[5] ^= 1;
    // Nobody can tell by the headers.
    let one = dying(Content::new(&wrong), 2 * MIB);
    let two = sound(Content { version: "ETag: \"two\"\r\n", ..Content::new(&data) });
    let (written, place) = summed(&data, &[&one, &two]);
    assert_eq!(written.unwrap().uri, two.uri());
    assert_eq!(&place.content()[..data.len()], data);
    assert_eq!(first(&two.asked()), [2 * MIB, 0]);
}

#[test]
fn without_a_sum_only_what_is_known_to_be_the_same_is_gone_on_with() {
    let data = noise(3 * MIB);
    let mut changed = data.clone();
    changed[MIB] ^= 1;
    let other = |version| Content { version, bytes: changed.clone() };
    let unsummed = |servers: &[&Server]| {
        let place = Place::with_old_data(4 * MIB);
        let mut request = place.request("", Container::Raw);
        request.uris = uris(servers);
        (written(request, None), place)
    };
    let (one, two) = (dying(Content::new(&data), 2 * MIB), sound(other("")));
    let (written, place) = unsummed(&[&one, &two]);
    assert_eq!(written.unwrap().uri, two.uri());
    assert_eq!(&place.content()[..data.len()], changed, "no mixture, but all of it from the second");
    assert_eq!(first(&two.asked()), [2 * MIB, 0]);
    // The same tag, and the same date with the same length, say that it is the same.
    let modified = "Last-Modified: Sat, 01 Nov 2025 10:00:00 GMT\r\n";
    for version in [ETAG, modified] {
        let content = Content { version, ..Content::new(&data) };
        let (one, two) = (dying(content.clone(), 2 * MIB), sound(content));
        let (written, place) = unsummed(&[&one, &two]);
        assert_eq!(written.unwrap().uri, one.uri());
        assert_eq!(&place.content()[..data.len()], data);
        assert_eq!(first(&two.asked()), [2 * MIB]);
    }
}

#[test]
fn files_and_servers_stand_in_for_each_other() {
    let data = noise(3 * MIB);
    let place = Place::with_old_data(4 * MIB);
    let file = place.source(&data);
    let one = dying(Content::new(&data), 2 * MIB);
    let mut request = place.request("", Container::Raw);
    request.uris = vec!["/nowhere/image".to_owned(), one.uri(), format!("file://{file}")];
    let written = written(request, Some(sha256(&data))).unwrap();
    assert_eq!((place.content()[..data.len()] == data, written.resumes), (true, 1));
}

#[test]
fn each_is_tried_until_one_has_the_image() {
    let place = Place::with_old_data(4096);
    let [good, bad, short] = ["good", "bad", "short"].map(|name| place.dir.path().join(name));
    fs::write(&good, [7; 3000]).unwrap();
    fs::write(&bad, [8; 3000]).unwrap();
    fs::write(&short, [7; 2999]).unwrap();
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let mut request = place.request("", Container::Raw);
    request.uris = vec!["/nowhere".into(), text(&short), text(&bad), text(&good), "/never/asked".into()];
    let done = written(request.clone(), Some(sha256(&[7; 3000]))).unwrap();
    assert_eq!((done.uri, done.raw_bytes), (text(&good), 3000));
    assert_eq!(place.content()[..3000], [7; 3000]);
    request.uris = vec![text(&bad), "/nor/here".into()];
    let error = written(request, Some(sha256(&[7; 3000]))).unwrap_err();
    assert!(told(&error).contains("/nor/here"), "{}", told(&error));
}
