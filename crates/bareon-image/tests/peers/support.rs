//! Data, a target, and what is asked for.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use bareon_image::{
    Algorithm, Container, HttpOptions, ImageError, Options, Progress, Request, Sums, Written,
};
use tempfile::TempDir;

pub use crate::common::{MIB, noise, sha256};

/// A folder that servers read, and a target in another.
pub struct Place {
    pub dir: TempDir,
    pub served: PathBuf,
    pub target: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (served, target) = (dir.path().join("served"), dir.path().join("target"));
        fs::create_dir(&served).unwrap();
        // Servers that begin as root read as somebody else.
        for open in [dir.path(), &served] {
            fs::set_permissions(open, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(&target, []).unwrap();
        Self { dir, served, target }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn serve(&self, name: &str, data: &[u8]) {
        let path = self.served.join(name);
        fs::write(&path, data).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    pub fn content(&self) -> Vec<u8> {
        fs::read(&self.target).unwrap()
    }

    /// Writes what `uris` name, which must be `data`.
    pub fn write(
        &self,
        uris: &[String],
        data: &[u8],
        options: &Options,
        progress: &dyn Progress,
    ) -> Result<Written, ImageError> {
        let request = Request {
            uris: uris.to_vec(),
            container: Some(Container::Raw),
            sums: Sums::default().with(Algorithm::Sha256, Some(sha256(data))),
            ..Request::default()
        };
        let written = bareon_image::write(&request, options, &self.target, progress);
        let written = written.map_err(|failed| failed.error)?;
        assert!(self.content().starts_with(data), "other bytes were written");
        Ok(written)
    }
}

/// Patient with a machine that does much else, and never long at rest.
pub fn options() -> Options {
    let http = HttpOptions {
        max_retries: 200,
        stall: Duration::from_secs(30),
        retry_delay: Duration::from_millis(20),
        ..HttpOptions::default()
    };
    Options { http, chunk: 64 << 10, ..Options::default() }
}

/// Does something once, when so many bytes were fetched.
pub struct When<'a> {
    bytes: u64,
    what: Mutex<Option<Box<dyn FnOnce() + Send + 'a>>>,
}

impl<'a> When<'a> {
    pub fn fetched(bytes: usize, what: impl FnOnce() + Send + 'a) -> Self {
        Self { bytes: bytes as u64, what: Mutex::new(Some(Box::new(what))) }
    }

    pub fn happened(&self) -> bool {
        self.what.lock().unwrap().is_none()
    }
}

impl Progress for When<'_> {
    fn advanced(&self, _raw: u64, container: u64) {
        if container >= self.bytes
            && let Some(what) = self.what.lock().unwrap().take()
        {
            what();
        }
    }
}
