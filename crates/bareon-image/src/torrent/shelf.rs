//! What librqbit is given to keep a torrent in: a [`Store`] that is chosen when the length is known.
//!
//! Before anything is fetched, librqbit reads and hashes all that is there already, which on a disk would take as long
//! as writing it. What is there is not wanted here: until it takes the storage over for good, reads are refused, and it
//! gives up its look at the first.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use librqbit::{
    ManagedTorrentShared, TorrentMetadata,
    storage::{BoxStorageFactory, StorageFactory, StorageFactoryExt, TorrentStorage},
};

use super::store::Store;
use crate::ImageError;

/// Gives a store for so many bytes.
pub type Choose = Box<dyn Fn(u64) -> Result<Arc<dyn Store>, ImageError> + Send + Sync>;

/// See the module.
#[derive(Clone)]
pub struct Shelf {
    choose: Arc<Choose>,
    chosen: Arc<Mutex<Option<u64>>>,
    failure: Arc<Mutex<Option<ImageError>>>,
}

impl Shelf {
    /// With a store that is not chosen yet.
    pub fn new(choose: Choose) -> Self {
        Self { choose: Arc::new(choose), chosen: Arc::default(), failure: Arc::default() }
    }

    /// How many bytes it was made for, once it was.
    pub fn length(&self) -> Option<u64> {
        *self.chosen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What went wrong here, if anything did; told once.
    pub fn failure(&self) -> Option<ImageError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn fail(&self, error: ImageError) -> anyhow::Error {
        let told = anyhow::anyhow!("{error}");
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        told
    }
}

impl StorageFactory for Shelf {
    type Storage = Shelved;

    fn create(&self, _: &ManagedTorrentShared, metadata: &TorrentMetadata) -> anyhow::Result<Shelved> {
        let [file] = metadata.file_infos.as_slice() else {
            anyhow::bail!("it is of {} files, and an image is one", metadata.file_infos.len());
        };
        let store = (self.choose)(file.len).map_err(|error| self.fail(error))?;
        *self.chosen.lock().unwrap_or_else(PoisonError::into_inner) = Some(file.len);
        Ok(Shelved { shelf: self.clone(), store, live: false })
    }

    fn clone_box(&self) -> BoxStorageFactory {
        self.clone().boxed()
    }
}

/// A store as librqbit sees it.
pub struct Shelved {
    shelf: Shelf,
    store: Arc<dyn Store>,
    /// Whether what can be read was written here.
    live: bool,
}

impl TorrentStorage for Shelved {
    fn init(&mut self, _: &ManagedTorrentShared, _: &TorrentMetadata) -> anyhow::Result<()> {
        Ok(())
    }

    fn pread_exact(&self, _: usize, offset: u64, buf: &mut [u8]) -> anyhow::Result<()> {
        anyhow::ensure!(self.live, "nothing was fetched yet");
        self.store.read_at(offset, buf).map_err(|error| self.shelf.fail(error))
    }

    fn pwrite_all(&self, _: usize, offset: u64, buf: &[u8]) -> anyhow::Result<()> {
        self.store.write_at(offset, buf).map_err(|error| self.shelf.fail(error))
    }

    fn remove_file(&self, _: usize, _: &Path) -> anyhow::Result<()> {
        Ok(())
    }

    fn remove_directory_if_empty(&self, _: &Path) -> anyhow::Result<()> {
        Ok(())
    }

    fn ensure_file_length(&self, _: usize, _: u64) -> anyhow::Result<()> {
        Ok(())
    }

    fn take(&self) -> anyhow::Result<Box<dyn TorrentStorage>> {
        Ok(Box::new(Self { shelf: self.shelf.clone(), store: Arc::clone(&self.store), live: true }))
    }
}
