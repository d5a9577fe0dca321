//! The registry of Docker, which is that of Debian, too: artifacts as `oras push` makes them, by name and password.

use std::{fs, sync::Mutex};

use bareon_image::{
    Algorithm, Container, Request, Silent, Sums, http_client,
    index::SUFFIX,
    pack::{Packing, pack},
};
use serde_json::{Value, json};

use crate::{
    process::{Process, tcp_port},
    support::{MIB, Place, When, noise, options, sha256},
};

/// `bcrypt` of `secret`.
const USERS: &str = "me:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

struct Registry {
    server: Mutex<Option<Process>>,
    port: u16,
    password: bool,
}

impl Registry {
    fn start(place: &Place, password: bool) -> Option<Self> {
        let port = tcp_port();
        let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
        fs::write(path("users"), USERS).unwrap();
        let auth = json!({"htpasswd": {"realm": "test", "path": path("users")}});
        let mut config = json!({
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": path("registry")}},
            "http": {"addr": format!("127.0.0.1:{port}")},
        });
        if password {
            config["auth"] = auth;
        }
        fs::write(path("config.yml"), config.to_string()).unwrap();
        let registry = Self { server: Mutex::new(None), port, password };
        registry.restart(place)?;
        Some(registry)
    }

    fn restart(&self, place: &Place) -> Option<()> {
        let mut server = self.server.lock().unwrap();
        drop(server.take());
        *server = Some(
            Process::start("docker-registry", &["serve", "config.yml"], place.path())?.accepts(self.port),
        );
        Some(())
    }

    fn uri(&self, reference: &str) -> String {
        let user = if self.password { "me:secret@" } else { "" };
        format!("oci://{user}127.0.0.1:{}/{reference}", self.port)
    }

    fn send(&self, method: &str, path: &str, kind: &str, body: Vec<u8>) -> Option<String> {
        let at = |path: &str| format!("http://127.0.0.1:{}{path}", self.port);
        let uri = if path.starts_with("http") { path.to_owned() } else { at(path) };
        let client = http_client(&uri, &options().http).unwrap();
        let request = client.request(method.parse().unwrap(), uri).header("Content-Type", kind).body(body);
        let request = if self.password { request.basic_auth("me", Some("secret")) } else { request };
        let response = request.send().unwrap();
        assert!(response.status().is_success(), "{response:?}");
        response.headers().get("location").map(|location| location.to_str().unwrap().to_owned())
    }

    /// Puts a file there, and tells its description.
    fn file(&self, repository: &str, name: &str, data: &[u8]) -> Value {
        let digest = format!("sha256:{}", sha256(data));
        let place =
            self.send("POST", &format!("/v2/{repository}/blobs/uploads/"), "text/plain", Vec::new()).unwrap();
        let sign = if place.contains('?') { '&' } else { '?' };
        self.send("PUT", &format!("{place}{sign}digest={digest}"), "application/octet-stream", data.to_vec());
        json!({
            "mediaType": "application/octet-stream", "digest": digest, "size": data.len(),
            "annotations": {"org.opencontainers.image.title": name},
        })
    }

    /// Puts a document there, and tells its description.
    fn document(&self, repository: &str, tag: &str, kind: &str, document: &Value) -> Value {
        let bytes = document.to_string().into_bytes();
        let digest = format!("sha256:{}", sha256(&bytes));
        let size = bytes.len();
        self.send("PUT", &format!("/v2/{repository}/manifests/{tag}"), kind, bytes);
        json!({"mediaType": kind, "digest": digest, "size": size})
    }

    fn artifact(&self, repository: &str, tag: &str, files: &[Value]) -> Value {
        let config = self.file(repository, "config", b"{}");
        let config =
            json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": config["digest"], "size": 2});
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.unknown.artifact.v1",
            "config": config, "layers": files,
        });
        self.document(repository, tag, MANIFEST, &manifest)
    }
}

#[test]
fn an_artifact_is_found_by_tag_by_digest_by_name_and_in_an_index() {
    let place = Place::new();
    let Some(registry) = Registry::start(&place, true) else { return };
    let (root, boot) = (noise(3 * MIB), noise(2 * MIB + 1));
    let files =
        [registry.file("images/node", "root.img", &root), registry.file("images/node", "boot.img", &boot)];
    let one = registry.artifact("images/node", "1", &files[..1]);
    let two = registry.artifact("images/node", "2", &files);
    let digest = one["digest"].as_str().unwrap();
    let mut listed = [one.clone(), two.clone()];
    listed[0]["platform"] = json!({"os": "linux", "architecture": "s390x"});
    listed[1]["platform"] = json!({"os": "linux", "architecture": match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed});
    registry.document("images/node", "latest", INDEX, &index);
    for (reference, data) in [
        ("images/node:1", &root),
        (&format!("images/node@{digest}"), &root),
        ("images/node:2#boot.img", &boot),
        ("images/node#root.img", &root),
    ] {
        fs::write(&place.target, []).unwrap();
        place.write(&[registry.uri(reference)], data, &options(), &Silent).unwrap();
    }
    let refusal = |reference: &str| {
        place.write(&[registry.uri(reference)], &root, &options(), &Silent).unwrap_err().to_string()
    };
    let several = refusal("images/node:2");
    assert!(several.contains("put #NAME behind the address, of root.img, boot.img"), "{several}");
    assert!(!several.contains("secret"), "{several}");
    let none = refusal("images/node:3");
    assert!(none.contains("404") && none.contains("/v2/images/node/manifests/3"), "{none}");
    let stranger = registry.uri("images/node:1").replace("me:secret@", "me:wrong@");
    let error = place.write(&[stranger], &root, &options(), &Silent).unwrap_err().to_string();
    assert!(error.contains("401"), "{error}");
}

#[test]
fn an_image_goes_on_after_the_registry_was_killed_and_started_again() {
    let place = Place::new();
    let Some(registry) = Registry::start(&place, false) else { return };
    let data = noise(64 * MIB);
    let file = registry.file("debian", "root.img", &data);
    registry.artifact("debian", "12", &[file]);
    let killer = When::fetched(MIB, || registry.restart(&place).unwrap());
    let written = place.write(&[registry.uri("debian:12")], &data, &options(), &killer).unwrap();
    assert!(killer.happened() && written.resumes > 0, "{written:?}");
}

#[test]
fn an_image_with_an_index_beside_it_comes_in_pieces() {
    let place = Place::new();
    let Some(registry) = Registry::start(&place, true) else { return };
    let mut data = noise(12 * MIB);
    data[3 * MIB..9 * MIB].fill(0);
    let (raw, packed) = (place.path().join("raw"), place.path().join("root.img.zst"));
    fs::write(&raw, &data).unwrap();
    let index = pack(&raw, Packing::Zstd, &packed, 2, &Silent).unwrap().index.unwrap();
    let (packed, beside) = (fs::read(packed).unwrap(), index.to_bytes());
    let files = [
        registry.file("debian", "root.img.zst", &packed),
        registry.file("debian", &format!("root.img.zst{SUFFIX}"), &beside),
    ];
    registry.artifact("debian", "12", &files);
    let mut request = Request {
        uris: vec![registry.uri("debian:12#root.img.zst")],
        container: Some(Container::Zstd),
        index_sha256: Some(sha256(&beside)),
        sums: Sums::default().with(Algorithm::Sha256, Some(sha256(&data))),
        ..Request::default()
    };
    let written = bareon_image::write(&request, &options(), &place.target, &Silent).unwrap();
    assert!(place.content() == data);
    let wanted: u32 = index.chunks.iter().filter(|it| !it.zeros).map(|it| it.length).sum();
    assert_eq!(written.container_bytes, u64::from(wanted), "zeros are not fetched");

    let stranger = request.uris[0].replace("me:secret@", "me:wrong@");
    request.uris.insert(0, stranger);
    fs::write(&place.target, []).unwrap();
    bareon_image::write(&request, &options(), &place.target, &Silent).unwrap();
    assert!(place.content() == data, "the other address has it");
}
