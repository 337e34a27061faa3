//! Prints the YAML of the `CustomResourceDefinition`: `cargo crdgen > crds/pushgroups.yaml`.
//!
//! *Never:* anything else.

use std::io::{self, Write as _};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let yaml = crds::custom_resource_definition_yaml()?;
    Ok(io::stdout().write_all(yaml.as_bytes())?)
}
