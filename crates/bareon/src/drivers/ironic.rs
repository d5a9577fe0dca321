//! `ironic`: what the Ironic driver of 2016 sends; `nailgun` cut down to disks and images.
//!
//! There is no config drive to be made, and no `/boot`: volumes for it are left out.

use serde_json::Value;

use super::{
    DataDriver, Deployment, DriverError, Facts, Host, Mistakes, Registered,
    nailgun::{Identity, configdrive, disks, document, finish, layout::Boot, layout_of, schema},
    place::Place,
};
use crate::hardware::Asked;

/// The driver.
#[derive(Debug)]
pub struct Ironic;

inventory::submit! { Registered(&Ironic) }

impl DataDriver for Ironic {
    fn name(&self) -> &'static str {
        "ironic"
    }

    fn about(&self) -> &'static str {
        "what bareon's Ironic driver of 2016 sends: disks and images, no config drive"
    }

    fn schema(&self) -> Result<Value, DriverError> {
        Ok(schema::ironic())
    }

    fn read(&self, document: &Value, facts: &Facts<'_>) -> Result<Deployment, Mistakes> {
        let mut mistakes = Mistakes::default();
        let root = Place::root(document);
        let base = document::base(&root, &mut mistakes);
        let layout = layout_of(&root, base.as_ref(), facts, Boot::LeftOut, &mut mistakes);
        match base {
            Some(base) if mistakes.is_empty() => Ok(finish(&base, layout, identity(document), facts)),
            _ => Err(mistakes),
        }
    }

    fn disks(&self, document: &Value, _facts: &Facts<'_>) -> Result<Vec<Asked>, Mistakes> {
        disks(document)
    }
}

/// Who the machine is: nothing of it is needed in this format.
fn identity(document: &Value) -> Identity {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
    let (rules, mut deferred) = ("/kernel_options/udevrules", Vec::new());
    let nics = configdrive::nics(text(rules).unwrap_or_default(), rules, &mut deferred);
    let host = Host { hostname: text("/hostname").map(str::to_owned), nics, admin: None };
    Identity { host, configdrive: None, deferred }
}
