//! Registries that want tokens, send one elsewhere, break off, and lie.

use std::{
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bareon_image::{Algorithm, Container, ImageError};
use serde_json::json;

use crate::{
    server::{Asked, Content, Server, body, head},
    support::{MIB, Place, noise, sha256, told, write},
};

const ALL: usize = usize::MAX;

/// What a registry has: an artifact of one file under the tag `1`, and an index of it under `2`.
#[derive(Clone)]
struct Kept {
    file: Vec<u8>,
    manifest: Vec<u8>,
    index: Vec<u8>,
}

impl Kept {
    fn new(file: Vec<u8>) -> Self {
        let digest = |bytes: &[u8]| format!("sha256:{}", sha256(bytes));
        let manifest = json!({"schemaVersion": 2, "layers": [{"digest": digest(&file), "size": file.len()}]});
        let manifest = manifest.to_string().into_bytes();
        let index = json!({"manifests": [{"digest": digest(&manifest), "size": manifest.len()}]});
        Self { file, manifest, index: index.to_string().into_bytes() }
    }

    /// What is asked for; nothing where there is no such thing.
    fn get(&self, target: &str) -> Option<&[u8]> {
        let digest = |bytes: &[u8]| format!("sha256:{}", sha256(bytes));
        let (_, kind, reference) = place_of(target)?;
        match (kind, reference) {
            ("manifests", "1") => Some(&self.manifest),
            ("manifests", "2") => Some(&self.index),
            ("manifests", digested) if digested == digest(&self.manifest) => Some(&self.manifest),
            ("blobs", digested) if digested == digest(&self.file) => Some(&self.file),
            _ => None,
        }
    }

    fn answer(&self, asked: &Asked, stream: &mut TcpStream, most: usize) {
        match self.get(&asked.target) {
            // Registries give no version of what is named by its sum.
            Some(bytes) => Content { bytes: bytes.to_vec(), version: "" }.send(asked, stream, most),
            None => head(stream, "404 Not Found", "Content-Length: 0\r\n"),
        }
    }
}

/// Repository, kind and reference of a path.
fn place_of(target: &str) -> Option<(&str, &str, &str)> {
    let (rest, reference) = target.strip_prefix("/v2/")?.rsplit_once('/')?;
    let (repository, kind) = rest.rsplit_once('/')?;
    Some((repository, kind, reference))
}

fn is_blob(asked: &Asked) -> bool {
    asked.target.contains("/blobs/")
}

fn uri(server: &Server, reference: &str) -> String {
    format!("oci://127.0.0.1:{}/images/debian{reference}", server.port())
}

fn unauthorized(stream: &mut TcpStream, challenge: &str) {
    head(stream, "401 Unauthorized", &format!("WWW-Authenticate: {challenge}\r\nContent-Length: 0\r\n"));
}

/// Writes it; there is no sum but that which the registry leads to.
fn fetched(uri: &str, data: &[u8]) -> Result<u32, ImageError> {
    let place = Place::with_old_data(4 * MIB);
    match write(&place.request(uri, Container::Raw)) {
        Ok(written) => {
            assert!(place.content().starts_with(data));
            Ok(written.resumes)
        }
        Err(error) => {
            place.assert_first_mib_zero_or_untouched();
            Err(error)
        }
    }
}

#[test]
fn an_image_is_found_through_manifest_and_index_and_goes_on_where_it_broke_off() {
    let data = noise(3 * MIB);
    let kept = Kept::new(data.clone());
    let digest = sha256(&kept.manifest);
    let server = Server::start(move |asked, stream| kept.answer(asked, stream, 2 * MIB));
    for reference in [":1", ":2", &format!("@sha256:{digest}")] {
        assert_eq!(fetched(&uri(&server, reference), &data).unwrap(), 1);
    }
    let asked = server.asked();
    assert!(asked[0].header("accept").unwrap().contains("vnd.oci.image.index.v1+json"), "{asked:?}");
    assert_eq!(asked[2].first(), Some(2 * MIB));
    let error = fetched(&uri(&server, ":3"), &data).unwrap_err();
    assert!(matches!(error, ImageError::Status { status: 404, .. }), "{error:?}");
}

/// A server of tokens: each is a number higher. It wants to hear of `user`, if of anybody.
fn tokens(user: Option<&'static str>) -> Server {
    let count = AtomicUsize::new(0);
    Server::start(move |asked, stream| {
        if asked.header("authorization") != user {
            return head(stream, "401 Unauthorized", "Content-Length: 0\r\n");
        }
        let token = json!({"token": format!("token-{}", count.fetch_add(1, Ordering::SeqCst))});
        Content { bytes: token.to_string().into_bytes(), version: "" }.send(asked, stream, ALL);
    })
}

fn challenge(tokens: &Server) -> String {
    let realm = tokens.uri();
    format!("Bearer realm=\"{realm}\",service=\"registry\",scope=\"repository:images/debian:pull\"")
}

#[test]
fn tokens_are_fetched_used_renewed_and_not_given_to_others() {
    let data = noise(3 * MIB);
    let kept = Arc::new(Kept::new(data.clone()));
    for (user, prefix) in [(None, ""), (Some("Basic bWU6c2VjcmV0"), "me:secret@")] {
        let tokens = tokens(user);
        let challenge = challenge(&tokens);
        let stored = Arc::clone(&kept);
        let storage = Server::start(move |asked, stream| {
            let content = Content { bytes: stored.file.clone(), version: "" };
            // It breaks off once.
            content.send(asked, stream, if asked.number == 0 { 2 * MIB } else { ALL });
        });
        let elsewhere = storage.uri().replace("127.0.0.1", "localhost");
        let kept = Arc::clone(&kept);
        let registry = Server::start(move |asked, stream| {
            // The first token is good for manifests alone, and the second for one request.
            let wanted = match (is_blob(asked), asked.header("range")) {
                (false, _) => "Bearer token-0",
                (true, None) => "Bearer token-1",
                (true, Some(_)) => "Bearer token-2",
            };
            if asked.header("authorization") != Some(wanted) {
                unauthorized(stream, &challenge);
            } else if is_blob(asked) {
                head(
                    stream,
                    "307 Temporary Redirect",
                    &format!("Location: {elsewhere}\r\nContent-Length: 0\r\n"),
                );
            } else {
                kept.answer(asked, stream, ALL);
            }
        });
        let address = uri(&registry, ":1").replace("127.0.0.1", &format!("{prefix}127.0.0.1"));
        assert_eq!(fetched(&address, &data).unwrap(), 1);
        let target = &tokens.asked()[0].target;
        assert!(target.contains("service=registry&scope=repository%3Aimages%2Fdebian%3Apull"), "{target}");
        assert_eq!(tokens.asked().len(), 3);
        let at_storage = storage.asked();
        assert_eq!(at_storage.len(), 2);
        assert!(at_storage.iter().all(|asked| asked.header("authorization").is_none()), "{at_storage:?}");
    }
}

#[test]
fn who_gets_no_token_is_told_why_and_asks_once() {
    let data = noise(MIB);
    let refused = |challenge: String| {
        let registry = Server::start(move |_, stream| unauthorized(stream, &challenge));
        let error = fetched(&uri(&registry, ":1"), &data).unwrap_err();
        assert!(registry.asked().len() <= 2);
        error
    };
    let strict = tokens(Some("Basic other"));
    let error = refused(challenge(&strict));
    assert!(
        matches!(&error, ImageError::Status { status: 401, uri, .. } if uri.contains("/image")),
        "{error:?}"
    );
    // One that is refused all the same.
    let error = refused(challenge(&tokens(None)));
    assert!(matches!(error, ImageError::Status { status: 401, .. }), "{error:?}");
    let nothing = Server::start(|asked, stream| Content::new(b"{}").send(asked, stream, ALL));
    assert!(told(&refused(challenge(&nothing))).contains("its tokens are none"));
    let broken = Server::start(|_, stream| head(stream, "502 Bad Gateway", "Content-Length: 0\r\n"));
    let error = refused_after_retries(&challenge(&broken), &data);
    assert!(matches!(error, ImageError::GaveUp { attempts: 4, .. }), "{error:?}");
    assert!(told(&refused("Bearer realm=\"ftp://x\"".to_owned())).contains("by https"));
    for useless in ["Basic realm=\"x\"", "Negotiate", "Bearer realm"] {
        let error = refused(useless.to_owned());
        assert!(matches!(error, ImageError::Status { status: 401, .. }), "{useless}: {error:?}");
    }
}

fn refused_after_retries(challenge: &str, data: &[u8]) -> ImageError {
    let challenge = challenge.to_owned();
    let registry = Server::start(move |_, stream| unauthorized(stream, &challenge));
    fetched(&uri(&registry, ":1"), data).unwrap_err()
}

#[test]
fn what_is_not_what_its_digest_says_is_refused() {
    let data = noise(2 * MIB);
    let kept = Kept::new(data.clone());
    let digest = sha256(&kept.manifest);
    // The image: found at the end, after all came.
    let mut wrong = kept.clone();
    wrong.file[MIB] ^= 1;
    let file = wrong.file.clone();
    let honest = kept.clone();
    let server = Server::start(move |asked, stream| {
        if is_blob(asked) {
            Content::new(&file).send(asked, stream, ALL);
        } else {
            honest.answer(asked, stream, ALL);
        }
    });
    let error = fetched(&uri(&server, ":1"), &data).unwrap_err();
    assert!(matches!(&error, ImageError::Digest { kind, .. } if kind == "container sha256"), "{error:?}");
    // The manifest, where the address or the index names it by its sum.
    let other = Kept::new(noise(MIB));
    let index = kept.index.clone();
    let server = Server::start(move |asked, stream| match place_of(&asked.target) {
        Some((_, "manifests", "2")) => Content::new(&index).send(asked, stream, ALL),
        _ => Content::new(&other.manifest).send(asked, stream, ALL),
    });
    for reference in [&format!("@sha256:{digest}"), ":2"] {
        let error = fetched(&uri(&server, reference), &data).unwrap_err();
        assert!(error.to_string().contains("its manifest has the sha256 sum"), "{error}");
        assert!(error.to_string().contains("images/debian"), "{error}");
    }
    // The length: before anything is written.
    let short = kept.clone();
    let server = Server::start(move |asked, stream| {
        if is_blob(asked) {
            Content::new(&short.file[1..]).send(asked, stream, ALL);
        } else {
            short.answer(asked, stream, ALL);
        }
    });
    let error = fetched(&uri(&server, ":1"), &data).unwrap_err();
    assert!(error.to_string().contains("as its manifest says"), "{error}");
    // Another sum than that of the request: before the first byte, too.
    let server = Server::start(move |asked, stream| kept.answer(asked, stream, ALL));
    let place = Place::with_old_data(MIB);
    let mut request = place.request(&uri(&server, ":1"), Container::Raw);
    request.expect_of_file(Algorithm::Sha256, "0".repeat(64));
    assert!(matches!(write(&request).unwrap_err(), ImageError::Digest { .. }));
    place.assert_untouched();
}

#[test]
fn documents_that_are_none_are_refused() {
    let endless = |stream: &mut TcpStream| {
        head(stream, "200 OK", "Content-Length: 9000000\r\n");
        body(stream, &vec![b' '; 9_000_000]);
    };
    let nested = json!({"manifests": [{"digest": format!("sha256:{}", "0".repeat(64)), "size": 1}]});
    let documents: [(&[u8], &str); 5] = [
        (b"<!doctype html><title>Sign in</title>", "is no manifest"),
        (b"[]", "is no manifest"),
        (b"{\"schemaVersion\": 1}", "neither a manifest nor an index"),
        (b"endless", "larger than a manifest"),
        (nested.to_string().leak().as_bytes(), "its manifest has the sha256 sum"),
    ];
    for (document, part) in documents {
        let server = Server::start(move |asked, stream| match document {
            b"endless" => endless(stream),
            _ => Content::new(document).send(asked, stream, ALL),
        });
        let error = fetched(&uri(&server, ":1"), &[]).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    let page = Server::start(|_, stream| {
        head(stream, "200 OK", "Content-Type: text/html\r\n");
        body(stream, b"<title>Please log in</title>");
    });
    assert!(matches!(fetched(&uri(&page, ":1"), &[]).unwrap_err(), ImageError::Page { .. }));
    let circle = Server::start(|asked, stream| {
        head(stream, "302 Found", &format!("Location: {}\r\nContent-Length: 0\r\n", asked.target));
    });
    assert!(matches!(fetched(&uri(&circle, ":1"), &[]).unwrap_err(), ImageError::Redirect { .. }));
}

#[test]
fn a_web_server_takes_over_from_a_registry_and_is_held_to_the_registrys_sum() {
    let data = noise(3 * MIB);
    let mut changed = data.clone();
    changed[2 * MIB + 5] ^= 1;
    for (second, sound) in [(data.clone(), true), (changed, false)] {
        let kept = Kept::new(data.clone());
        let registry = Server::start(move |asked, stream| match asked.number {
            0 => kept.answer(asked, stream, ALL),
            1 => kept.answer(asked, stream, MIB),
            _ => head(stream, "503 Service Unavailable", "Content-Length: 0\r\n"),
        });
        let web = Server::start(move |asked, stream| Content::new(&second).send(asked, stream, ALL));
        let place = Place::with_old_data(4 * MIB);
        let mut request = place.request("", Container::Raw);
        request.uris = vec![uri(&registry, ":1"), web.uri()];
        let written = write(&request);
        let places: Vec<_> = web.asked().iter().map(|asked| asked.first().unwrap_or(0)).collect();
        if sound {
            assert_eq!((written.unwrap().resumes, places), (1, vec![MIB]));
            assert!(place.content().starts_with(&data));
        } else {
            // Also begun anew, from the second alone.
            assert!(matches!(written.unwrap_err(), ImageError::Digest { .. }));
            place.assert_first_mib_zero();
            assert_eq!(places, [MIB, 0]);
        }
    }
}
