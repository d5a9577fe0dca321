//! nginx: ranges, a server that dies in the middle, mirrors, own authorities and client certificates.

use std::{fs, io::Write as _, sync::Mutex};

use bareon_image::{ImageError, Silent, fetch};

use crate::{
    process::{Process, run, tcp_port},
    support::{MIB, Place, When, noise, options},
};

const CONFIG: &str = "
daemon off; master_process off; pid PID; error_log stderr;
events {}
http {
    access_log LOG; client_body_temp_path TEMP; proxy_temp_path TEMP; fastcgi_temp_path TEMP;
    uwsgi_temp_path TEMP; scgi_temp_path TEMP;
    server { listen 127.0.0.1:PORT MORE root SERVED; }
}
";

/// A server of what lies in the place; `more` goes into its configuration.
fn nginx(place: &Place, port: u16, more: &str) -> Option<Process> {
    let path = |name: String| place.path().join(name).to_str().unwrap().to_owned();
    let more = format!("{};", more.trim_end_matches(';'));
    let config = CONFIG
        .replace("PID", &path(format!("{port}.pid")))
        .replace("LOG", &path(format!("{port}.access")))
        .replace("TEMP", &path(format!("{port}.temp")))
        .replace("PORT", &port.to_string())
        .replace("SERVED", place.served.to_str().unwrap())
        .replace(" MORE", &more);
    let name = path(format!("{port}.conf"));
    fs::write(&name, config).unwrap();
    Some(Process::start("nginx", &["-c", &name], place.path())?.accepts(port))
}

#[test]
fn an_image_goes_on_after_its_server_was_killed_and_started_again() {
    let (place, port) = (Place::new(), tcp_port());
    let data = noise(24 * MIB);
    place.serve("image", &data);
    // Slow at first, so that it is killed in the middle.
    let Some(server) = nginx(&place, port, "; limit_rate 4m") else { return };
    let server = Mutex::new(Some(server));
    let killer = When::fetched(2 * MIB, || {
        drop(server.lock().unwrap().take());
        *server.lock().unwrap() = nginx(&place, port, "");
    });
    let uri = format!("http://127.0.0.1:{port}/image");
    let written = place.write(&[uri], &data, &options(), &killer).unwrap();
    assert!(killer.happened() && written.resumes > 0, "{written:?}");
    let log = fs::read_to_string(place.path().join(format!("{port}.access"))).unwrap();
    assert!(log.contains("\" 206 "), "{log}");
}

#[test]
fn a_second_server_takes_over_from_one_that_was_killed() {
    let (place, one, two) = (Place::new(), tcp_port(), tcp_port());
    let data = noise(24 * MIB);
    place.serve("image", &data);
    let Some(first) = nginx(&place, one, "; limit_rate 4m") else { return };
    let Some(_second) = nginx(&place, two, "") else { return };
    let first = Mutex::new(Some(first));
    let killer = When::fetched(2 * MIB, || drop(first.lock().unwrap().take()));
    let uris = [one, two].map(|port| format!("http://127.0.0.1:{port}/image"));
    let written = place.write(&uris, &data, &options(), &killer).unwrap();
    assert!(killer.happened() && written.resumes > 0, "{written:?}");
    assert_eq!(written.uri, uris[0]);
    let log = fs::read_to_string(place.path().join(format!("{two}.access"))).unwrap();
    assert!(log.contains("\" 206 ") && !log.contains("\" 200 "), "{log}");
}

/// An authority, a certificate of the server, and one of a client, by openssl.
fn certificates(place: &Place) -> bool {
    let file = |name: &str, text: &str| {
        fs::File::create(place.path().join(name)).unwrap().write_all(text.as_bytes())
    };
    file("server.ext", "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    file("client.ext", "extendedKeyUsage=clientAuth\nbasicConstraints=CA:FALSE\n").unwrap();
    let authority = "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.pem -subj /CN=test-ca";
    if !run("openssl", authority, place.path()) {
        return false;
    }
    for name in ["server", "client"] {
        let ask = format!("req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}");
        let sign = format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out {name}.pem -extfile {name}.ext"
        );
        run("openssl", &ask, place.path());
        run("openssl", &sign, place.path());
    }
    true
}

#[test]
fn a_server_that_asks_for_a_client_certificate_gets_it() {
    let (place, port) = (Place::new(), tcp_port());
    if !certificates(&place) {
        return;
    }
    let path = |name: &str| place.path().join(name);
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    let tls = format!(
        "ssl; ssl_certificate {}; ssl_certificate_key {}; ssl_client_certificate {}; ssl_verify_client on",
        text("server.pem"),
        text("server.key"),
        text("ca.pem")
    );
    let data = noise(3 * MIB);
    place.serve("image", &data);
    let Some(_server) = nginx(&place, port, &format!(" {tls}")) else { return };
    let uri = format!("https://127.0.0.1:{port}/image");
    let mut options = options();
    let refused = |options: &bareon_image::Options| fetch(&uri, options, 1 << 30, &Silent).unwrap_err();
    assert!(matches!(refused(&options), ImageError::Certificate { .. }));
    options.http.ca_file = Some(path("ca.pem"));
    // nginx lets everybody in to tell them so.
    let error = refused(&options);
    assert!(matches!(error, ImageError::Status { status: 400, .. }), "{error:?}");
    assert!(error.to_string().contains("client_cert"), "{error}");
    options.http.client_cert = Some(path("client.pem"));
    assert!(matches!(refused(&options), ImageError::ClientCert { .. }), "the key is in another file");
    options.http.client_key = Some(path("client.key"));
    place.write(std::slice::from_ref(&uri), &data, &options, &Silent).unwrap();
    // Both in one file will do, too.
    let both = [fs::read(path("client.pem")).unwrap(), fs::read(path("client.key")).unwrap()].concat();
    fs::write(path("both.pem"), both).unwrap();
    (options.http.client_cert, options.http.client_key) = (Some(path("both.pem")), None);
    place.write(&[uri], &data, &options, &Silent).unwrap();
}

#[test]
fn a_server_that_hangs_up_on_strangers_is_understood_and_asked_once() {
    let (place, port) = (Place::new(), tcp_port());
    if !certificates(&place) {
        return;
    }
    place.serve("image", b"image");
    for version in ["-tls1_2", "-tls1_3"] {
        let address = format!("127.0.0.1:{port}");
        let line = "s_server -cert ../server.pem -key ../server.key -CAfile ../ca.pem -Verify 1 -verify_return_error -HTTP";
        let arguments: Vec<_> = line.split(' ').chain([version, "-accept", &address]).collect();
        let Some(server) = Process::start("openssl", &arguments, &place.served) else { return };
        let _server = server.accepts(port);
        let uri = format!("https://{address}/image");
        let mut options = options();
        options.http.ca_file = Some(place.path().join("ca.pem"));
        let error = fetch(&uri, &options, 99, &Silent).unwrap_err();
        assert!(
            matches!(&error, ImageError::Distrusted { uri: at, .. } if *at == uri),
            "{version}: {error:?}"
        );
    }
}
