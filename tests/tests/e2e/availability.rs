//! Pods are created all the time while certificates are renewed and while the operator is replaced: each has its sidecar.
//! While no operator runs at all they are created too, and are told as soon as one does.
//!
//! In a cluster of its own, whose operator has certificates of seconds. The pods fit no node: admission is all they need.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use crds::status::condition;
use e2e::{
    install::SIDEGATE_NAMESPACE,
    sandbox::{STEP, Sandbox},
    wait,
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Secret},
    events::v1::Event,
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use crate::{
    own_cluster::OwnCluster,
    workload::{self, has_sidecar},
    world,
};

crate::world::tests![
    through_renewed_certificates_and_a_rolling_update_every_pod_gets_its_sidecar_and_an_outage_is_told,
    with_a_secret_of_ones_own_every_pod_gets_its_sidecar_and_what_is_in_it_is_served_anew,
];

const OPERATOR: &str = "sidegate-operator";

/// Short enough to see some of them, long enough for a busy machine: a CA is replaced every forty seconds. The API server
/// waits long, since what is to be seen is whom it trusts and whom it reaches, and not how busy the machine is.
const VALUES: [&str; 3] =
    ["webhook.certificates.lifetime=60s", "webhook.certificates.caLifetime=120s", "webhook.timeoutSeconds=30"];

/// How often each of four creates a pod; a scheduler looks at all that fit nowhere again and again.
const PACE: Duration = Duration::from_millis(300);

/// How long a rotation or a rolling update may take.
const LIMIT: Duration = Duration::from_secs(180);

/// The operator, and pods that are created one after the other.
struct Load {
    _own: OwnCluster,
    sandbox: Sandbox,
    created: AtomicUsize,
    /// What was created without a sidecar, or not at all.
    lost: Mutex<Vec<String>>,
}

async fn through_renewed_certificates_and_a_rolling_update_every_pod_gets_its_sidecar_and_an_outage_is_told(
    _: Sandbox,
) -> anyhow::Result<()> {
    let load = Load::start(OwnCluster::start().await?, &VALUES).await?;
    let outcome = async {
        load.renewed_certificates_lose_no_admission().await.context("certificates that are renewed")?;
        load.a_rolling_update_loses_no_injection().await.context("a rolling update")?;
        load.an_outage_holds_no_pod_up_and_is_told_when_it_is_over().await.context("an outage")
    };
    load.or_a_dump(outcome.await).await
}

async fn with_a_secret_of_ones_own_every_pod_gets_its_sidecar_and_what_is_in_it_is_served_anew(
    _: Sandbox,
) -> anyhow::Result<()> {
    let own = OwnCluster::start().await?;
    let authority = Authority::new()?;
    own.kubectl.run(&["create", "namespace", SIDEGATE_NAMESPACE])?;
    own.kubectl.apply(SIDEGATE_NAMESPACE, &authority.secret()?)?;
    let bundle = format!("webhook.certificates.caBundle={}", authority.certificate);
    let values = ["webhook.certificates.mode=secret", "webhook.certificates.secretName=own", &bundle];
    let load = Load::start(own, &values).await?;
    let outcome = async {
        let before = load.expiries().await?;
        let renewed = async {
            load.sandbox.kubectl.apply(SIDEGATE_NAMESPACE, &authority.secret()?)?;
            // A kubelet looks at a pod's Secrets when the pod changes; else within a minute or so.
            load.sandbox.kubectl.run(&["--namespace", SIDEGATE_NAMESPACE, "annotate", "pods", "--all", "looked=at"])?;
            wait::until("the new certificate to be served", LIMIT, || async {
                let after = load.expiries().await?;
                Ok(before.iter().zip(&after).all(|(before, after)| before < after).then_some(()))
            })
            .await
        };
        load.meanwhile(renewed).await
    };
    load.or_a_dump(outcome.await).await
}

/// A pod that asks for a sidecar, and fits no node.
fn nowhere(name: &str) -> anyhow::Result<Pod> {
    let mut pod: Value = serde_yaml::from_str(&workload::opted_in(name))?;
    pod["spec"]["nodeSelector"] = json!({"sidegate.dev/nowhere": "true"});
    Ok(serde_json::from_value(pod)?)
}

/// Somebody who makes certificates, and has nothing to do with us.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
    /// Each certificate is good for a day longer than the one before.
    days: AtomicUsize,
}

// === impl Authority ===

impl Authority {
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
}

// === impl Load ===

impl Load {
    async fn start(own: OwnCluster, values: &[&str]) -> anyhow::Result<Self> {
        world::install_sidegate_with(&own.kubectl, &own.client, values).await?;
        let sandbox = Sandbox::create("load", own.kubectl.clone(), own.client.clone()).await?;
        let load = Self { _own: own, sandbox, created: AtomicUsize::default(), lost: Mutex::default() };
        load.only_new_replicas(&BTreeSet::new()).await?;
        Ok(load)
    }

    /// What a test came to; where it failed with what there was.
    async fn or_a_dump(&self, outcome: anyhow::Result<()>) -> anyhow::Result<()> {
        let Err(error) = outcome else { return Ok(()) };
        let dump = self.sandbox.dump().await.map(|folder| folder.display().to_string());
        Err(error.context(format!("pods, events and logs are in {}", dump.unwrap_or_default())))
    }

    /// Creates a pod that asks for a sidecar, and takes down if it got none.
    async fn create(&self) -> anyhow::Result<()> {
        let number = self.created.fetch_add(1, Ordering::Relaxed);
        let pod = nowhere(&format!("pod-{number}"))?;
        let lost = match self.sandbox.api::<Pod>().create(&PostParams::default(), &pod).await {
            Ok(pod) => (!has_sidecar(&pod)).then(|| "no sidecar".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        let mut all = self.lost.lock().map_err(|_| anyhow::anyhow!("a test panicked"))?;
        all.extend(lost.map(|lost| format!("pod-{number}: {lost}")));
        Ok(())
    }

    /// Creates pods until something is done; none of them may be lost.
    async fn meanwhile(&self, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
        let (done, before) = (AtomicBool::new(false), self.created.load(Ordering::Relaxed));
        let one_after_the_other = || async {
            let mut pace = tokio::time::interval(PACE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !done.load(Ordering::Relaxed) {
                self.create().await?;
                pace.tick().await;
            }
            anyhow::Ok(())
        };
        let creating = async {
            tokio::try_join!(one_after_the_other(), one_after_the_other(), one_after_the_other(), one_after_the_other())
        };
        let working = async {
            let outcome = work.await;
            done.store(true, Ordering::Relaxed);
            outcome
        };
        let (created, worked) = tokio::join!(creating, working);
        worked.and(created.map(|_| ()))?;
        let lost = self.lost.lock().map_err(|_| anyhow::anyhow!("a test panicked"))?.clone();
        let created = self.created.load(Ordering::Relaxed) - before;
        ensure!(lost.is_empty(), "{} of {created} pods: {lost:?}", lost.len());
        ensure!(20 < created, "expected many pods, found {created}");
        Ok(())
    }

    async fn renewed_certificates_lose_no_admission(&self) -> anyhow::Result<()> {
        let secrets = Api::<Secret>::namespaced(self.sandbox.client.clone(), SIDEGATE_NAMESPACE);
        let (certificates, keys) = (Mutex::new(BTreeSet::new()), Mutex::new(BTreeSet::new()));
        let before = self.expiries().await?;
        self.meanwhile(wait::until("three CAs and four certificates", LIMIT, || async {
            let data = secrets.get(&format!("{OPERATOR}-tls")).await?.data.unwrap_or_default();
            let mut seen = [0, 0];
            for ((set, key), seen) in [(&keys, "ca.key"), (&certificates, "tls.crt")].into_iter().zip(&mut seen) {
                let text = data.get(key).with_context(|| format!("expected {key} in the Secret"))?.0.clone();
                let mut set = set.lock().map_err(|_| anyhow::anyhow!("a test panicked"))?;
                set.insert(text);
                *seen = set.len();
            }
            Ok((3 <= seen[0] && 4 <= seen[1]).then_some(()))
        }))
        .await?;
        let after = self.expiries().await?;
        // By itself, not by beginning anew.
        for pod in self.replicas().await? {
            let statuses = pod.status.and_then(|status| status.container_statuses).unwrap_or_default();
            ensure!(statuses.iter().all(|status| status.restart_count == 0), "{statuses:?}");
        }
        ensure!(before.iter().zip(&after).all(|(before, after)| before < after), "{before:?}, then {after:?}");
        Ok(())
    }

    async fn a_rolling_update_loses_no_injection(&self) -> anyhow::Result<()> {
        for _ in 0..2 {
            let old = self.replicas().await?.iter().map(ResourceExt::name_any).collect();
            let restart = ["--namespace", SIDEGATE_NAMESPACE, "rollout", "restart", "deployment", OPERATOR];
            self.sandbox.kubectl.run(&restart)?;
            self.meanwhile(self.only_new_replicas(&old)).await?;
        }
        Ok(())
    }

    async fn an_outage_holds_no_pod_up_and_is_told_when_it_is_over(&self) -> anyhow::Result<()> {
        self.sandbox.apply(&workload::push_group("all", ""))?;
        self.sandbox.condition("all", condition::PODS_INJECTED, "True").await?;
        self.scale(0).await?;
        let missed = "nobody-answered";
        let created = self.sandbox.api::<Pod>().create(&PostParams::default(), &nowhere(missed)?).await?;
        ensure!(!has_sidecar(&created), "there is no operator, and a sidecar");
        self.scale(2).await?;
        let found = self.sandbox.condition("all", condition::PODS_INJECTED, "False").await?;
        ensure!(found.message.contains(missed), "{found:?}");
        let events: Api<Event> = self.sandbox.api();
        let about = ListParams::default().fields(&format!("regarding.name={missed},reason=SidecarMissing"));
        wait::until("an Event about the pod", STEP, || async { Ok(events.list(&about).await?.items.pop()) }).await?;
        Ok(())
    }

    async fn scale(&self, replicas: i32) -> anyhow::Result<()> {
        let count = format!("--replicas={replicas}");
        self.sandbox.kubectl.run(&["--namespace", SIDEGATE_NAMESPACE, "scale", "deployment", OPERATOR, &count])?;
        wait::until("so many replicas", LIMIT, || async {
            let pods = self.replicas().await?;
            let is_ready = |pod: &Pod| {
                let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
                conditions.into_iter().flatten().any(|found| found.type_ == "Ready" && found.status == "True")
            };
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            Ok((i32::try_from(pods.len()) == Ok(replicas) && ready == pods.len()).then_some(()))
        })
        .await
    }

    async fn replicas(&self) -> anyhow::Result<Vec<Pod>> {
        let pods = Api::<Pod>::namespaced(self.sandbox.client.clone(), SIDEGATE_NAMESPACE);
        Ok(pods.list(&ListParams::default()).await?.items)
    }

    /// Waits until both replicas are ready and all others are gone.
    async fn only_new_replicas(&self, old: &BTreeSet<String>) -> anyhow::Result<()> {
        let deployments = Api::<Deployment>::namespaced(self.sandbox.client.clone(), SIDEGATE_NAMESPACE);
        wait::until("two new replicas", LIMIT, || async {
            let pods = self.replicas().await?;
            let names: Vec<_> = pods.iter().map(ResourceExt::name_any).collect();
            let ready = deployments.get(OPERATOR).await?.status.and_then(|status| status.ready_replicas);
            let are_new = names.len() == 2 && names.iter().all(|name| !old.contains(name));
            Ok((are_new && ready == Some(2)).then_some(()))
        })
        .await
    }

    /// When the certificate that is served ends, by the word of each replica.
    async fn expiries(&self) -> anyhow::Result<Vec<i64>> {
        let mut expiries = Vec::new();
        for pod in self.replicas().await? {
            let path = format!("/api/v1/namespaces/{SIDEGATE_NAMESPACE}/pods/{}:8080/proxy/metrics", pod.name_any());
            let request = http::Request::get(path).body(Vec::new())?;
            let page = wait::answer(STEP, self.sandbox.client.request_text(request)).await?;
            let line = "sidegate_webhook_certificate_expiry_timestamp_seconds{certificate=\"serving\"} ";
            let found = page.lines().find_map(|found| found.strip_prefix(line));
            expiries.push(found.with_context(|| format!("expected {line}in {page}"))?.parse()?);
        }
        Ok(expiries)
    }
}
