//! What can go wrong while images are told of, and what to do about it.

use std::{io, path::PathBuf};

/// Metadata that were not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// A file of the tree cannot be read.
    #[error("reading /{inside} of the built tree {}", .tree.display())]
    Tree {
        /// The root of the tree.
        tree: PathBuf,
        /// The path within, without a `/` before it.
        inside: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("writing {}; is there room on its file system?", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// What was found is no YAML.
    #[error("writing the metadata as YAML: {why}; this is a fault of the program")]
    Yaml {
        /// What the library said.
        why: String,
    },
    /// The key for signatures cannot be read.
    #[error("reading the key {} to sign with; give the path of a secret key as `minisign -G` makes it", .path.display())]
    ReadKey {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The key for signatures is none, or not with this password.
    #[error("the key {} cannot be used to sign: {why}", .path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// Why not, and what to do.
        why: String,
    },
    /// Signing failed.
    #[error("signing {name}: {why}")]
    Sign {
        /// What was to be signed.
        name: String,
        /// What the library said.
        why: String,
    },
}
