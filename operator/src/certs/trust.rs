//! The CA bundle in the webhook configuration. The chart owns the configuration and leaves `caBundle` out.
//!
//! A JSON patch names each entry by place and tests the version of the whole that was read: we own the one field and
//! no entry, an entry that the chart drops is gone, and who decided by an older bundle than another replica has
//! written since is refused and looks again.
//!
//! *Never:* private keys, who serves.

use crds::names::WEBHOOK_MANAGER;
use json_patch::{AddOperation, Patch, PatchOperation, TestOperation, jsonptr::PointerBuf};
use k8s_openapi::{ByteString, api::admissionregistration::v1::MutatingWebhookConfiguration};
use kube::{
    Api,
    api::{Patch as ApiPatch, PatchParams},
};
use rustls::pki_types::CertificateDer;
use serde_json::json;

use super::x509::read_pem;

/// Why the API server does not trust the certificate.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It refused, or could not be reached.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// Somebody wrote it since.
    #[error("expected the configuration as it was read, found a newer one")]
    MovedOn,
    /// There is nothing to write into.
    #[error("expected webhooks in the configuration, found none")]
    NoWebhooks,
    /// The bundle could not be printed.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// A configuration as it was read.
#[derive(Clone, Debug)]
pub struct Published {
    configuration: MutatingWebhookConfiguration,
}

/// Reads a configuration.
///
/// # Errors
/// When it is absent or empty, or may not be read.
pub async fn read(api: &Api<MutatingWebhookConfiguration>, name: &str) -> Result<Published, TrustError> {
    let configuration = api.get(name).await?;
    if configuration.webhooks.as_ref().is_none_or(Vec::is_empty) {
        return Err(TrustError::NoWebhooks);
    }
    Ok(Published { configuration })
}

/// Writes a bundle into every entry that does not have it.
///
/// # Errors
/// When the configuration is another one by now, or may not be written.
pub async fn write(
    api: &Api<MutatingWebhookConfiguration>,
    name: &str,
    published: &Published,
    bundle: &str,
) -> Result<(), TrustError> {
    let patch = patch(&published.configuration, bundle)?;
    if patch.0.is_empty() {
        return Ok(());
    }
    let params = PatchParams { field_manager: Some(WEBHOOK_MANAGER.to_owned()), ..PatchParams::default() };
    match api.patch(name, &params, &ApiPatch::<()>::Json(patch)).await {
        Ok(_) => {
            tracing::info!(configuration = name, "wrote the CA bundle");
            Ok(())
        }
        // A test that fails is 422.
        Err(kube::Error::Api(status)) if matches!(status.code, 409 | 422) => Err(TrustError::MovedOn),
        Err(error) => Err(error.into()),
    }
}

fn patch(configuration: &MutatingWebhookConfiguration, bundle: &str) -> Result<Patch, serde_json::Error> {
    let bundle = ByteString(bundle.as_bytes().to_vec());
    let value = serde_json::to_value(&bundle)?;
    let mut operations = Vec::new();
    for (place, webhook) in configuration.webhooks.iter().flatten().enumerate() {
        if webhook.client_config.ca_bundle.as_ref() == Some(&bundle) {
            continue;
        }
        if operations.is_empty() {
            operations.push(PatchOperation::Test(TestOperation {
                path: PointerBuf::from_tokens(["metadata", "resourceVersion"]),
                value: json!(configuration.metadata.resource_version),
            }));
        }
        operations.push(PatchOperation::Add(AddOperation {
            path: PointerBuf::from_tokens(["webhooks", &place.to_string(), "clientConfig", "caBundle"]),
            value: value.clone(),
        }));
    }
    Ok(Patch(operations))
}

// === impl Published ===

impl Published {
    /// The CAs that every entry has.
    #[must_use]
    pub fn authorities(&self) -> Vec<CertificateDer<'static>> {
        let mut bundles = self.configuration.webhooks.iter().flatten().map(|webhook| {
            let bundle = webhook.client_config.ca_bundle.as_ref();
            bundle.map(|bundle| read_pem(&String::from_utf8_lossy(&bundle.0))).unwrap_or_default()
        });
        let mut all = bundles.next().unwrap_or_default();
        for bundle in bundles {
            all.retain(|authority| bundle.contains(authority));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::{
        issue::{Lifetimes, issue_authority},
        x509::write_pem,
    };

    fn entry(name: &str, client_config: &serde_json::Value) -> serde_json::Value {
        json!({"name": name, "clientConfig": client_config, "sideEffects": "None", "admissionReviewVersions": ["v1"]})
    }

    fn configuration(entries: &[serde_json::Value]) -> MutatingWebhookConfiguration {
        let metadata = json!({"name": "sidegate", "resourceVersion": "7"});
        serde_json::from_value(json!({"metadata": metadata, "webhooks": entries})).unwrap()
    }

    #[test]
    fn only_entries_without_the_bundle_are_written_and_only_those_that_were_read() {
        let (with, without) = (json!({"caBundle": "Yg=="}), json!({}));
        let found = configuration(&[entry("a", &with), entry("b", &without), entry("c", &without)]);
        assert_eq!(
            serde_json::to_value(patch(&found, "b").unwrap()).unwrap(),
            json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
                {"op": "add", "path": "/webhooks/1/clientConfig/caBundle", "value": "Yg=="},
                {"op": "add", "path": "/webhooks/2/clientConfig/caBundle", "value": "Yg=="},
            ])
        );
        assert_eq!(patch(&configuration(&[entry("a", &with)]), "b").unwrap().0, []);
    }

    #[test]
    fn a_ca_is_published_where_every_entry_has_it() {
        let made = || {
            let now = jiff::Timestamp::constant(1_790_000_000, 0);
            issue_authority(Lifetimes::default(), now).unwrap().certificate
        };
        let (one, other) = (made(), made());
        let with =
            |authorities: &[CertificateDer<'_>]| json!({"caBundle": ByteString(write_pem(authorities).into_bytes())});
        let both = with(&[one.clone(), other.clone()]);
        let found = |entries: &[serde_json::Value]| Published { configuration: configuration(entries) }.authorities();
        assert_eq!(found(&[entry("a", &both), entry("b", &with(std::slice::from_ref(&other)))]), [other]);
        assert_eq!(found(&[entry("a", &both), entry("b", &json!({}))]).len(), 0);
        assert_eq!(found(&[entry("a", &both), entry("b", &both)]).len(), 2);
    }
}
