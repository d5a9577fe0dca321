//! A run that is told to stop: it ends soon, says so, and leaves nothing mounted or running.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use crate::{
    bench::Bench,
    disk::{Disk, assert_unused, sh},
    document::{self, Part},
};

/// How long anything here is waited for.
const PATIENCE: Duration = Duration::from_mins(2);

/// A server that sends some MiB of an image of 32 MiB and then nothing, until the client is gone.
fn slow_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let Ok(clone) = stream.try_clone() else { continue };
            let mut request = BufReader::new(clone).lines();
            let wanted = request.next().and_then(Result::ok).unwrap_or_default();
            while request.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            if wanted.contains(".yaml") {
                let _ = stream
                    .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                continue;
            }
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 32 << 20);
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&vec![7; 5 << 20]));
            let _ = stream.read(&mut [0]);
        }
    });
    format!("http://{address}/root.img")
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_run_that_is_told_to_stop_while_it_copies_ends_and_leaves_nothing() {
    let (bench, disk) = (Bench::new(), Disk::new(64));
    sh(&format!("mkfs.ext4 -q {}", disk.name));
    let parts = [Part::fs(50, "/", "ext4", "root")];
    let image = document::image(&slow_server(), "ext4", "raw");
    let document = document::simple(&[(&disk, &parts)], &[("/", image)]);
    bench.run(&document, &["partition"]).succeeded();

    let mut program = bench.command("nailgun_simple", &document, &["copyimage", "--debug"]);
    let mut child = program.spawn().expect("the program");
    let since = Instant::now();
    while !bench.log().iter().any(|line| line == "Next chunk: 3") {
        assert!(since.elapsed() < PATIENCE, "no chunk came");
        thread::sleep(Duration::from_millis(20));
    }
    sh(&format!("kill -TERM {}", child.id()));
    while child.try_wait().expect("its status").is_none() {
        assert!(since.elapsed() < PATIENCE, "it does not end");
        thread::sleep(Duration::from_millis(20));
    }
    let ended = child.wait_with_output().expect("its output");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(255), "{said}");
    assert!(said.contains("Unexpected error\n"), "{said}");
    let report = bench.report();
    assert_eq!((&report["end"]["outcome"], &report["end"]["signal"]), (&"failure".into(), &"SIGTERM".into()));
    assert_eq!(disk.probe(1), "");
    assert_unused(&disk);
    let left = sh(&format!("pgrep -f {} || true", bench.path("").display()));
    // The shell that looks is found as well.
    assert!(
        left.lines().all(|pid| sh(&format!("test -d /proc/{pid} && echo runs || true")).is_empty()),
        "{left}"
    );
}
