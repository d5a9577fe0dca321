//! The mistakes of a document, each with the value that stands at its place.

use serde_json::Value;

use crate::drivers::mistake::{Mistake, Mistakes};

/// The mistakes that were found so far.
pub struct Report<'a> {
    document: &'a Value,
    mistakes: Mistakes,
}

impl<'a> Report<'a> {
    /// None yet.
    pub fn new(document: &'a Value) -> Self {
        Self { document, mistakes: Mistakes::default() }
    }

    /// Notes that what stands at `path` is wrong.
    pub fn wrong(&mut self, path: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        let value = self.document.pointer(path).filter(|value| !value.is_object() && !value.is_array());
        self.mistakes.push(Mistake::new(path, value, problem, remedy));
    }

    /// The mistakes themselves, for those who walk the document.
    pub fn mistakes(&mut self) -> &mut Mistakes {
        &mut self.mistakes
    }

    /// `read`, where there is no mistake.
    ///
    /// # Errors
    /// With all mistakes.
    pub fn end<T>(self, read: T) -> Result<T, Mistakes> {
        if self.mistakes.is_empty() { Ok(read) } else { Err(self.mistakes) }
    }
}
