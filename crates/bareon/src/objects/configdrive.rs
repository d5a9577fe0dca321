//! What the config drive is made of.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The templates of the config drive and the data that they see.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigDriveScheme {
    /// Names the operating system, and so the templates.
    pub profile: String,
    /// Template file names that the input gives, by kind: `boothook`, `cloud_config`, `meta_data`.
    pub templates: Map<String, Value>,
    /// For each kind the file names that are tried, in this order.
    pub template_names: TemplateNames,
    /// The variables of the templates: `common`, `puppet`, `mcollective`.
    pub template_data: Map<String, Value>,
    /// What is written as it stands, in place of what templates give.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<CloudInit>,
}

/// What cloud-init is told, as data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CloudInit {
    /// The cloud-config.
    pub user_data: Map<String, Value>,
    /// `local-hostname` and more; an `instance-id` is added where it has none.
    pub meta_data: Map<String, Value>,
    /// The network-config; nothing: cloud-init's own choice, DHCP on the first interface.
    pub network_config: Option<Map<String, Value>>,
}

/// Template file names to try, by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TemplateNames {
    /// The cloud-config part of user-data.
    pub cloud_config: Vec<String>,
    /// The boothook part of user-data.
    pub boothook: Vec<String>,
    /// meta-data.
    pub meta_data: Vec<String>,
}
