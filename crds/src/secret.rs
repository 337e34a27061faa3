//! How a `PushGroup` names a Secret.
//!
//! *Never:* what is in it.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What a Secret may be called, as a CEL rule.
pub(crate) const SECRET_NAME: &str = "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')";

/// What is said of another name.
pub(crate) const EXPECTED_SECRET_NAME: &str = "expected the name of a Secret, such as push-tokens";

/// A Secret of this namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = (SECRET_NAME, EXPECTED_SECRET_NAME))]
    pub secret_name: String,
}
