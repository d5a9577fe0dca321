//! How an image is packed. Each packing is a reader over a reader, in a file of its own.

use std::{fmt, str::FromStr};

use crate::ImageError;

/// A packing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// None.
    Raw,
    /// gzip, of one member or many.
    Gzip,
}

impl Container {
    /// Its name, as [`FromStr`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Gzip => "gzip",
        }
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Container {
    type Err = ImageError;

    fn from_str(name: &str) -> Result<Self, ImageError> {
        match name {
            "raw" => Ok(Self::Raw),
            "gzip" => Ok(Self::Gzip),
            _ => Err(ImageError::UnknownContainer { name: name.to_owned() }),
        }
    }
}
