//! A web server for the files of a folder, which gives ranges.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
};

/// Starts it, and gives its address.
pub fn serve(folder: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let folder = folder.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let folder = folder.clone();
            // A client that goes away is no matter.
            thread::spawn(move || answers(&stream, &folder));
        }
    });
    address
}

fn answers(stream: &TcpStream, folder: &Path) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(asked) = lines.next() {
        let name = asked?.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        let mut range = None;
        for line in lines.by_ref() {
            let line = line?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            range = line.strip_prefix("range: bytes=").map(str::to_owned).or(range);
        }
        answer(stream, &folder.join(name), range.as_deref())?;
    }
    Ok(())
}

fn answer(mut stream: &TcpStream, path: &Path, range: Option<&str>) -> io::Result<()> {
    let Ok(mut file) = File::open(path) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    };
    let total = file.metadata()?.len();
    let (first, last) = range.and_then(|range| range.split_once('-')).unwrap_or(("0", ""));
    let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap_or(total - 1));
    let length = last + 1 - first;
    let status = match range {
        Some(_) => format!("206 Partial Content\r\nContent-Range: bytes {first}-{last}/{total}"),
        None => "200 OK".to_owned(),
    };
    write!(stream, "HTTP/1.1 {status}\r\nETag: \"1\"\r\nContent-Length: {length}\r\n\r\n")?;
    file.seek(SeekFrom::Start(first))?;
    io::copy(&mut file.take(length), &mut stream).map(|_| ())
}
