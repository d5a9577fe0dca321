//! A machine in QEMU: its disks and firmware, which outlive a run, and the one process that runs it.
//!
//! TCG and not KVM: it works the same on every machine, one with KVM that hangs included.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

pub use super::disk::{Bus, Disk};
use super::{
    assets::{self, OVMF_CODE, OVMF_VARS},
    process::{self, Result},
};

/// How often a running machine is looked at.
const POLL: Duration = Duration::from_millis(100);
/// Kernel parameters for an emulated machine. Without address space randomisation the start of a program costs a third.
/// Where this machine is busy the frequency of the TSC is measured wrong now and then, and a clock that relies on it runs
/// ten times too fast: time limits pass early, and the watchdog sees processors that hang; or the timer looks dead while
/// the kernel starts, which then panics. A panic ends the machine, which would hang otherwise.
pub const FAST: &str = "norandmaps clocksource=hpet nosoftlockup no_timer_check panic=-1";
/// The MAC address of every machine's one network interface.
pub const MAC: &str = "52:54:00:12:34:56";

/// The serial number that its firmware tells when it is started from the network.
pub const SERIAL: &str = "VM-0042";

/// How the machine finds its boot loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// `SeaBIOS`.
    Bios,
    /// OVMF, with an NVRAM that lasts as long as the machine.
    Uefi,
}

/// A machine that is off.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Where its files lie.
    pub dir: PathBuf,
    /// Its firmware.
    pub firmware: Firmware,
    /// Its disks, in the order they are attached.
    pub disks: Vec<Disk>,
    /// RAM in MiB.
    pub memory_mib: u32,
    /// Whether the ramdisk's udev assembles arrays and volume groups, as udev's rules have it.
    pub assembles: bool,
    /// Whether what it writes to its disks is thrown away when it is switched off.
    pub forgets: bool,
}

impl Machine {
    /// A machine without disks whose files lie in `dir`.
    ///
    /// # Errors
    /// When its NVRAM cannot be written.
    pub fn new(dir: &Path, firmware: Firmware) -> Result<Self> {
        if firmware == Firmware::Uefi {
            fs::copy(OVMF_VARS, dir.join("vars.fd"))?;
        }
        Ok(Self {
            dir: dir.into(),
            firmware,
            disks: Vec::new(),
            memory_mib: 768,
            assembles: false,
            forgets: false,
        })
    }

    /// Adds an empty disk and answers its place in `disks`.
    ///
    /// # Errors
    /// When its file cannot be made.
    pub fn add_disk(&mut self, bus: Bus, serial: &str, size_mib: u64) -> Result<usize> {
        let path = self.dir.join(format!("{serial}.raw"));
        File::create(&path)?.set_len(size_mib << 20)?;
        let serial = serial.into();
        self.disks.push(Disk { path, bus, serial, size_mib, sector: 512, wwn: None, optimal_io: 0 });
        Ok(self.disks.len() - 1)
    }

    /// The same machine with some of its disks pulled. They are not touched, and there again in the next boot of `self`.
    #[must_use]
    pub fn without(&self, places: &[usize]) -> Self {
        let kept = (0..self.disks.len()).filter(|place| !places.contains(place));
        Self { disks: kept.map(|place| self.disks[place].clone()).collect(), ..self.clone() }
    }

    /// Starts the ramdisk, which fetches and runs the job at `job`. The console is written to `console`.
    ///
    /// # Errors
    /// When the ramdisk cannot be made or QEMU not started.
    pub fn start_ramdisk(&self, job: &str, console: &Path) -> Result<Running> {
        let assets = assets::assets()?;
        let mut qemu = self.qemu(console);
        qemu.arg("-kernel").arg(&assets.kernel).arg("-initrd").arg(assets.ramdisk.join("whole.img"));
        let assembly = if self.assembles { "" } else { " noassembly" };
        qemu.arg("-append").arg(format!(
            "console=ttyS0 quiet rootfstype=ramfs init=/sbin/ramdisk-main {FAST}{assembly} job={job}"
        ));
        qemu.args(["-netdev", "user,id=net0"]);
        Running::start(qemu, console)
    }

    /// Starts the machine from the network: its firmware has iPXE fetch and run the script at `script`.
    ///
    /// # Errors
    /// When QEMU cannot be started.
    pub fn start_from_network(&self, script: &str, console: &Path) -> Result<Running> {
        let mut qemu = self.qemu(console);
        qemu.args(["-set", "device.nic.bootindex=0", "-smbios"]).arg(format!("type=1,serial={SERIAL}"));
        qemu.arg("-netdev").arg(format!("user,id=net0,bootfile={script}"));
        Running::start(qemu, console)
    }

    /// Starts the machine from its own disks, as after a power-on. Port 22 of it can be reached at the port answered;
    /// it reaches nothing.
    ///
    /// # Errors
    /// When no port can be had or QEMU not started.
    pub fn start(&self, console: &Path) -> Result<(Running, u16)> {
        // The port is free again when QEMU asks for it; somebody else may be faster, then QEMU says so and ends.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut qemu = self.qemu(console);
        qemu.arg("-netdev").arg(format!("user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"));
        Ok((Running::start(qemu, console)?, port))
    }

    fn qemu(&self, console: &Path) -> Command {
        let mut qemu = process::command("qemu-system-x86_64");
        // Without a source of randomness programs wait for seconds after each boot.
        qemu.args([
            "-machine",
            "q35",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "qemu64,-svm,+rdrand",
            "-smp",
            "1",
        ]);
        qemu.arg("-m").arg(self.memory_mib.to_string());
        // Without a video BIOS the GRUB of a BIOS machine waits for ever.
        qemu.args(["-nodefaults", "-vga", "std", "-display", "none", "-no-reboot"]);
        qemu.arg("-serial").arg(format!("file:{}", console.display()));
        qemu.arg("-device").arg(format!("virtio-net-pci,id=nic,netdev=net0,mac={MAC}"));
        if self.firmware == Firmware::Uefi {
            let flash =
                |file: &Path, mode: &str| format!("if=pflash,format=raw,file={}{mode}", file.display());
            qemu.arg("-drive").arg(flash(Path::new(OVMF_CODE), ",readonly=on"));
            qemu.arg("-drive").arg(flash(&self.dir.join("vars.fd"), ""));
        }
        if self.disks.iter().any(|disk| disk.bus == Bus::Scsi) {
            qemu.args(["-device", "virtio-scsi-pci,id=scsi"]);
        }
        for (place, disk) in self.disks.iter().enumerate() {
            qemu.args(disk.arguments(place, self.forgets));
        }
        qemu
    }
}

/// A machine that runs; it ends when this is dropped.
pub struct Running {
    child: Child,
    console: PathBuf,
    started: Instant,
}

impl Running {
    fn start(mut qemu: Command, console: &Path) -> Result<Self> {
        let log = File::create(console.with_extension("qemu"))?;
        qemu.stdout(Stdio::null()).stderr(log);
        let child = qemu.spawn().map_err(|e| format!("starting QEMU: {e}"))?;
        Ok(Self { child, console: console.into(), started: Instant::now() })
    }

    /// The process that runs the machine.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the machine still runs.
    ///
    /// # Errors
    /// When the process cannot be asked.
    pub fn status(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits until the machine has switched itself off.
    ///
    /// # Errors
    /// When it has not after `limit` (it is ended then), or QEMU failed.
    pub fn wait(mut self, limit: Duration) -> Result<Duration> {
        loop {
            match self.status()? {
                Some(status) if status.success() => return Ok(self.started.elapsed()),
                Some(status) => return Err(format!("QEMU ended with {status}\n{}", self.said()).into()),
                None if self.started.elapsed() > limit => {
                    return Err(format!("the machine still ran after {limit:?}\n{}", self.said()).into());
                }
                None => thread::sleep(POLL),
            }
        }
    }

    /// How long the machine has been running.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// What the machine wrote to its serial console.
    pub fn console(&self) -> String {
        fs::read(&self.console).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    /// The end of the console and what QEMU complained about, for an error.
    pub fn said(&self) -> String {
        let qemu = fs::read_to_string(self.console.with_extension("qemu")).unwrap_or_default();
        let console = self.console();
        let lines: Vec<_> = console.lines().collect();
        let tail = lines[lines.len().saturating_sub(60)..].join("\n");
        format!("--- console {} ends:\n{tail}\n--- QEMU said:\n{qemu}", self.console.display())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a process that has ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
