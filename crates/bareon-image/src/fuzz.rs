//! What the fuzz targets of the workspace's `fuzz` call, and the tests here with all that lies in its corpora.
//!
//! Built for tests and by cargo-fuzz, which sets `cfg(fuzzing)`.

use std::{
    io::{self, BufReader, Read},
    sync::Arc,
    thread,
};

use crate::{
    Container, Options,
    chunks::work::{self, Work},
    container::{self, Ahead, Limits},
    digest,
    hand_on::Halt,
    index::Index,
    pool::{Buffer, Pool},
    shared::Shared,
    source::{
        oci::{
            auth::Challenge,
            manifest::{self, Leads},
        },
        tftp::packet::{BLOCK, Counter, Packet, Place, Terms, WINDOW},
    },
    unpack::Unpack,
};

/// The most data that are unpacked of one input, in bytes.
const MOST: u64 = 4 << 20;

/// The size of a buffer in bytes.
const CHUNK: usize = 1 << 16;

/// What a decoder may take here.
const LIMITS: Limits = Limits { memory: 64 << 20, threads: 2 };

/// Any bytes, unpacked as their beginning says: the end of a buffer in the middle of anything changes nothing.
///
/// # Panics
/// When that does not hold.
pub fn containers(bytes: &[u8]) {
    let Ok(container) = container::identify("fuzz", None, bytes) else { return };
    let small = in_one(container, BufReader::with_capacity(7, bytes));
    match (small, in_one(container, bytes)) {
        (Ok(small), Ok(whole)) => assert!(small == whole, "{container} depends on its buffers"),
        (Err(_), Err(_)) => {}
        (small, whole) => {
            panic!("{container}: {:?} and {:?}", small.map(|it| it.len()), whole.map(|it| it.len()))
        }
    }
}

/// Any bytes, unpacked piece by piece where they have any: never to other data than in one stream.
///
/// # Panics
/// When that does not hold.
pub fn pieces(bytes: &[u8]) {
    let Ok(container) = container::identify("fuzz", None, bytes) else { return };
    if let Ok(found) = in_pieces(container, bytes, LIMITS) {
        let whole = in_one(container, bytes);
        assert!(whole.is_ok_and(|whole| whole == found), "{container} has other data in pieces");
    }
}

/// Any bytes as a chunk index, as they are and with the hash that they should end with: nothing in it leads outside the
/// image, and all of the image is work for somebody.
///
/// # Panics
/// When that does not hold.
pub fn index(bytes: &[u8]) {
    let _ = Index::from_bytes(bytes);
    let sealed = [bytes, blake3::hash(bytes).as_bytes()].concat();
    let Ok(index) = Index::from_bytes(&sealed) else { return };
    assert!(index.to_bytes() == sealed, "it is written otherwise than it was read");
    let mut next = 0;
    for (number, chunk) in index.chunks.iter().enumerate() {
        let raw = index.raw_range(number);
        assert!(raw.start == next && raw.end > next && raw.end <= index.raw_size, "chunk {number}: {raw:?}");
        assert!(chunk.offset + u64::from(chunk.length) <= index.container_size, "chunk {number}");
        next = raw.end;
    }
    assert!(next == index.raw_size);
    let mut done = 0;
    for work in work::of(&index, 0) {
        let (Work::Zeros(chunks) | Work::Data(chunks)) = work;
        assert!(chunks.start == done && chunks.end > done, "{chunks:?} after {done}");
        done = chunks.end;
    }
    assert!(done == index.chunks.len());
}

/// Any datagrams, each with its length before it, as those of a TFTP server: what is taken is in order, and no more
/// than what was agreed upon.
///
/// # Panics
/// When that does not hold.
pub fn tftp(bytes: &[u8]) {
    let (mut terms, mut rest) = (Terms::PLAIN, bytes);
    let (mut counter, mut taken) = (Counter::new(1), 0_u64);
    while let Some((length, after)) = rest.split_first() {
        let (datagram, next) = after.split_at(after.len().min(usize::from(*length)));
        rest = next;
        match Packet::parse(datagram) {
            Some(Packet::Agreed(options)) if taken == 0 => {
                let Ok(agreed) = Terms::of(&options) else { return };
                assert!((8..=BLOCK).contains(&agreed.block) && (1..=WINDOW).contains(&agreed.window));
                (terms, counter) = (agreed, Counter::new(agreed.window));
            }
            Some(Packet::Data { block, bytes }) if bytes.len() <= usize::from(terms.block) => {
                if counter.take(block) == Place::Next {
                    taken += 1;
                    assert!(u64::from(block) == taken & 0xffff, "block {block} is taken for the {taken}th");
                }
                assert!(u64::from(counter.last()) == taken & 0xffff);
            }
            Some(Packet::Error { said, .. }) => {
                assert!(!said.contains(char::is_control), "`{said:?}` goes to a console");
                return;
            }
            _ => {}
        }
    }
}

/// Any bytes as what a registry answers: a manifest, an index, a header that asks for a token.
///
/// # Panics
/// When it leads to something without a sum, or to another file than the one that was asked for.
pub fn registry(bytes: &[u8]) {
    for name in [None, Some("root.img")] {
        match manifest::leads(bytes, name, "amd64") {
            Ok(Leads::File(found) | Leads::Manifest(found)) => {
                assert!(found.sha256.len() == 64, "{found:?}");
                assert!(found.sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
            }
            Err(why) => assert!(!why.contains(char::is_control), "{why:?} goes to a console"),
        }
    }
    if let Ok(text) = str::from_utf8(bytes) {
        let _ = Challenge::parse(text);
    }
}

fn in_one(container: Container, packed: impl io::BufRead) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    container::reader(container, packed, LIMITS)?.take(MOST).read_to_end(&mut data)?;
    Ok(data)
}

/// Unpacks as images are.
///
/// # Errors
/// Why that ended before the end of the data, of which there may be [`MOST`].
pub(crate) fn in_pieces(
    container: Container,
    packed: impl io::BufRead + Send,
    limits: Limits,
) -> Result<Vec<u8>, Halt> {
    let options = Options { chunk: CHUNK, ..Options::default() };
    let (shared, _told) = Shared::new();
    thread::scope(|scope| {
        let adding = digest::adding::<Arc<Buffer>>(scope, [], 1);
        let (mut takers, _none) = adding.map_err(|error| Halt::At(0, error))?;
        let incoming = takers.another(1);
        let all = scope.spawn(move || {
            let mut data: Vec<u8> = Vec::new();
            for buffer in incoming {
                assert!(data.len().is_multiple_of(crate::pool::ALIGN), "a buffer begins within a page");
                data.extend_from_slice(&buffer);
            }
            data
        });
        let pool = Pool::new(4, CHUNK);
        let unpack = Unpack { uri: "fuzz", container, size: Some(MOST), options: &options, pool, takers };
        unpack.pass_on(&mut Ahead::new(packed), limits, &shared)?;
        all.join().map_err(|_| Halt::Told)
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// How often each file of a corpus is changed.
    const CHANGES: u32 = 150;

    /// Calls `target` with each file of its corpus, and with the same files changed in ways that are the same each time.
    fn run(name: &str, target: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
        let mut files: Vec<_> = fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{} is empty", corpus.display());
        let corpus: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        let mut random = Random(1);
        for (file, bytes) in files.iter().zip(&corpus) {
            println!("{}", file.display());
            target(bytes);
            for _ in 0..CHANGES {
                let mut changed = bytes.clone();
                for _ in 0..=random.below(3) {
                    change(&mut changed, &corpus, &mut random);
                }
                target(&changed);
            }
        }
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
        }
    }

    fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, [0, 1, 0x7f, 0x80, 0xff][random.below(5)]),
            2 => {
                let other = &corpus[random.below(corpus.len())];
                bytes.extend_from_slice(&other[random.below(other.len())..]);
            }
            3 => {
                let end = (at + random.below(64)).min(bytes.len());
                bytes.drain(at..end);
            }
            // Headers are short and hold all that matters.
            4 => bytes.iter_mut().take(24).for_each(|byte| *byte ^= u8::from(random.below(24) == 0)),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
        }
    }

    #[test]
    fn containers_survive_the_corpus_and_changes_of_it() {
        run("containers", containers);
    }

    #[test]
    fn pieces_survive_the_corpus_and_changes_of_it() {
        run("pieces", pieces);
    }

    #[test]
    fn indexes_lead_nowhere_else() {
        run("index", index);
    }

    #[test]
    fn tftp_survives_the_corpus_and_changes_of_it() {
        run("tftp", tftp);
    }

    #[test]
    fn registry_survives_the_corpus_and_changes_of_it() {
        run("registry", registry);
    }
}
