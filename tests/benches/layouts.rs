//! How long a layout takes, and how many programs: ours beside a plain shell script of the tool calls that the original
//! bareon made for it, in one virtual machine, at 1, 2, 8 and 24 disks.
//!
//! `cargo bench -p bareon-tests` (root, QEMU; about ten minutes) prints a table of seconds in the guest, the fastest of
//! three runs each, ours and theirs by turns on clean disks. The disks are virtio; the file of each lies in `TMPDIR`.

use std::{collections::BTreeMap, error::Error, fmt::Write, time::Duration};

use bareon_tests::vm::{
    by_hand, document,
    http::Server,
    job::{self, Outcome},
    machine::{Bus, Firmware, Machine},
    scheme::{BOOT, Part, Scheme},
};
use serde_json::Value;

const COUNTS: [usize; 4] = [1, 2, 8, 24];
const RUNS: usize = 3;
const PARTS: [&str; 4] = ["tables", "arrays", "groups", "file-systems"];

const SCRIPT: &str = "
now() { cut -d' ' -f1 /proc/uptime; }
mark() { echo $1 $(now) $calls >>$marks; }
# ours COUNT RUN
ours() {
    clean_disks
    begin=$(now)
    bareon-provision --data-driver nailgun_simple --input-data-file /tmp/$1.json --http-max-retries 1 \\
        --report /out/ours-$1-$2.json partition || exit 1
    echo $begin $(now) >/out/ours-$1-$2
}
# theirs COUNT RUN
theirs() {
    clean_disks
    marks=/out/theirs-$1-$2
    (by_hand_$1) || { tail /tmp/by-hand; exit 2; }
}
";

/// What a node has: GRUB's place and an ESP on each disk, root on a mirror of the first two, swap and data in a group
/// over all, an own file system on each disk from the third on.
fn scheme(count: usize) -> Scheme {
    let mut scheme = Scheme::default();
    let parts = [BOOT[0], BOOT[1], Part::new(64), Part::new(100), Part::new(100)];
    let disks: Vec<_> = (b'a'..).take(count).map(|letter| format!("/dev/vd{}", char::from(letter))).collect();
    let disks: Vec<_> = disks
        .iter()
        .enumerate()
        .map(|(number, disk)| {
            let last = [Part::config_drive()];
            scheme.disk(disk, &[&parts[..], if number == 0 { &last[..] } else { &[] }].concat())
        })
        .collect();
    let root = match &disks[..] {
        [only] => only[3].clone(),
        [first, second, ..] => scheme.md("/dev/md0", "mirror", "1.2", &[&first[3], &second[3]], &[]),
        [] => String::new(),
    };
    let pvs: Vec<_> = disks.iter().map(|disk| disk[4].as_str()).collect();
    scheme.group("os", &pvs);
    let swap = scheme.volume("os", "swap", 32);
    let data = scheme.volume("os", "data", 48);
    scheme.fs(&disks[0][2], "/boot", "ext2", "");
    scheme.fs(&root, "/", "ext4", "");
    scheme.fs(&swap, "swap", "swap", "");
    scheme.fs(&data, "/srv", "ext4", "");
    for (number, disk) in disks.iter().enumerate().skip(2) {
        scheme.fs(&disk[3], &format!("/srv/{number}"), "ext4", "");
    }
    scheme
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let dir = tempfile::tempdir()?;
    let mut machine = Machine::new(dir.path(), Firmware::Bios)?;
    machine.memory_mib = 1024;
    machine.assembles = true;
    for number in 0..24 {
        machine.add_disk(Bus::Virtio, &format!("DISK{number}"), 512)?;
    }
    let server = Server::start()?;
    let (mut script, mut documents) = (SCRIPT.to_owned(), Vec::new());
    for count in COUNTS {
        let scheme = scheme(count);
        let image = [("/", server.url("/none.img.gz"))];
        documents.push((format!("{count}.json"), document::simple(&scheme, &image, "")));
        writeln!(script, "by_hand_{count}() {{\n{}\n}}", by_hand::script(&scheme.value(), &["/"]))?;
    }
    for run in 0..RUNS {
        for count in COUNTS {
            writeln!(script, "ours {count} {run}; theirs {count} {run}")?;
        }
    }
    let documents: Vec<_> = documents.iter().map(|(name, document)| (name.as_str(), document)).collect();
    let outcome = job::run_with(&machine, "bench", &documents, &script)?;
    if outcome.status != 0 {
        return Err(outcome.to_string().into());
    }
    println!("| disks | | tables | arrays | groups | file systems | all, s | programs |");
    println!("|---|---|---|---|---|---|---|---|");
    for count in COUNTS {
        let ours = fastest((0..RUNS).map(|run| ours(&outcome, count, run)))?;
        let theirs = fastest((0..RUNS).map(|run| theirs(&outcome, count, run)))?;
        println!("{}\n{}", ours.line(&count.to_string(), "bareon"), theirs.line("", "the original's calls"));
        let times = |part: &str| theirs.seconds(part) / ours.seconds(part).max(0.01);
        let parts: Vec<_> = PARTS.iter().map(|part| format!("{:.1}×", times(part))).collect();
        let (all, programs) = (theirs.all / ours.all, theirs.programs / ours.programs);
        println!("| | ratio | {} | {all:.1}× | {programs:.1}× |", parts.join(" | "));
    }
    Ok(())
}

/// One run.
struct Run {
    all: f64,
    programs: f64,
    parts: BTreeMap<String, f64>,
}

impl Run {
    fn seconds(&self, part: &str) -> f64 {
        self.parts.get(part).copied().unwrap_or_default()
    }

    fn line(&self, disks: &str, whose: &str) -> String {
        let parts: Vec<_> = PARTS.iter().map(|part| format!("{:.1}", self.seconds(part))).collect();
        format!("| {disks} | {whose} | {} | {:.1} | {} |", parts.join(" | "), self.all, self.programs)
    }
}

fn fastest(
    runs: impl Iterator<Item = Result<Run, Box<dyn Error + Send + Sync>>>,
) -> Result<Run, Box<dyn Error + Send + Sync>> {
    let runs: Vec<_> = runs.collect::<Result<_, _>>()?;
    runs.into_iter().min_by(|a, b| a.all.total_cmp(&b.all)).ok_or_else(|| "no run".into())
}

/// From the report: where commands of one part ran at once, their time counts once.
fn ours(outcome: &Outcome, count: usize, run: usize) -> Result<Run, Box<dyn Error + Send + Sync>> {
    let times = numbers(&outcome.file(&format!("ours-{count}-{run}")))?;
    let report: Value = serde_json::from_str(&outcome.file(&format!("ours-{count}-{run}.json")))?;
    let commands = report["commands"].as_array().cloned().unwrap_or_default();
    let mut spans: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    for command in &commands {
        let end = command["end_ms"].as_u64().unwrap_or_default();
        let span = (end.saturating_sub(command["ms"].as_u64().unwrap_or_default()), end);
        spans.entry(part(command["line"].as_str().unwrap_or_default()).into()).or_default().push(span);
    }
    let parts = spans.into_iter().map(|(part, spans)| (part, union(spans))).collect();
    Ok(Run { all: times[1] - times[0], programs: f64::from(u32::try_from(commands.len())?), parts })
}

/// Which part a command belongs to.
fn part(line: &str) -> &'static str {
    match line.split(' ').next().unwrap_or_default() {
        "mdadm" => "arrays",
        "lvm" => "groups",
        "mkswap" => "file-systems",
        program if program.starts_with("mkfs") => "file-systems",
        _ => "tables",
    }
}

/// The seconds that any of these spans of milliseconds covers.
fn union(mut spans: Vec<(u64, u64)>) -> f64 {
    spans.sort_unstable();
    let (mut covered, mut reached) = (0, 0);
    for (begin, end) in spans {
        covered += end.saturating_sub(begin.max(reached));
        reached = reached.max(end);
    }
    Duration::from_millis(covered).as_secs_f64()
}

fn theirs(outcome: &Outcome, count: usize, run: usize) -> Result<Run, Box<dyn Error + Send + Sync>> {
    let text = outcome.file(&format!("theirs-{count}-{run}"));
    let marks: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, rest)| Ok((name, numbers(rest)?)))
        .collect::<Result<_, Box<dyn Error + Send + Sync>>>()?;
    let parts = marks
        .windows(2)
        .map(|pair| (pair[0].0.to_owned(), pair[1].1[0] - pair[0].1[0]))
        .collect::<BTreeMap<_, _>>();
    let programs = marks.last().map_or(0.0, |(_, numbers)| numbers[1]);
    Ok(Run { all: parts.values().sum(), programs, parts })
}

fn numbers(text: &str) -> Result<Vec<f64>, Box<dyn Error + Send + Sync>> {
    Ok(text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}
