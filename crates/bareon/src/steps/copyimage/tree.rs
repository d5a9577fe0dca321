//! An archive, unpacked into a file system that is made for it.
//!
//! tar(1) unpacks: it knows owners, attributes, access lists, holes, links and devices, and refuses names that lead out
//! of the folder. It reads from a pipe that is this file's [`Target`]. That the archive is the right one is known only at
//! its end, when all of it lies there: whatever fails, the file system is wiped again, so that nothing of it mounts.

use std::{
    io::{self, PipeReader, PipeWriter, Write as _},
    path::Path,
    thread::{self, ScopedJoinHandle},
};

use bareon_host::{Cmd, CommandError, Runner, mount, runner, tar, wipefs};
use bareon_image::{ImageError, Medium, Options, Progress, Target, TargetState, WriteError, Written};

use super::{CopyImageError, WriteImage};
use crate::{
    chain::chain,
    steps::{mounted::Mounted, moved, partitioning::MakeFs},
};

/// What is run for it.
pub(super) fn commands(make: &MakeFs, dir: &Path) -> Vec<Cmd> {
    let mount = mount::mount(&make.device, dir, &make.fs.to_string());
    vec![make.command(), mount, tar::extract(dir), mount::umount(dir)]
}

/// Makes the file system and unpacks the archive into it.
pub(super) fn write(
    image: &WriteImage,
    make: &MakeFs,
    host: &(dyn Runner + Sync),
    options: &Options,
    progress: &dyn Progress,
) -> Result<Written, CopyImageError> {
    let device = &make.device;
    let done = fill(image, make, host, options, progress);
    done.map_err(|error| {
        if let Err(error) = wipe(device, host) {
            tracing::error!(
                "{device} may hold a part of the archive, and could not be wiped: {}",
                chain(&error)
            );
        }
        CopyImageError::Tree { device: device.clone(), source: error.into() }
    })
}

fn fill(
    image: &WriteImage,
    make: &MakeFs,
    host: &(dyn Runner + Sync),
    options: &Options,
    progress: &dyn Progress,
) -> Result<Written, CopyImageError> {
    host.run(&make.command())?;
    let dir = &image.mount_point;
    let mut mounted = Mounted::below(host, dir)?;
    mounted.mount(&make.device, dir, &make.fs.to_string())?;
    let extract = tar::extract(dir);
    let feed = |pipe: PipeReader| host.run_fed(&extract, pipe.into()).map(drop);
    let written: Result<Written, CopyImageError> = thread::scope(|scope| {
        let start = |pipe| scope.spawn(|| feed(pipe));
        let mut tree =
            Tree { dir, start: &start, running: None, at: 0, said: None, state: TargetState::Untouched };
        let written = bareon_image::write_to(&image.request, options, &mut [&mut tree], progress);
        tree.end();
        match (written, tree.said) {
            // What tar says of it tells more than that it has gone.
            (Err(ImageError::Write { .. }), Some(said)) => Err(said.into()),
            (written, _) => Ok(written.map_err(|error| WriteError { error, target: tree.state })?),
        }
    });
    let unmounted = mounted.close();
    let written = written?;
    unmounted?;
    Ok(written)
}

/// A folder that the data of an archive are unpacked into.
struct Tree<'a, 'scope> {
    dir: &'a Path,
    /// Starts a tar that reads from a pipe.
    start: &'a (dyn Fn(PipeReader) -> Unpacking<'scope> + Sync),
    running: Option<(PipeWriter, Unpacking<'scope>)>,
    at: u64,
    /// Why tar failed.
    said: Option<CommandError>,
    state: TargetState,
}

/// A tar at work.
type Unpacking<'scope> = ScopedJoinHandle<'scope, Result<(), CommandError>>;

impl Tree<'_, '_> {
    /// Lets tar come to its end; whether that was a good one.
    fn end(&mut self) -> bool {
        let Some((pipe, running)) = self.running.take() else { return true };
        drop(pipe);
        match running.join() {
            Ok(Ok(())) => true,
            Ok(Err(said)) => {
                self.said = Some(said);
                false
            }
            Err(_) => false,
        }
    }

    fn failed(&self, source: io::Error) -> ImageError {
        ImageError::Write { path: self.dir.to_owned(), at: self.at, source }
    }
}

impl Target for Tree<'_, '_> {
    /// How much room files take is known when they are there.
    fn check_room(&self, _: u64, _: bool) -> Result<(), ImageError> {
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        if self.running.is_none() {
            let (reader, writer) = io::pipe().map_err(|source| self.failed(source))?;
            self.state = TargetState::Cleared;
            self.running = Some((writer, (self.start)(reader)));
        }
        let written = match &mut self.running {
            Some((pipe, _)) => pipe.write_all(bytes),
            None => Ok(()),
        };
        written.map_err(|source| self.failed(source))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<(), ImageError> {
        self.end();
        (self.at, self.said) = (0, None);
        moved::empty(self.dir).map_err(|source| self.failed(source))
    }

    fn commit(&mut self) -> Result<(), ImageError> {
        if !self.end() {
            return Err(self.failed(io::Error::other("tar did not come to a good end")));
        }
        self.state = TargetState::Written;
        Ok(())
    }

    fn differs(&self) -> ImageError {
        ImageError::Differs { path: self.dir.to_owned() }
    }

    fn state(&self) -> TargetState {
        self.state
    }
}

/// Leaves nothing there that anybody takes for a file system.
pub(super) fn wipe(device: &str, host: &dyn Runner) -> Result<(), CopyImageError> {
    let _shield = runner::shield();
    host.run(&wipefs::all(&[device.to_owned()]))?;
    let medium = Medium::open(Path::new(device))?;
    medium.begin()?;
    Ok(())
}
