//! Running a build: its steps in their order, each told in the log, on the terminal and in the report.
//!
//! The first step that fails ends the build. Nothing of it is left then: the tree and what it was packed into lie in
//! folders that are removed, and no file appeared under its own name before all were whole.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use bareon_host::{CommandError, Runner, cmd::without_credentials, runner};
use bareon_image::{
    Progress, Torrent,
    index::{self, Index},
    pack as container,
    pack::PackError as ContainerError,
};

use super::{
    metadata::{self, Built, Key, MetadataError, ToolVersion},
    pack::{self, Look, PackError},
    plan::{Action, Options, Plan, Step},
    publish,
    ramdisk::{self, RamdiskError},
    tree::{
        bootstrap::BootstrapError,
        cache::Cache,
        clean::{self, CleanError},
        customize::{self, CustomizeError},
        guest::{Guest, GuestError},
        initrds::{self, InitrdError},
        install::{self, InstallError},
        release::{self, Release, ReleaseError},
    },
    umask::Umask,
    work::{Work, WorkError},
};
use crate::{
    chain::chain,
    cli::Context,
    digest,
    objects::{
        OperatingSystem,
        build::{Container, Repo},
    },
};

/// A build that failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A step.
    #[error("could not {what} (step {number} of {total}); nothing of this build is left{hint}")]
    Step {
        /// What it was to do.
        what: String,
        /// Its number.
        number: usize,
        /// The number of all.
        total: usize,
        /// What else there is to say.
        hint: String,
        /// Why.
        #[source]
        source: Box<StepError>,
    },
    /// The folders of the build.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// The key that is to sign.
    #[error("nothing was built, as it could not be signed")]
    Key(#[source] MetadataError),
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// A repository.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// The bootstrapper.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// Making the tree ready for programs, or leaving it.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// Packages.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// What the input asks for beside packages.
    #[error(transparent)]
    Customize(#[from] CustomizeError),
    /// An initrd.
    #[error(transparent)]
    Initrd(#[from] InitrdError),
    /// Cleaning up.
    #[error(transparent)]
    Clean(#[from] CleanError),
    /// An image.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// An image's container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The ramdisk.
    #[error(transparent)]
    Ramdisk(#[from] RamdiskError),
    /// The metadata.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A command.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A file that was to appear.
    #[error("putting {} in its place", .path.display())]
    Publish {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A torrent.
    #[error("making the torrent of {}", .path.display())]
    Torrent {
        /// The image.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The build was told to stop.
    #[error("the build was told to stop")]
    Cancelled,
}

/// Builds what `plan` says. `input_sha256` is the sum of the input document.
///
/// # Errors
/// With the step that failed and why.
pub fn run(
    plan: &Plan,
    options: &Options,
    host: &dyn Runner,
    context: &Context,
    input_sha256: &str,
) -> Result<(), BuildError> {
    let key = options.sign_key.as_deref().map(Key::load).transpose().map_err(BuildError::Key)?;
    if key.is_some() && plan.scheme.metadata.is_none() {
        tracing::warn!(
            "sign_key signs the metadata of images: this build writes none, and nothing of it is signed"
        );
    }
    let work = Work::open(host, &plan.places, &plan.output, options)?;
    let mut build = Build::new(plan, options, host, context, input_sha256, key);
    let total = plan.steps.len();
    for (i, step) in plan.steps.iter().enumerate() {
        let number = i + 1;
        tracing::info!("step {number} of {total}: {}", step.what);
        let bar = context.bars.stage(&step.what);
        let reported = context.report.step_started("build", &*step.what);
        let result = build.step(step);
        context.report.step_ended(reported, result.as_ref().err().map(|error| chain(error)));
        drop(bar);
        if let Err(source) = result {
            let (what, hint) = (step.what.clone(), work.what_is_full().unwrap_or_default());
            return Err(BuildError::Step { what, number, total, hint, source: Box::new(source) });
        }
    }
    Ok(work.close()?)
}

/// A build that runs.
struct Build<'a> {
    plan: &'a Plan,
    options: &'a Options,
    host: &'a dyn Runner,
    context: &'a Context,
    input_sha256: &'a str,
    key: Option<Key>,
    /// A text that stands for what is built, without secrets.
    seed: String,
    tree: PathBuf,
    releases: Vec<Release>,
    epoch: u64,
    built: Vec<Built>,
    /// What is whole: where it lies, and where it is to appear.
    whole: Vec<(PathBuf, PathBuf)>,
}

impl<'a> Build<'a> {
    fn new(
        plan: &'a Plan,
        options: &'a Options,
        host: &'a dyn Runner,
        context: &'a Context,
        input_sha256: &'a str,
        key: Option<Key>,
    ) -> Self {
        let scheme = &plan.scheme;
        // Neither secrets nor the places of this machine: both differ where what is built does not.
        let images = scheme.images.iter().map(|image| (&image.mount, &image.uri, image.format));
        let seed = (&scheme.codename, &scheme.repos, &scheme.packages, images.collect::<Vec<_>>());
        let seed = digest::sha256(&*without_credentials(&format!("{seed:?}")));
        Self {
            plan,
            options,
            host,
            context,
            input_sha256,
            key,
            seed,
            tree: plan.places.tree(),
            releases: Vec::new(),
            epoch: 0,
            built: Vec::new(),
            whole: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), StepError> {
        if runner::cancelled() {
            return Err(StepError::Cancelled);
        }
        let scheme = &self.plan.scheme;
        let _umask = step.action.makes_tree().then(Umask::usual);
        match &step.action {
            Action::Look => self.look()?,
            Action::Bootstrap(bootstrap) => {
                bootstrap.run(self.host, scheme, &self.releases)?;
                tracing::info!("Running deboostrap completed");
            }
            Action::Install(cache) => self.install(cache.as_ref())?,
            Action::Customize => self.customize()?,
            Action::Clean => clean::run(&self.tree, &scheme.custom.extra_files, self.epoch)?,
            Action::FileSystem(image) => {
                let others: Vec<_> = scheme.images.iter().map(|image| image.mount.clone()).collect();
                let raw = self.plan.places.raw();
                pack::file_system(self.host, &self.tree, image, &others, &self.appearance(), &raw)?;
                self.pack(&image.file, image.format.name(), image.container)?;
            }
            Action::Tar(tar) => {
                pack::tar(self.host, &self.tree, self.epoch, &self.plan.places.raw())?;
                self.pack(&tar.file, "tar", tar.container)?;
            }
            Action::Disk(disk) => {
                pack::disk(self.host, &self.tree, disk, &self.appearance(), &self.plan.places.raw())?;
                self.pack(&disk.file, "disk", disk.container)?;
            }
            Action::Ramdisk => self.ramdisk()?,
            Action::Metadata => self.metadata()?,
            Action::Publish => self.publish()?,
        }
        Ok(())
    }

    fn appearance(&self) -> Look {
        Look::new(&self.seed, self.epoch)
    }

    /// Reads the Release files: the newest tells the time of the build.
    fn look(&mut self) -> Result<(), StepError> {
        let scheme = &self.plan.scheme;
        let fetch =
            |repo: &Repo| release::fetch(repo, &scheme.proxies, self.options.fetch_packages_attempts, &Heard);
        self.releases = scheme.repos.iter().map(fetch).collect::<Result<_, _>>()?;
        let newest = self.releases.iter().filter_map(Release::date).max();
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
        self.epoch = self.options.epoch.or(newest).unwrap_or_else(|| {
            tracing::warn!(
                "no Release file has a date: files get the time of now; set SOURCE_DATE_EPOCH for another"
            );
            now()
        });
        Ok(())
    }

    /// Folders of this machine that repositories lie in.
    fn shown(&self) -> Vec<PathBuf> {
        let local = |repo: &Repo| {
            let path = repo.uri.strip_prefix("file:").or_else(|| repo.uri.strip_prefix("copy:"))?;
            Some(PathBuf::from(path.strip_prefix("//").unwrap_or(path)))
        };
        self.plan.scheme.repos.iter().filter_map(local).collect()
    }

    fn install(&self, cache: Option<&Cache>) -> Result<(), StepError> {
        let scheme = &self.plan.scheme;
        let guest = Guest::enter(self.host, &self.tree, &self.shown())?;
        install::configure(&self.tree, scheme, &self.releases, self.options.fetch_packages_attempts)?;
        customize::preseed(self.host, &self.tree, &scheme.custom.debconf)?;
        install::run(self.host, &self.tree, scheme, cache, self.epoch)?;
        Ok(guest.close()?)
    }

    fn customize(&self) -> Result<(), StepError> {
        let guest = Guest::enter(self.host, &self.tree, &self.shown())?;
        if self.plan.scheme.bootstrap.is_some() {
            ramdisk::overlay::lay(self.host, &self.tree, ramdisk::overlay::program().as_deref())?;
        }
        let custom = &self.plan.scheme.custom;
        customize::run(self.host, &self.tree, custom, &self.seed)?;
        // A ramdisk's is made apart, and nothing of /boot is in it.
        if self.plan.scheme.bootstrap.is_none() {
            initrds::make(self.host, &self.tree, self.epoch)?;
        }
        if let Some(script) = &custom.post_script_file {
            customize::post_script(self.host, &self.tree, script)?;
        }
        Ok(guest.close()?)
    }

    /// Packs the raw image into a file beside the output.
    fn pack(&mut self, file: &Path, format: &str, container: Container) -> Result<(), StepError> {
        let name = file.file_name().unwrap_or_default();
        let (raw, out) = (self.plan.places.raw(), self.plan.places.staging.join(name));
        let size = fs::metadata(&raw).map(|found| found.len()).ok();
        let progress = self.context.bars.image(&name.to_string_lossy(), size);
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let packed = container::pack(&raw, container, &out, threads, &progress)?;
        // Where it was not renamed, the room is needed for the next one.
        let _ = fs::remove_file(&raw);
        tracing::info!("packed {} bytes into {} bytes", packed.raw_size, packed.container_size);
        let torrent_sha256 = self.torrent(file, &out)?;
        self.whole.push((out, file.into()));
        if let Some(index) = &packed.index {
            self.index(file, index)?;
        }
        self.built.push(Built {
            file: file.into(),
            format: format.into(),
            container,
            packed,
            torrent_sha256,
        });
        Ok(())
    }

    /// Writes the chunk index that belongs to `file`.
    fn index(&mut self, file: &Path, index: &Index) -> Result<(), StepError> {
        self.beside(file, index::SUFFIX, &index.to_bytes())
    }

    /// Writes the torrent of `file`, which lies at `packed` by now, where torrents are asked for; gives its SHA-256 sum.
    fn torrent(&mut self, file: &Path, packed: &Path) -> Result<Option<String>, StepError> {
        let Some(asked) = &self.plan.scheme.torrents else { return Ok(None) };
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let torrent = Torrent {
            trackers: asked.trackers.clone(),
            mirrors: asked.mirrors.iter().map(|folder| format!("{folder}{name}")).collect(),
            piece_size: asked.piece_size,
            name,
        };
        let made = torrent.of(packed);
        let bytes = made.map_err(|source| StepError::Torrent { path: file.to_owned(), source })?;
        self.beside(file, ".torrent", &bytes)?;
        Ok(Some(digest::sha256(&bytes)))
    }

    /// Writes a file that is to appear beside `file`, called after it with a suffix.
    fn beside(&mut self, file: &Path, suffix: &str, bytes: &[u8]) -> Result<(), StepError> {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(suffix);
        let (staged, place) = (self.plan.places.staging.join(&name), file.with_file_name(&name));
        let failed = |source| StepError::Publish { path: place.clone(), source };
        fs::write(&staged, bytes).map_err(failed)?;
        self.whole.push((staged, place));
        Ok(())
    }

    fn ramdisk(&mut self) -> Result<(), StepError> {
        let scheme = &self.plan.scheme;
        let Some(bootstrap) = &scheme.bootstrap else { return Ok(()) };
        let packages = metadata::versions(metadata::installed(&self.tree)?.iter());
        let os = metadata::OsRelease::of(&self.tree)?;
        let os = OperatingSystem { name: os.known_name(), major: os.major(), minor: os.minor() };
        let facts = ramdisk::Facts {
            epoch: self.epoch,
            operating_system: &os,
            packages: &packages,
            repos: &scheme.repos,
        };
        let work = self.plan.places.work.join("ramdisk");
        fs::create_dir(&work).map_err(|source| StepError::Publish { path: work.clone(), source })?;
        let made = ramdisk::make(self.host, &self.tree, bootstrap, &facts, &work)?;
        self.whole.extend(made.into_iter().map(|made| (made.file, made.place)));
        Ok(())
    }

    fn metadata(&mut self) -> Result<(), StepError> {
        let scheme = &self.plan.scheme;
        let of = |release: &Release| metadata::Release { sha256: release.sha256.clone() };
        let releases: Vec<_> = self.releases.iter().map(of).collect();
        let facts = metadata::Facts {
            scheme,
            tree: &self.tree,
            images: &self.built,
            releases: &releases,
            tools: &tools(),
            input_sha256: self.input_sha256,
            epoch: self.epoch,
            key: self.key.as_ref(),
        };
        let written = metadata::write(&facts, &self.plan.places.staging)?;
        self.whole.extend(written);
        Ok(())
    }

    /// Has all files appear, in the order in which they were made: the metadata are the last.
    fn publish(&mut self) -> Result<(), StepError> {
        let failed = |(path, source)| StepError::Publish { path, source };
        let go = || !runner::cancelled();
        if !publish::appear(&self.whole, &self.plan.places.staging, go).map_err(failed)? {
            return Err(StepError::Cancelled);
        }
        if let (Some(metadata), None) = (&self.plan.scheme.metadata, &self.key) {
            publish::disappear(&metadata::signature_of(metadata)).map_err(failed)?;
        }
        Ok(())
    }
}

/// The programs of this machine that shaped the files, as far as dpkg knows them.
fn tools() -> Vec<ToolVersion> {
    const SHAPING: [&str; 4] = ["debootstrap", "e2fsprogs", "mmdebstrap", "tar"];
    let installed = metadata::installed(Path::new("/")).unwrap_or_default().into_iter();
    let shaping = installed.filter(|package| SHAPING.contains(&package.name.as_str()));
    shaping.map(|package| ToolVersion { name: package.name, version: package.version }).collect()
}

/// Stops a small transfer when the build is told to stop.
struct Heard;

impl Progress for Heard {
    fn retried(&self, why: &str, attempt: u32) {
        tracing::warn!("a Release file: {why}; trying again ({attempt})");
    }

    fn cancelled(&self) -> bool {
        runner::cancelled()
    }
}
