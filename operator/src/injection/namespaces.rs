//! What namespaces say about their pods: the label by which one asks for all of them, and the one that keeps us out.
//!
//! Of every namespace these two labels are watched, and nothing else is kept. A pod may be created right after its
//! namespace was labelled: one that is silent is here only because the API server has seen a label, so where the cache has
//! none the API server is asked.
//!
//! *Never:* what a value means.

use std::time::Duration;

use crds::names::{INJECT, WEBHOOK_LABEL};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Resource as _,
    api::ListParams,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt as _,
        reflector::ObjectRef,
        watcher::{self, watcher},
    },
};

use crate::cache::{Cache, CacheWriter};

/// What is known of a namespace.
pub type Labels = PartialObjectMeta<Namespace>;

/// Where namespaces are looked up.
#[derive(Clone)]
pub struct Namespaces {
    cache: Cache<Labels>,
    client: Client,
}

/// The API server could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum NamespacesError {
    /// It refused, or could not be reached.
    #[error("cannot read the labels of the namespace: {0}")]
    List(#[from] kube::Error),
    /// It took too long.
    #[error("cannot read the labels of the namespace: no answer within {0:?}")]
    TooSlow(Duration),
}

/// Watches for as long as it is polled.
pub async fn watch(client: &Client, writer: CacheWriter<Labels>) {
    let api = Api::<Labels>::all(client.clone());
    let events = watcher(api, watcher::Config::default()).default_backoff().modify(trim);
    let seen = writer.fill(events).for_each(|event| async {
        if let Err(error) = event {
            tracing::warn!(%error, what = "namespaces", "a watch broke and is taken up again");
        }
    });
    seen.await;
}

/// Drops all but the name and our labels.
fn trim(namespace: &mut Labels) {
    let metadata = std::mem::take(&mut namespace.metadata);
    namespace.metadata.name = metadata.name;
    namespace.metadata.resource_version = metadata.resource_version;
    let ours =
        metadata.labels.unwrap_or_default().into_iter().filter(|(name, _)| name == INJECT || name == WEBHOOK_LABEL);
    namespace.metadata.labels = Some(ours.collect());
}

// === impl Namespaces ===

impl Namespaces {
    /// Looks in a cache, and behind it.
    #[must_use]
    pub fn new(cache: Cache<Labels>, client: Client) -> Self {
        Self { cache, client }
    }

    /// The value of the label by which a namespace asks for its pods, as far as the cache knows.
    #[must_use]
    pub fn cached_value(&self, namespace: &str) -> Option<String> {
        value_of(&*self.cache.get(&ObjectRef::new(namespace))?, INJECT)
    }

    /// Whether somebody has switched us off in a namespace, as far as the cache knows.
    #[must_use]
    pub fn is_switched_off(&self, namespace: &str) -> bool {
        let known = self.cache.get(&ObjectRef::new(namespace));
        known.is_some_and(|known| value_of(&known, WEBHOOK_LABEL).as_deref() == Some(crds::names::WEBHOOK_DISABLED))
    }

    /// The value of that label, where it matters whether there is one: of a pod that is silent itself, and while nothing
    /// is known. The API server asks about a silent pod only where the label asks for it, so it knows more than a cache
    /// that says otherwise.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn value(
        &self,
        namespace: &str,
        is_silent: bool,
        within: Duration,
    ) -> Result<Option<String>, NamespacesError> {
        let cached = self.cached_value(namespace);
        let asks = cached.as_deref().is_some_and(|value| value != "false");
        if asks || (self.cache.is_known() && !is_silent) {
            return Ok(cached);
        }
        let api = Api::<Labels>::all(self.client.clone());
        // The right to list is there for the watch; one by name would be a right more.
        let this = ListParams::default().fields(&format!("metadata.name={namespace}"));
        let listed = tokio::time::timeout(within, api.list(&this)).await;
        let listed = listed.map_err(|_| NamespacesError::TooSlow(within))??;
        Ok(listed.items.first().and_then(|namespace| value_of(namespace, INJECT)))
    }

    /// The cache itself.
    #[must_use]
    pub fn cache(&self) -> &Cache<Labels> {
        &self.cache
    }
}

fn value_of(namespace: &Labels, label: &str) -> Option<String> {
    namespace.meta().labels.as_ref()?.get(label).cloned()
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::cache::cache;

    const SECOND: Duration = Duration::from_secs(1);

    /// A namespace with labels.
    pub(crate) fn namespace(name: &str, labels: &serde_json::Value) -> Labels {
        serde_json::from_value(json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": name, "labels": labels},
        }))
        .unwrap()
    }

    /// An API server that lists one namespace for which the query asks.
    fn server(labels: serde_json::Value) -> Client {
        let service = tower::service_fn(move |request: axum::http::Request<kube::client::Body>| {
            let query = request.uri().query().unwrap_or_default().to_owned();
            assert!(query.contains("fieldSelector=metadata.name%3Ddata"), "{query}");
            let list = json!({
                "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": {},
                "items": [{"metadata": {"name": "data", "labels": labels}}],
            });
            async move { Ok::<_, std::io::Error>(axum::http::Response::new(axum::body::Body::from(list.to_string()))) }
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn a_silent_pod_is_there_because_of_a_label_that_the_cache_may_not_know_yet() {
        let asks = json!({"sidegate.dev/inject": "nightly"});
        let known = Namespaces::new(Cache::of(vec![namespace("data", &json!({}))]), server(asks.clone()));
        assert_eq!(known.value("data", false, SECOND).await.unwrap(), None);
        assert_eq!(known.value("data", true, SECOND).await.unwrap().as_deref(), Some("nightly"));
        let unknown = Namespaces::new(cache().0, server(asks.clone()));
        assert_eq!(unknown.value("data", false, SECOND).await.unwrap().as_deref(), Some("nightly"));
        let cached = Namespaces::new(Cache::of(vec![namespace("data", &asks)]), server(json!({})));
        assert_eq!(cached.value("data", true, SECOND).await.unwrap().as_deref(), Some("nightly"));
        let declines = namespace("data", &json!({"sidegate.dev/inject": "false"}));
        let behind = Namespaces::new(Cache::of(vec![declines]), server(asks));
        assert_eq!(behind.value("data", false, SECOND).await.unwrap().as_deref(), Some("false"));
        assert_eq!(behind.value("data", true, SECOND).await.unwrap().as_deref(), Some("nightly"));
    }

    #[test]
    fn the_chart_leaves_out_what_is_left_out_here() {
        let chart = include_str!("../../../charts/sidegate/templates/webhook.yaml");
        for entry in crds::names::WEBHOOK_ENTRIES {
            assert!(chart.contains(&format!("  - name: {entry}\n")), "{entry}");
        }
        assert_eq!(chart.matches("\n  - name: ").count(), crds::names::WEBHOOK_ENTRIES.len());
        assert!(chart.contains(&format!("values: [{},", crds::names::SYSTEM_NAMESPACES.join(", "))));
        let switch = format!("{{key: {WEBHOOK_LABEL}, operator: NotIn, values: [{}]}}", crds::names::WEBHOOK_DISABLED);
        assert!(chart.contains(&switch), "{switch}");
    }

    #[test]
    fn of_a_namespace_two_labels_are_kept() {
        let mut found =
            namespace("data", &json!({"sidegate.dev/inject": "true", "sidegate.dev/webhook": "disabled", "a": "b"}));
        found.metadata.annotations = Some([("c".to_owned(), "d".to_owned())].into());
        trim(&mut found);
        let expected =
            json!({"name": "data", "labels": {"sidegate.dev/inject": "true", "sidegate.dev/webhook": "disabled"}});
        assert_eq!(serde_json::to_value(&found.metadata).unwrap(), expected);
    }

    #[tokio::test]
    async fn a_namespace_is_switched_off_by_one_value() {
        let off = |value: &str| namespace(value, &json!({"sidegate.dev/webhook": value}));
        let namespaces = Namespaces::new(Cache::of(vec![off("disabled"), off("enabled")]), server(json!({})));
        assert!(namespaces.is_switched_off("disabled"));
        assert!(!namespaces.is_switched_off("enabled") && !namespaces.is_switched_off("other"));
    }
}
