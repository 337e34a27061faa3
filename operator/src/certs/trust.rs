//! The CA bundle in the webhook configuration. The chart owns the configuration and leaves `caBundle` out.
//!
//! A JSON patch names each entry by place and tests its name, so that we own the one field and no entry: an entry that
//! the chart drops is gone.
//!
//! *Never:* private keys, who serves.

use crds::names::WEBHOOK_MANAGER;
use json_patch::{AddOperation, Patch, PatchOperation, TestOperation, jsonptr::PointerBuf};
use k8s_openapi::{ByteString, api::admissionregistration::v1::MutatingWebhookConfiguration};
use kube::{
    Api,
    api::{Patch as ApiPatch, PatchParams},
};
use serde_json::json;

/// Why the API server does not trust the certificate.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It refused, or could not be reached.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// There is nothing to write into.
    #[error("expected webhooks in the configuration, found none")]
    NoWebhooks,
    /// The bundle could not be printed.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Writes a bundle into every entry that does not have it.
///
/// # Errors
/// When the configuration is absent, empty, or may not be written.
pub async fn ensure(api: &Api<MutatingWebhookConfiguration>, name: &str, bundle: &str) -> Result<(), TrustError> {
    let configuration = api.get(name).await?;
    if configuration.webhooks.as_ref().is_none_or(Vec::is_empty) {
        return Err(TrustError::NoWebhooks);
    }
    let patch = patch(&configuration, bundle)?;
    if patch.0.is_empty() {
        return Ok(());
    }
    let params = PatchParams { field_manager: Some(WEBHOOK_MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(name, &params, &ApiPatch::<()>::Json(patch)).await?;
    tracing::info!(configuration = name, "wrote the CA bundle");
    Ok(())
}

fn patch(configuration: &MutatingWebhookConfiguration, bundle: &str) -> Result<Patch, serde_json::Error> {
    let bundle = ByteString(bundle.as_bytes().to_vec());
    let value = serde_json::to_value(&bundle)?;
    let mut operations = Vec::new();
    for (place, webhook) in configuration.webhooks.iter().flatten().enumerate() {
        if webhook.client_config.ca_bundle.as_ref() == Some(&bundle) {
            continue;
        }
        let place = place.to_string();
        let path = |tokens: &[&str]| PointerBuf::from_tokens(["webhooks", &place].iter().chain(tokens).copied());
        operations.push(PatchOperation::Test(TestOperation { path: path(&["name"]), value: json!(webhook.name) }));
        operations.push(PatchOperation::Add(AddOperation {
            path: path(&["clientConfig", "caBundle"]),
            value: value.clone(),
        }));
    }
    Ok(Patch(operations))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_entries_without_the_bundle_are_written() {
        let configuration: MutatingWebhookConfiguration = serde_json::from_value(json!({
            "metadata": {"name": "sidegate"},
            "webhooks": [
                {"name": "a.sidegate.dev", "clientConfig": {"caBundle": "Yg=="}, "sideEffects": "None", "admissionReviewVersions": ["v1"]},
                {"name": "b.sidegate.dev", "clientConfig": {}, "sideEffects": "None", "admissionReviewVersions": ["v1"]},
            ],
        }))
        .unwrap();
        assert_eq!(
            serde_json::to_value(patch(&configuration, "b").unwrap()).unwrap(),
            json!([
                {"op": "test", "path": "/webhooks/1/name", "value": "b.sidegate.dev"},
                {"op": "add", "path": "/webhooks/1/clientConfig/caBundle", "value": "Yg=="},
            ])
        );
    }
}
