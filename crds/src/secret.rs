//! How a `PushGroup` names a Secret.
//!
//! *Never:* what is in it.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A Secret of this namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}
