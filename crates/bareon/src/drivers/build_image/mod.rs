//! Data drivers of the builder: each turns a document into what is built.
//!
//! document → [`document`] (all that both formats have: [`repos`], [`images`], [`custom`]; [`suites`] knows names and
//! default packages) → [`BuildScheme`]; [`bootstrap`] adds what only a bootstrap ramdisk has, [`shown`] makes what a
//! plan shows.
//!
//! What the original took, and found to be wrong in the middle of a build or never, is a mistake that a plan shows and
//! a build refuses; what it refused is refused here.

mod bootstrap;
mod custom;
mod document;
mod images;
mod repos;
mod schema;
mod shown;
mod suites;
#[cfg(test)]
mod tests;
mod torrent;

use std::path::{Component, Path};

use serde_json::Value;

use super::{DriverError, Listed, Mistake, Mistakes, Origins, place::Place};
use crate::objects::BuildScheme;

/// What the document of a driver comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Blueprint {
    /// What is built.
    pub scheme: BuildScheme,
    /// Mistakes that a plan shows and a build refuses.
    pub deferred: Vec<Mistake>,
    /// Where in the document its parts stand, by pointers into the scheme.
    pub origins: Origins,
}

/// A reader of one format of what is to be built.
pub trait BuildDriver {
    /// The name that `--data-driver` takes.
    fn name(&self) -> &str;

    /// One line for people.
    fn about(&self) -> &str;

    /// The JSON Schema of its documents.
    fn schema(&self) -> Value;

    /// Turns a document into what is built.
    ///
    /// # Errors
    /// With all mistakes of the document that were found.
    fn read(&self, document: &Value) -> Result<Blueprint, Mistakes>;
}

/// A driver that is part of the program: `inventory::submit! { RegisteredBuilder(&Mine) }`.
pub struct RegisteredBuilder(pub &'static (dyn BuildDriver + Sync));

inventory::collect!(RegisteredBuilder);

/// The builder's drivers, by name.
pub fn drivers() -> Vec<&'static (dyn BuildDriver + Sync)> {
    let mut drivers: Vec<_> = inventory::iter::<RegisteredBuilder>().map(|registered| registered.0).collect();
    drivers.sort_by(|a, b| a.name().cmp(b.name()));
    drivers
}

/// The same for people.
pub fn list() -> Vec<Listed> {
    let listed = |driver: &(dyn BuildDriver + Sync)| Listed {
        name: driver.name().into(),
        about: driver.about().into(),
        untrusted: None,
    };
    drivers().into_iter().map(listed).collect()
}

/// The driver called `name`.
///
/// # Errors
/// When no driver of that name builds anything.
pub fn find(name: &str) -> Result<&'static (dyn BuildDriver + Sync), DriverError> {
    let drivers = drivers();
    drivers.iter().find(|driver| driver.name() == name).copied().ok_or_else(|| DriverError::BuildsNothing {
        name: name.into(),
        known: drivers.iter().map(|driver| driver.name().to_owned()).collect(),
    })
}

/// `nailgun_build_image`: images of file systems, and what else is asked for.
#[derive(Debug)]
pub struct NailgunBuildImage;

inventory::submit! { RegisteredBuilder(&NailgunBuildImage) }

impl BuildDriver for NailgunBuildImage {
    fn name(&self) -> &'static str {
        "nailgun_build_image"
    }

    fn about(&self) -> &'static str {
        "images of an operating system; the default"
    }

    fn schema(&self) -> Value {
        schema::nailgun_build_image()
    }

    fn read(&self, document: &Value) -> Result<Blueprint, Mistakes> {
        let mut told = Told::default();
        let scheme = document::images(&Place::root(document), &mut told);
        told.end(scheme)
    }
}

/// `bootstrap_build_image`: the ramdisk that machines are provisioned in.
#[derive(Debug)]
pub struct BootstrapBuildImage;

inventory::submit! { RegisteredBuilder(&BootstrapBuildImage) }

impl BuildDriver for BootstrapBuildImage {
    fn name(&self) -> &'static str {
        "bootstrap_build_image"
    }

    fn about(&self) -> &'static str {
        "the bootstrap ramdisk; the default of mkbootstrap"
    }

    fn schema(&self) -> Value {
        schema::bootstrap_build_image()
    }

    fn read(&self, document: &Value) -> Result<Blueprint, Mistakes> {
        let mut told = Told::default();
        let scheme = document::bootstrap(&Place::root(document), &mut told);
        told.end(scheme)
    }
}

/// What is wrong with a document.
#[derive(Debug, Default)]
struct Told {
    /// What no object can be made of.
    mistakes: Mistakes,
    /// What a plan shows and a build refuses.
    deferred: Mistakes,
    /// Where in the document parts of the scheme stand.
    origins: Origins,
}

impl Told {
    /// Leaves it to the build to refuse what stands at `place`.
    fn defer(&mut self, place: &Place<'_>, problem: impl Into<String>, remedy: impl Into<String>) {
        place.wrong(problem, remedy, &mut self.deferred);
    }

    fn end(self, scheme: Option<BuildScheme>) -> Result<Blueprint, Mistakes> {
        match scheme {
            Some(scheme) if self.mistakes.is_empty() => {
                Ok(Blueprint { scheme, deferred: self.deferred.0, origins: self.origins })
            }
            _ => {
                let mut mistakes = self.mistakes;
                mistakes.0.extend(self.deferred.0);
                Err(mistakes)
            }
        }
    }
}

/// The value at `key`, where there is one that is not `null`.
fn given<'a>(place: &Place<'a>, key: &str) -> Option<Place<'a>> {
    place.get(key).filter(|found| !found.value.is_null())
}

/// Whether a path is absolute and leads nowhere but down.
fn is_plain_absolute(path: &Path) -> bool {
    path.is_absolute() && path.components().all(|part| part != Component::ParentDir)
}
