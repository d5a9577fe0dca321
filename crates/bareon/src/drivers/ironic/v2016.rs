//! The documents of 2016: `nailgun` cut down to disks and images.
//!
//! There is no config drive to be made, and no `/boot`: volumes for it are left out.

use serde_json::Value;

use crate::drivers::{
    Deployment, Facts, Host, Mistakes,
    nailgun::{Identity, configdrive, document, finish, layout::Boot, layout_of},
    place::Place,
};

/// Reads a document.
pub fn read(document: &Value, facts: &Facts<'_>) -> Result<Deployment, Mistakes> {
    let mut mistakes = Mistakes::default();
    let root = Place::root(document);
    let base = document::base(&root, &mut mistakes);
    let layout = layout_of(&root, base.as_ref(), facts, Boot::LeftOut, &mut mistakes);
    match base {
        Some(base) if mistakes.is_empty() => Ok(finish(&base, layout, identity(document), facts)),
        _ => Err(mistakes),
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
