//! The `PushGroup`s of a namespace: from the cache, and once from the API server when the cache has none that fits,
//! since a pod may be created right after its group.
//!
//! *Never:* what fits.

use std::{sync::Arc, time::Duration};

use crds::PushGroup;
use kube::{Api, Client, api::ListParams, core::DeserializeGuard};

use crate::{cache::Cache, controller::readable::readable};

/// Where groups are looked up.
#[derive(Clone)]
pub struct Groups {
    cache: Cache<PushGroup>,
    client: Client,
}

/// The API server could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum GroupsError {
    /// It refused, or could not be reached.
    #[error("cannot list PushGroups: {0}")]
    List(#[from] kube::Error),
    /// It took too long.
    #[error("cannot list PushGroups: no answer within {0:?}")]
    TooSlow(Duration),
}

// === impl Groups ===

impl Groups {
    /// Looks in a cache, and behind it.
    #[must_use]
    pub fn new(cache: Cache<PushGroup>, client: Client) -> Self {
        Self { cache, client }
    }

    /// What the cache knows of a namespace.
    #[must_use]
    pub fn cached(&self, namespace: &str) -> Vec<Arc<PushGroup>> {
        self.cache.in_namespace(namespace)
    }

    /// What the API server knows of a namespace, but for what cannot be read.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn live(&self, namespace: &str, within: Duration) -> Result<Vec<Arc<PushGroup>>, GroupsError> {
        let api = Api::<DeserializeGuard<PushGroup>>::namespaced(self.client.clone(), namespace);
        let listed = tokio::time::timeout(within, api.list(&ListParams::default())).await;
        let listed = listed.map_err(|_| GroupsError::TooSlow(within))??;
        Ok(listed.items.into_iter().filter_map(readable).map(Arc::new).collect())
    }
}
