//! Data drivers: each turns one input format into the objects of a deployment.
//!
//! A driver that is part of the program registers itself with `inventory`; one that is installed
//! on its own is an executable (see [`external`]). Nothing behind a driver knows its format.

pub mod answer;
pub mod bareon;
pub mod build_image;
pub mod external;
pub mod ironic;
pub mod mistake;
pub mod nailgun;
pub mod nailgun_simple;
mod origin;
pub mod place;
mod types;

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use bareon_host::{CommandError, Runner};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    hardware::{Asked, BlockDevice, Criterion, DiskMatch, Wanted},
    objects::{ConfigDriveScheme, Grub, ImageScheme, OperatingSystem, PartitionScheme, partition::Parted},
};

pub use external::External;
pub use mistake::{Mistake, Mistakes};
pub use origin::Origins;

/// What a driver may know beside the document.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The disks of the machine.
    pub devices: &'a [BlockDevice],
    /// Fetches the YAML text at a URI; nothing when it cannot be had.
    pub image_metadata: &'a dyn Fn(&str) -> Option<String>,
    /// Whether a config drive is to be made.
    pub prepare_configdrive: bool,
    /// Whether a ready-made config drive is there.
    pub configdrive_exists: bool,
}

/// What the document of a driver comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// What lies on the disks.
    pub partition_scheme: PartitionScheme,
    /// What is written where.
    pub image_scheme: ImageScheme,
    /// The boot loader.
    pub grub: Grub,
    /// The operating system of the root image.
    pub operating_system: OperatingSystem,
    /// What the config drive is made of; nothing where the format has none.
    pub configdrive: Option<ConfigDriveScheme>,
    /// Who the machine is.
    pub host: Host,
    /// Whether something is to be kept, so that no disk is partitioned anew.
    pub skip_partitioning: bool,
    /// The scheme as a plan shows it, where the document has values that the typed one cannot hold.
    pub shown_scheme: Option<Value>,
    /// Mistakes that a plan shows and a run refuses.
    pub deferred: Vec<Mistake>,
    /// Where in the document the objects come from.
    pub origins: Origins,
    /// Which disk of the machine each disk of the document is, where the document names them by more
    /// than their nodes.
    pub matches: Vec<DiskMatch>,
    /// The operating system's name by the image's metadata, known or not.
    pub image_os: Option<String>,
    /// Whether the boot loader's version follows from the profile's name alone, which knows no system
    /// younger than CentOS 7: an image may well bring another.
    pub grub_guessed: bool,
}

/// What is known of the machine beside its disks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Host {
    /// Its name, with the domain.
    pub hostname: Option<String>,
    /// Names that network interfaces are to have, by hardware address.
    pub nics: Vec<Nic>,
    /// The interface that the machine is managed through.
    pub admin: Option<AdminInterface>,
}

/// The name of a network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nic {
    /// The hardware address, in lower case with colons.
    pub mac: String,
    /// The name, such as `eth0`.
    pub name: String,
}

/// The interface that a machine is managed through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminInterface {
    /// Its name.
    pub name: String,
    /// Its hardware address as the document has it.
    pub mac: String,
    /// Its IP address.
    pub address: String,
    /// Its netmask.
    pub netmask: String,
}

/// A reader of one input format.
pub trait DataDriver {
    /// The name that `--data-driver` takes.
    fn name(&self) -> &str;

    /// One line for people.
    fn about(&self) -> &str;

    /// The JSON Schema of its documents.
    ///
    /// # Errors
    /// When an executable has none to give.
    fn schema(&self) -> Result<Value, DriverError>;

    /// Turns a document into the objects.
    ///
    /// # Errors
    /// With all mistakes of the document that were found.
    fn read(&self, document: &Value, facts: &Facts<'_>) -> Result<Deployment, Mistakes>;

    /// The disks that a document asks for, also where the machine has none that matches. A driver that names them
    /// by their nodes need not say it itself.
    ///
    /// # Errors
    /// When the document cannot be read that far.
    fn disks(&self, document: &Value, facts: &Facts<'_>) -> Result<Vec<Asked>, Mistakes> {
        let deployment = self.read(document, facts)?;
        let asked = |(i, parted): (usize, &Parted)| Asked {
            input_path: deployment.origins.of(&format!("/partition_scheme/parteds/{i}")),
            wanted: Wanted::All(vec![Criterion::Name(parted.name.clone())]),
            size: None,
        };
        Ok(deployment.partition_scheme.parteds.iter().enumerate().map(asked).collect())
    }
}

impl<T: DataDriver + ?Sized> DataDriver for &T {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn about(&self) -> &str {
        (**self).about()
    }

    fn schema(&self) -> Result<Value, DriverError> {
        (**self).schema()
    }

    fn read(&self, document: &Value, facts: &Facts<'_>) -> Result<Deployment, Mistakes> {
        (**self).read(document, facts)
    }

    fn disks(&self, document: &Value, facts: &Facts<'_>) -> Result<Vec<Asked>, Mistakes> {
        (**self).disks(document, facts)
    }
}

/// A driver that is part of the program: `inventory::submit! { Registered(&Mine) }`.
pub struct Registered(pub &'static (dyn DataDriver + Sync));

inventory::collect!(Registered);

/// There is no such driver, or it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// Nobody registered the name, and no executable has it.
    #[error("there is no data driver `{name}`; known are {}; others are executables in {dir}", .known.join(", "))]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
        /// Where executables are looked for.
        dir: String,
    },
    /// No driver of that name builds anything.
    #[error("no data driver `{name}` builds images; known are {}", .known.join(", "))]
    BuildsNothing {
        /// The name that was asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The executable, or its directory, cannot be looked at.
    #[error("looking at the data driver {}", .path.display())]
    Look {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The executable is not to be run as root.
    #[error("the data driver {} is not run: {reason}", .path.display())]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// Why, and what to do about it.
        reason: &'static str,
    },
    /// The executable could not be asked for its schema.
    #[error("asking the data driver {} for its schema", .path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// How it ended.
        #[source]
        source: CommandError,
    },
    /// The executable answered with something else than a schema.
    #[error("what the data driver {} prints as its schema is no JSON object; mend it", .path.display())]
    NoSchema {
        /// The file.
        path: PathBuf,
    },
}

/// The drivers that are part of the program, by name.
///
/// # Panics
/// When two have the same name: a mistake of who built the program, which its tests find.
pub fn drivers() -> Vec<&'static (dyn DataDriver + Sync)> {
    let mut drivers: Vec<_> = inventory::iter::<Registered>().map(|registered| registered.0).collect();
    drivers.sort_by(|a, b| a.name().cmp(b.name()));
    for pair in drivers.windows(2) {
        assert!(pair[0].name() != pair[1].name(), "two data drivers are called {}", pair[0].name());
    }
    drivers
}

/// A driver that `--data-driver` may name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// One line for people.
    pub about: String,
    /// Why it is not run, and what to do about it; nothing where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untrusted: Option<String>,
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<16} {}", self.name, self.about)?;
        match &self.untrusted {
            Some(reason) => write!(f, "; not run: {reason}"),
            None => Ok(()),
        }
    }
}

/// All drivers: those of the program, then the executables in `drivers_dir`.
pub fn list(drivers_dir: &Path) -> Vec<Listed> {
    let own = drivers().into_iter().map(|driver| Listed {
        name: driver.name().into(),
        about: driver.about().into(),
        untrusted: None,
    });
    own.chain(external::installed(drivers_dir)).collect()
}

/// The driver called `name`: one of the program, else an executable in `drivers_dir`, run by `host`.
///
/// # Errors
/// When there is none, or the executable cannot be trusted.
pub fn find<'h>(
    name: &str,
    drivers_dir: &Path,
    host: &'h dyn Runner,
) -> Result<Box<dyn DataDriver + 'h>, DriverError> {
    if let Some(driver) = drivers().into_iter().find(|driver| driver.name() == name) {
        return Ok(Box::new(driver));
    }
    if let Some(driver) = External::find(name, drivers_dir, host)? {
        return Ok(Box::new(driver));
    }
    let known = drivers().into_iter().map(|driver| driver.name().to_owned());
    Err(DriverError::Unknown {
        name: name.into(),
        known: known.chain(external::installed(drivers_dir).into_iter().map(|listed| listed.name)).collect(),
        dir: drivers_dir.display().to_string(),
    })
}
