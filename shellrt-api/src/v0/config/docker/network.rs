//! What docker is told of a container's networks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The networks of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkingConfig {
    /// By the networks' names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints_config: BTreeMap<String, EndpointSettings>,
}

/// More about a container in a network; of this nothing is known here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSettings {}

/// Where a port of a container is reached on the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortBinding {
    /// The machine's address; empty for all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host_ip: String,
    /// The machine's port or ports, as in `8080` or `8080-8090`; empty for any that is free.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host_port: String,
}
