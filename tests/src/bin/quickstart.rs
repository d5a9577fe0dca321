//! The quick start: provisions a bare machine in QEMU, boots it from its own disk, says what runs there.
//!
//! `contrib/quickstart` installs what this needs and calls it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use bareon_tests::vm::{
    boot::{self, Booted, Key},
    document,
    http::Server,
    job,
    machine::{Bus, Firmware, Machine},
    process::Result,
};

const USAGE: &str = "\
usage: contrib/quickstart [--uefi] [--nvme] [--keep] [--dir DIR]

  --uefi     boot by UEFI, not by BIOS
  --nvme     an NVMe disk, not a virtio one
  --keep     leave the machine running at the end, until Ctrl-C
  --dir DIR  where disk, logs and plan go: a new folder (default: target/quickstart, made anew)";

/// What is asked of the machine that was provisioned.
const QUESTIONS: &str = "
echo \"host name   $(hostname -f)\"
echo \"system      $(. /etc/os-release; echo \"$PRETTY_NAME\"), Linux $(uname -r)\"
echo \"firmware    $([ -d /sys/firmware/efi ] && echo UEFI || echo BIOS)\"
echo \"kernel      $(cat /proc/cmdline)\"
echo \"network     $(ip -br -4 address show scope global)\"
echo \"cloud-init  $(cloud-init status --wait | tail -n 1)\"
findmnt --real --output TARGET,SOURCE,FSTYPE,SIZE,USED";

struct Choices {
    firmware: Firmware,
    bus: Bus,
    keep: bool,
    dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    let choices = match choices(env::args().skip(1)) {
        Ok(choices) => choices,
        Err(reason) => {
            eprintln!("{reason}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&choices) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("quickstart: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn choices(mut words: impl Iterator<Item = String>) -> std::result::Result<Choices, String> {
    let mut choices = Choices { firmware: Firmware::Bios, bus: Bus::Virtio, keep: false, dir: None };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--uefi" => choices.firmware = Firmware::Uefi,
            "--nvme" => choices.bus = Bus::Nvme,
            "--keep" => choices.keep = true,
            "--dir" => choices.dir = Some(words.next().ok_or("--dir needs a folder")?.into()),
            _ => return Err(format!("unknown argument: {word}")),
        }
    }
    Ok(choices)
}

fn run(choices: &Choices) -> Result<()> {
    let dir = folder(choices.dir.as_deref())?;
    let mut machine = Machine::new(&dir, choices.firmware)?;
    let place = machine.add_disk(choices.bus, "QUICKSTART", 3072)?;
    let key = Key::generate(&dir)?;
    println!("1. image and ramdisk (made once, then kept)");
    let server = Server::start()?;
    job::serve_image(&server)?;
    let volumes = vec![
        document::partition("/", "ext4", 2048, "root"),
        document::partition("swap", "swap", 128, "swap"),
        document::partition("/srv", "xfs", 512, "data"),
    ];
    let layout = [document::disk(&machine.disks[place], volumes)];
    let document = document::document(&layout, &[("/", server.url("/image/root.img.gz"))], &key.public);
    fs::write(dir.join("provision.json"), serde_json::to_vec_pretty(&document)?)?;

    println!("2. a bare machine starts into the ramdisk and provisions itself");
    let outcome = job::run(&machine, "provision", &document, "provision plan >/out/plan 2>&1; provision")?;
    if outcome.status != 0 {
        return Err(format!("provisioning failed: {outcome}").into());
    }
    print_indented(stages(&outcome.file("log")));
    println!("   {} s in all", outcome.took.as_secs());

    println!("3. the machine starts from its own disk");
    let mut booted = boot::boot(&machine, "boot", &key, "true")?;
    println!("   lets us in after {} s; it says:", booted.took.as_secs());
    let answers = booted.ask(QUESTIONS)?;
    print_indented(answers.lines());
    println!("   and on its serial console:");
    let console = booted.running.console();
    // Other services may write on behind the prompt.
    let prompt = console.lines().find_map(|line| line.split_once("login:")).map_or("", |(host, _)| host);
    println!("   {prompt}login:");
    look_inside(&booted, &dir.display().to_string(), choices.keep);
    while choices.keep && booted.running.status()?.is_none() {
        thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// A new folder for the machine: `dir`, or the usual one, of which only what an earlier quick start left is removed.
fn folder(dir: Option<&Path>) -> Result<PathBuf> {
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/quickstart");
    if dir.is_none() && usual.exists() {
        fs::remove_dir_all(&usual)?;
    }
    let dir = dir.unwrap_or(&usual);
    if dir.exists() {
        return Err(format!("{} is there already: name a new folder", dir.display()).into());
    }
    fs::create_dir_all(dir)?;
    Ok(dir.canonicalize()?)
}

/// The stages of the run as its log has them.
fn stages(log: &str) -> impl Iterator<Item = &str> {
    log.lines().filter(|line| line.contains("] --- "))
}

fn print_indented<'a>(lines: impl Iterator<Item = &'a str>) {
    lines.for_each(|line| println!("   {line}"));
}

fn look_inside(booted: &Booted, dir: &str, keep: bool) {
    println!("4. what to look at, in {dir}");
    println!("   provision.json            the input document");
    println!("   provision/plan            what a run would do, and why");
    println!("   provision/log             what it did: every command, its status and time");
    println!("   provision/report.json     the same for programs");
    println!("   provision.console         the ramdisk's serial console");
    println!("   boot.console              the installed system's serial console");
    if keep {
        println!("   The machine runs on; Ctrl-C ends it. To log in:\n   {}", booted.login());
    } else {
        println!("   With --keep the machine runs on, and the command that logs in is shown.");
    }
}
