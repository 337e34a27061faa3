//! Certificates that others make: by a Secret of one's own, then by cert-manager. Pods are created all the time while they
//! are renewed, and each has its sidecar.
//!
//! In a cluster of its own, whose release goes from the one to the other.
//!
//! *Never:* certificates that the operator makes.

use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context as _, ensure};
use e2e::{
    install::{self, CERT_MANAGER_NAMESPACE, SIDEGATE_NAMESPACE},
    parts::Parts,
    sandbox::{STEP, Sandbox},
    wait,
};
use k8s_openapi::{
    api::{
        admissionregistration::v1::MutatingWebhookConfiguration,
        core::v1::{Pod, Secret},
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, PostParams},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

use crate::{
    load::{LIMIT, Load, OPERATOR, nowhere},
    own_cluster::OwnCluster,
    workload::{self, has_sidecar},
    world,
};

crate::world::tests![
    with_a_secret_of_ones_own_and_then_with_cert_manager_every_pod_gets_its_sidecar_and_what_is_renewed_is_served,
];

/// What is to be seen is whom the API server trusts, and not how busy the machine is.
const PATIENCE: &str = "webhook.timeoutSeconds=30";

/// The Certificates of the chart, of which the second signs the first.
const LEAF: &str = OPERATOR;
const AUTHORITY: &str = "sidegate-operator-ca";

/// Their Secrets.
const LEAF_SECRET: &str = "sidegate-operator-cert-manager-tls";
const AUTHORITY_SECRET: &str = "sidegate-operator-cert-manager-ca";

async fn with_a_secret_of_ones_own_and_then_with_cert_manager_every_pod_gets_its_sidecar_and_what_is_renewed_is_served(
    _: Sandbox,
) -> anyhow::Result<()> {
    let own = OwnCluster::start().await?;
    let owner = Owner::new()?;
    own.kubectl.run(&["create", "namespace", SIDEGATE_NAMESPACE])?;
    own.kubectl.apply(SIDEGATE_NAMESPACE, &owner.secret()?)?;
    let bundle = format!("webhook.certificates.caBundle={}", owner.certificate);
    let values = ["webhook.certificates.mode=secret", "webhook.certificates.secretName=own", &bundle, PATIENCE];
    let load = Load::start(own, &values).await?;
    let outcome = async {
        owner.renews(&load).await.context("a Secret of one's own")?;
        let manager = CertManager::take_over(&load).await.context("cert-manager takes over")?;
        manager.renews_the_certificate().await.context("cert-manager renews the certificate")?;
        manager.renews_the_authority().await.context("cert-manager renews the CA")?;
        manager.signs_with_another_key().await.context("a CA with another key")?;
        manager.replaces_the_bundle().await.context("a CA injector that forgets the old CA")?;
        nobody_else_writes_the_bundle(&load).await
    };
    load.or_a_dump(outcome.await).await
}

/// Somebody who makes certificates, and has nothing to do with us.
struct Owner {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
    /// Each certificate is good for a day longer than the one before.
    days: AtomicUsize,
}

/// cert-manager, which has made the certificate that is served.
struct CertManager<'a> {
    load: &'a Load,
    certificates: Api<DynamicObject>,
    secrets: Api<Secret>,
}

/// What is in a Secret.
struct Pair {
    certificate: String,
    key: String,
}

/// Has the kubelet look at the Secrets of the operator's pods, which it else does once in a minute or so.
fn have_secrets_looked_at(load: &Load, mark: &str) -> anyhow::Result<()> {
    let mark = format!("looked={mark}");
    let annotate = ["--namespace", SIDEGATE_NAMESPACE, "annotate", "pods", "--all", "--overwrite", &mark];
    load.sandbox.kubectl.run(&annotate).map(drop)
}

/// The CA bundle of each entry of the operator's webhook.
async fn bundles(configurations: &Api<MutatingWebhookConfiguration>) -> anyhow::Result<Vec<String>> {
    let webhooks = configurations.get(OPERATOR).await?.webhooks.unwrap_or_default();
    let bundles = webhooks.into_iter().map(|webhook| webhook.client_config.ca_bundle.unwrap_or_default().0);
    Ok(bundles.map(String::from_utf8).collect::<Result<_, _>>()?)
}

async fn nobody_else_writes_the_bundle(load: &Load) -> anyhow::Result<()> {
    let configurations = Api::<MutatingWebhookConfiguration>::all(load.sandbox.client.clone());
    let fields = configurations.get(OPERATOR).await?.metadata.managed_fields.unwrap_or_default();
    let writes = |fields: &serde_json::Value| fields.to_string().contains("\"f:caBundle\"");
    let writers = fields.into_iter().filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| writes(&fields.0)));
    let writers: BTreeSet<_> = writers.filter_map(|entry| entry.manager).collect();
    ensure!(writers == BTreeSet::from(["cert-manager-cainjector".to_owned()]), "{writers:?}");
    let requests = fs::read_to_string(load.own.cluster.audit_log())?;
    ensure!(requests.contains("/leases/"), "expected requests of the operator in the audit log");
    ensure!(!requests.contains("mutatingwebhookconfigurations"), "the operator looks at the configuration");
    Ok(())
}

// === impl Owner ===

impl Owner {
    fn new() -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { certificate, issuer: Issuer::new(params, key), days: AtomicUsize::new(1) })
    }

    /// The Secret with a new certificate for the webhook.
    fn secret(&self) -> anyhow::Result<String> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([format!("{OPERATOR}.{SIDEGATE_NAMESPACE}.svc")])?;
        let day = u8::try_from(self.days.fetch_add(1, Ordering::Relaxed))?;
        params.not_after = rcgen::date_time_ymd(2090, 1, day);
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": "own", "namespace": SIDEGATE_NAMESPACE},
            "stringData": {"tls.crt": certificate, "tls.key": key.serialize_pem()},
        })
        .to_string())
    }

    async fn renews(&self, load: &Load) -> anyhow::Result<()> {
        let before = load.expiries().await?;
        let renewed = async {
            load.sandbox.kubectl.apply(SIDEGATE_NAMESPACE, &self.secret()?)?;
            have_secrets_looked_at(load, "own")?;
            wait::until("the new certificate to be served", LIMIT, || async {
                let after = load.expiries().await?;
                Ok(before.iter().zip(&after).all(|(before, after)| before < after).then_some(()))
            })
            .await
        };
        load.meanwhile(renewed).await
    }
}

// === impl CertManager ===

impl<'a> CertManager<'a> {
    /// Installs cert-manager, and has the release use it.
    async fn take_over(load: &'a Load) -> anyhow::Result<Self> {
        let (kubectl, client) = (&load.sandbox.kubectl, &load.sandbox.client);
        install::cert_manager(&load.own.cluster, &Parts::find_or_build_cert_manager()?, kubectl)?;
        let old = load.replicas().await?.iter().map(ResourceExt::name_any).collect();
        let values = ["webhook.certificates.mode=cert-manager", PATIENCE];
        world::install_sidegate_with(kubectl, client, &values).await?;
        load.only_new_replicas(&old).await?;
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("cert-manager.io", "v1", "Certificate"));
        let certificates = Api::namespaced_with(client.clone(), SIDEGATE_NAMESPACE, &kind);
        let secrets = Api::namespaced(client.clone(), SIDEGATE_NAMESPACE);
        let manager = Self { load, certificates, secrets };
        manager.is_served(manager.ends_after(LEAF, 0).await?).await?;
        manager.authority_is_trusted().await?;
        // The API server heeds what is new in a configuration a moment later.
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let (pods, pod) = (load.sandbox.api::<Pod>(), nowhere("dry-run")?);
        wait::until("pods to get sidecars", STEP, || async {
            Ok(has_sidecar(&pods.create(&dry_run, &pod).await?).then_some(()))
        })
        .await?;
        load.sandbox.apply(&workload::opted_in("somewhere"))?;
        let pod = load.sandbox.pod_ready("somewhere").await?;
        ensure!(has_sidecar(&pod), "expected a sidecar in {pod:?}");
        Ok(manager)
    }

    /// When asked to, and when its Secret is gone.
    async fn renews_the_certificate(&self) -> anyhow::Result<()> {
        let renewed = async {
            let end = self.renew(LEAF).await?;
            self.is_served(end).await?;
            self.secrets.delete(LEAF_SECRET, &DeleteParams::default()).await?;
            self.is_served(self.ends_after(LEAF, end).await?).await
        };
        self.load.meanwhile(renewed).await
    }

    /// With the key that it had: whoever trusts the new one trusts what the old one signed.
    async fn renews_the_authority(&self) -> anyhow::Result<()> {
        let before = self.secret(AUTHORITY_SECRET).await?;
        let renewed = async {
            self.renew(AUTHORITY).await?;
            self.is_served(self.renew(LEAF).await?).await?;
            self.authority_is_trusted().await
        };
        self.load.meanwhile(renewed).await?;
        let after = self.secret(AUTHORITY_SECRET).await?;
        ensure!(before.certificate != after.certificate, "expected a new CA");
        ensure!(before.key == after.key, "expected the CA's key to stay");
        Ok(())
    }

    /// The CA injector keeps the old CA, until when the kubelet has brought what the new one signed.
    async fn signs_with_another_key(&self) -> anyhow::Result<()> {
        let before = self.secret(AUTHORITY_SECRET).await?;
        let end = self.ends_after(AUTHORITY, 0).await?;
        let renewed = async {
            self.secrets.delete(AUTHORITY_SECRET, &DeleteParams::default()).await?;
            self.ends_after(AUTHORITY, end).await?;
            let end = self.renew(LEAF).await?;
            self.authority_is_trusted().await?;
            self.is_served(end).await
        };
        self.load.meanwhile(renewed).await?;
        ensure!(before.key != self.secret(AUTHORITY_SECRET).await?.key, "expected another key");
        Ok(())
    }

    /// As the CA injector did before it kept old CAs, which is before cert-manager 1.19.
    async fn replaces_the_bundle(&self) -> anyhow::Result<()> {
        let patch = json!([{
            "op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--feature-gates=CAInjectorMerging=false",
        }]);
        let kubectl = &self.load.sandbox.kubectl;
        let about = ["--namespace", CERT_MANAGER_NAMESPACE];
        let deployment = "deployment/cert-manager";
        kubectl.run(&[&about[..], &["patch", deployment, "--type=json", "--patch", &patch.to_string()]].concat())?;
        kubectl.run(&[&about[..], &["rollout", "status", deployment, "--timeout=120s"]].concat())?;
        self.renews_the_authority().await?;
        let bundles = bundles(&self.configurations()).await?;
        let alone = self.secret(AUTHORITY_SECRET).await?.certificate;
        ensure!(bundles.iter().all(|bundle| bundle.trim() == alone), "expected {alone} alone, found {bundles:?}");
        Ok(())
    }

    /// Has it renewed, as `cmctl renew` does; when the new one ends.
    async fn renew(&self, certificate: &str) -> anyhow::Result<i64> {
        let before = self.ends_after(certificate, 0).await?;
        let condition =
            json!({"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "by hand"});
        let patch = json!([{"op": "add", "path": "/status/conditions/-", "value": condition}]).to_string();
        let patch =
            ["patch", "certificate", certificate, "--subresource=status", "--type=json", "--patch", patch.as_str()];
        self.load.sandbox.kubectl.run(&[&["--namespace", SIDEGATE_NAMESPACE], &patch[..]].concat())?;
        self.ends_after(certificate, before).await
    }

    /// When a certificate ends that is ready, once that is later than some time.
    async fn ends_after(&self, certificate: &str, after: i64) -> anyhow::Result<i64> {
        wait::until(&format!("Certificate {certificate} to be ready"), STEP, || async {
            let status = &self.certificates.get(certificate).await?.data["status"];
            let conditions = status["conditions"].as_array().context("there are conditions")?;
            let is = |kind: &str| conditions.iter().any(|found| found["type"] == kind && found["status"] == "True");
            let ready = is("Ready") && !is("Issuing");
            let end = serde_json::from_value::<Time>(status["notAfter"].clone())?.0.as_second();
            ensure!(ready && after < end, "its status is {status}");
            Ok(Some(end))
        })
        .await
    }

    /// Waits until each replica serves the certificate that ends then, by its own word.
    async fn is_served(&self, end: i64) -> anyhow::Result<()> {
        have_secrets_looked_at(self.load, &end.to_string())?;
        wait::until("the new certificate to be served", LIMIT, || async {
            let found = self.load.expiries().await?;
            ensure!(found.iter().all(|found| *found == end), "expected {end}, found {found:?}");
            Ok(Some(()))
        })
        .await
    }

    /// Waits until each entry of the webhook has the CA that signs.
    async fn authority_is_trusted(&self) -> anyhow::Result<()> {
        let authority = self.secret(AUTHORITY_SECRET).await?.certificate;
        let configurations = self.configurations();
        wait::until("the CA injector to have published the CA", STEP, || async {
            let bundles = bundles(&configurations).await?;
            Ok((bundles.len() == 2 && bundles.iter().all(|bundle| bundle.contains(&authority))).then_some(()))
        })
        .await
    }

    async fn secret(&self, name: &str) -> anyhow::Result<Pair> {
        let data = self.secrets.get(name).await?.data.unwrap_or_default();
        let text = |key: &str| {
            let bytes = data.get(key).with_context(|| format!("expected {key} in Secret {name}"))?;
            anyhow::Ok(String::from_utf8(bytes.0.clone())?.trim().to_owned())
        };
        Ok(Pair { certificate: text("tls.crt")?, key: text("tls.key")? })
    }

    fn configurations(&self) -> Api<MutatingWebhookConfiguration> {
        Api::all(self.load.sandbox.client.clone())
    }
}
