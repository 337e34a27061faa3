//! Pods are created all the time while certificates are renewed and while the operator is replaced: each has its sidecar.
//! While no operator runs at all they are created too, and are told as soon as one does.
//!
//! In a cluster of its own, whose operator has certificates of seconds.
//!
//! *Never:* certificates that others make.

use std::{collections::BTreeSet, sync::Mutex};

use anyhow::{Context as _, ensure};
use crds::status::condition;
use e2e::{
    install::SIDEGATE_NAMESPACE,
    sandbox::{STEP, Sandbox},
    wait,
};
use k8s_openapi::api::{
    core::v1::{Pod, Secret},
    events::v1::Event,
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};

use crate::{
    load::{LIMIT, Load, OPERATOR, nowhere},
    own_cluster::OwnCluster,
    workload::{self, has_sidecar},
};

crate::world::tests![
    through_renewed_certificates_and_a_rolling_update_every_pod_gets_its_sidecar_and_an_outage_is_told,
];

/// Short enough to see some of them, long enough for a busy machine: a CA is replaced every forty seconds. The API server
/// waits long, since what is to be seen is whom it trusts and whom it reaches, and not how busy the machine is.
const VALUES: [&str; 3] =
    ["webhook.certificates.lifetime=60s", "webhook.certificates.caLifetime=120s", "webhook.timeoutSeconds=30"];

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

// === impl Load ===

impl Load {
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
}
