//! What the installed system is told at its first boot.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::drivers::bareon::text::{HASHED_PASSWORD, MODE};

/// A file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["path", "content"]))]
pub struct File {
    /// Its path in the installed system.
    #[schemars(extend("format" = "path", "pattern" = "^/"))]
    pub path: Option<String>,
    /// What is written.
    pub content: Option<String>,
    /// How `content` is written down; `text` where not given.
    pub encoding: Option<Encoding>,
    /// Its mode in octal digits, in quotes: `"0644"`, which it is where not given.
    #[schemars(extend("format" = "mode", "pattern" = MODE))]
    pub mode: Option<String>,
    /// Its owner and group, such as `www-data:www-data`; `root:root` where not given.
    pub owner: Option<String>,
    /// Whether it is added to the end of what the image has there.
    pub append: Option<bool>,
}

/// How the content of a file is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Encoding {
    /// As it is.
    Text,
    /// In base64.
    Base64,
}

/// A user.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["name"]))]
pub struct User {
    /// The login name; `root` is one, too.
    #[schemars(extend("format" = "user-name", "pattern" = "^[a-z_][a-z0-9_-]*$"))]
    pub name: Option<String>,
    /// The user's full name.
    pub full_name: Option<String>,
    /// The public keys that may log in.
    #[serde(default)]
    #[schemars(extend("items" = {"type": "string", "format": "ssh-key"}))]
    pub ssh_keys: Vec<String>,
    /// The groups beside the user's own.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Whether the user may do everything by sudo, without a password.
    pub sudo: Option<bool>,
    /// The login shell; `/bin/bash` where not given.
    #[schemars(extend("format" = "path", "pattern" = "^/"))]
    pub shell: Option<String>,
    /// The password as crypt(3) keeps it: what `openssl passwd -6` prints. Without one, only keys log in.
    #[schemars(extend("format" = "hashed-password", "pattern" = HASHED_PASSWORD))]
    pub hashed_password: Option<String>,
}
