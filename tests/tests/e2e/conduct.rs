//! Replicas of the operator when things break: who leads, what is deleted meanwhile, and that it heals.
//!
//! In a cluster of its own, whose processes are ended and stopped.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, ensure};
use crds::{
    PushGroup,
    status::{condition, reason},
};
use e2e::{
    install::SIDEGATE_NAMESPACE,
    sandbox::{STEP, Sandbox},
    wait,
};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
};

use crate::{own_cluster::OwnCluster, workload, world};

crate::world::tests![through_lost_leaders_a_restarted_api_server_and_a_slow_and_a_silent_etcd_only_what_is_stale_goes];

const OPERATOR: &str = "sidegate-operator";
const LEASE: &str = "sidegate-operator";

/// How many groups there are to collect when the leader is killed: enough for a pass of seconds.
const MANY: usize = 200;

/// For how many milliseconds a Lease is left to whoever has it.
const LEFT_ALONE: i64 = 15_000;

/// Within how many another has it.
const TAKEN_OVER: i64 = 20_000;

/// How many more it may take where three clusters share two cores: what is waited for is answers of an API server.
const BUSY: i64 = 10_000;

/// The cluster and what is in it.
struct Disturbed {
    own: OwnCluster,
    sandbox: Sandbox,
}

async fn through_lost_leaders_a_restarted_api_server_and_a_slow_and_a_silent_etcd_only_what_is_stale_goes(
    _: Sandbox,
) -> anyhow::Result<()> {
    let world = Disturbed::start().await?;
    let outcome = async {
        world.a_leader_that_is_asked_to_end_releases_the_lease().await.context("a leader that ends")?;
        world.a_leader_killed_in_a_pass_is_followed().await.context("a leader killed in a pass")?;
        world.an_api_server_that_restarts_is_found_again().await.context("a restarted API server")?;
        world.a_sidecar_that_hangs_is_told_and_looked_at_again().await.context("a sidecar that hangs")?;
        world.a_slow_etcd_is_borne().await.context("a slow etcd")?;
        world.a_leader_that_cannot_renew_deletes_nothing().await.context("a silent etcd")
    };
    if let Err(error) = outcome.await {
        let dump = world.sandbox.dump().await.map(|folder| folder.display().to_string());
        return Err(error.context(format!("pods, events and logs are in {}", dump.unwrap_or_default())));
    }
    Ok(())
}

// === impl Disturbed ===

impl Disturbed {
    /// Two replicas, one of which leads, and a pod with a sidecar that has a fresh group.
    async fn start() -> anyhow::Result<Self> {
        let own = OwnCluster::start().await?;
        world::install_sidegate(&own.kubectl, &own.client).await?;
        let sandbox = Sandbox::create("disturbed", own.kubectl.clone(), own.client.clone()).await?;
        let world = Self { own, sandbox };
        world.two_replicas().await?;
        world.limits("2s", true)?;
        world.sandbox.group_ready("all").await?;
        world.sandbox.apply(&workload::opted_in("app"))?;
        world.sandbox.pod_ready("app").await?;
        workload::push(&world.sandbox, "app", "job/young", "some_metric 1")?;
        Ok(world)
    }

    /// After what time a group whose job begins with `old` is stale.
    fn limits(&self, stale_after: &str, dry_run: bool) -> anyhow::Result<()> {
        let rest = format!(
            "  staleAfter: 1h\n  dryRun: {dry_run}\n  rules: [{{match: {{job: \"old.*\"}}, staleAfter: {stale_after}}}]"
        );
        // There are no monitoring CRDs here.
        self.sandbox.apply(&workload::push_group("all", &rest).replace("interval: 2s", "interval: 2s, kind: None"))
    }

    fn operators(&self) -> Api<Pod> {
        Api::namespaced(self.sandbox.client.clone(), SIDEGATE_NAMESPACE)
    }

    /// Waits until there are two ready replicas, and no other.
    async fn two_replicas(&self) -> anyhow::Result<Vec<Pod>> {
        wait::until("two ready replicas", STEP, || async {
            let pods = self.operators().list(&ListParams::default()).await?.items;
            let ready = |pod: &&Pod| {
                let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
                let ready =
                    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"));
                ready && pod.metadata.deletion_timestamp.is_none()
            };
            Ok((pods.iter().filter(ready).count() == 2 && pods.len() == 2).then_some(pods))
        })
        .await
    }

    /// Waits until some replica leads which is not this one.
    async fn led_by_another_than(&self, before: &str) -> anyhow::Result<Lease> {
        let leases = Api::<Lease>::namespaced(self.sandbox.client.clone(), SIDEGATE_NAMESPACE);
        wait::until(&format!("another leader than {before:?}"), STEP, || async {
            Ok(leases.get_opt(LEASE).await?.filter(|lease| !holder(lease).is_empty() && holder(lease) != before))
        })
        .await
    }

    /// Waits until another replica leads than one that was killed, which took the Lease when it might, and soon then.
    async fn followed_in_time(&self, before: &Lease) -> anyhow::Result<()> {
        let leases = Api::<Lease>::namespaced(self.sandbox.client.clone(), SIDEGATE_NAMESPACE);
        let last = leases.get(LEASE).await?;
        ensure!(holder(&last) == holder(before), "expected the Lease to be the killed one's yet, found {last:?}");
        let after = self.led_by_another_than(holder(&last)).await?;
        let took = between_terms(&last, &after)?;
        ensure!(
            (LEFT_ALONE..=TAKEN_OVER + BUSY).contains(&took),
            "expected the Lease to be taken {LEFT_ALONE} to {TAKEN_OVER} ms after its last renewal, found {took} ms"
        );
        Ok(())
    }

    /// How many groups were ever collected, by the status.
    async fn collected(&self) -> anyhow::Result<i64> {
        let group = self.sandbox.api::<PushGroup>().get("all").await?;
        Ok(group.status.and_then(|status| status.collected_total).unwrap_or_default())
    }

    async fn leader(&self) -> anyhow::Result<(Lease, Pod)> {
        let lease = self.led_by_another_than("").await?;
        let name = holder(&lease).split('_').next().unwrap_or_default().to_owned();
        let pod = self.operators().get(&name).await?;
        Ok((lease, pod))
    }

    /// A group of that name that is pushed now goes once it is stale, and the fresh one stays.
    async fn collects(&self, job: &str) -> anyhow::Result<()> {
        workload::push(&self.sandbox, "app", &format!("job/{job}"), "some_metric 1")?;
        self.until_gone(job).await
    }

    async fn until_gone(&self, job: &str) -> anyhow::Result<()> {
        wait::until(&format!("{job} to be collected"), STEP * 3, || async {
            let page = self.sandbox.page("app").await?;
            ensure!(page.contains("job=\"young\""), "the fresh group is gone: {page}");
            Ok((!page.contains(&format!("job=\"{job}\""))).then_some(()))
        })
        .await
    }

    async fn restarts(&self) -> anyhow::Result<BTreeSet<(String, i32)>> {
        let pods = self.operators().list(&ListParams::default()).await?;
        let count = |pod: &Pod| {
            let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
            statuses.into_iter().flatten().map(|status| status.restart_count).sum()
        };
        Ok(pods.iter().map(|pod| (pod.name_any(), count(pod))).collect())
    }

    async fn a_leader_that_is_asked_to_end_releases_the_lease(&self) -> anyhow::Result<()> {
        let (before, pod) = self.leader().await?;
        self.operators().delete(&pod.name_any(), &DeleteParams::default()).await?;
        let after = self.led_by_another_than(holder(&before)).await?;
        let took = between_terms(&before, &after)?;
        ensure!(took < LEFT_ALONE, "the Lease ran out: it was taken {took} ms after its last renewal");
        self.two_replicas().await.map(drop)
    }

    async fn a_leader_killed_in_a_pass_is_followed(&self) -> anyhow::Result<()> {
        let script = format!(
            "i=0; while [ $i -lt {MANY} ]; do \
             wget -q -O- --post-data 'some_metric 1' \"$PUSHGATEWAY_URL\"/metrics/job/old/part/$i || exit 1; \
             i=$((i+1)); done"
        );
        self.sandbox.exec("app", "app", &script)?;
        let many = i64::try_from(MANY)?;
        let all_stale = |group: &PushGroup| (group.status.as_ref()?.stale_groups? == many).then_some(());
        self.sandbox.group_until("all", "many stale groups", all_stale).await?;
        let (before, pod) = self.leader().await?;

        self.limits("2s", false)?;
        wait::until("a pass to be under way", STEP, || async {
            let left = stale_groups(&self.sandbox.page("app").await?);
            ensure!(left != 0, "the pass was over too soon");
            if left == MANY {
                return Ok(None);
            }
            self.own.cluster.signal_in_pod(&pod, OPERATOR, "KILL").map(Some)
        })
        .await?;
        let left = stale_groups(&self.sandbox.page("app").await?);
        ensure!(0 < left, "expected the leader to be killed in a pass, found nothing left to do");
        // What it had collected and not written yet is lost, one may just be on its way, and nothing is counted twice.
        let expected = self.collected().await? + i64::try_from(left)? - 1..=many;
        self.followed_in_time(&before).await?;
        self.until_gone("old").await?;
        let page = self.sandbox.page("app").await?;
        let deleted = format!("sidegate_signed_deletes_total{{outcome=\"accepted\"}} {MANY}\n");
        ensure!(page.contains(&deleted), "expected each group to be deleted once, found {page}");
        wait::until("all that is left to be counted", STEP, || async {
            let found = self.collected().await?;
            expected
                .contains(&found)
                .then_some(Some(()))
                .with_context(|| format!("expected {expected:?}, found {found}"))
        })
        .await?;
        self.two_replicas().await?;
        let found = self.collected().await?;
        ensure!(expected.contains(&found), "expected {expected:?} groups to be counted and no more, found {found}");
        Ok(())
    }

    async fn an_api_server_that_restarts_is_found_again(&self) -> anyhow::Result<()> {
        let before = self.restarts().await?;
        self.own.cluster.signal("kube-apiserver", "KILL")?;
        wait::until("the API server to answer again", STEP, || async { self.restarts().await.map(Some) }).await?;
        wait::until("a push", STEP, || async {
            workload::push(&self.sandbox, "app", "job/old-restart", "some_metric 1").map(Some)
        })
        .await?;
        self.until_gone("old-restart").await?;
        let after = self.restarts().await?;
        ensure!(before == after, "expected no restart of an operator, found {before:?} and {after:?}");
        // What is new is seen, so the watches are.
        self.sandbox.apply(&workload::push_group("new", "").replace("interval: 2s", "interval: 2s, kind: None"))?;
        self.sandbox.group_ready("new").await
    }

    async fn a_sidecar_that_hangs_is_told_and_looked_at_again(&self) -> anyhow::Result<()> {
        let pod = self.sandbox.api::<Pod>().get("app").await?;
        self.own.cluster.signal_in_pod(&pod, "sidegate", "STOP")?;
        let told = self.sandbox.condition("all", condition::COLLECTED, "False").await;
        self.own.cluster.signal_in_pod(&pod, "sidegate", "CONT")?;
        let told = told?;
        ensure!(told.reason == reason::PASS_INCOMPLETE, "{told:?}");
        self.sandbox.condition("all", condition::COLLECTED, "True").await?;
        self.collects("old-hung").await
    }

    /// One that answers nothing for two seconds of three, which is well within the times of the election.
    async fn a_slow_etcd_is_borne(&self) -> anyhow::Result<()> {
        let (before, _) = self.leader().await?;
        let (restarts, replicas) = (self.restarts().await?, self.two_replicas().await?);
        let sidecar = address(&self.sandbox.api::<Pod>().get("app").await?)?;
        let sidecar = format!("http://{sidecar}:19091/metrics");
        workload::push(&self.sandbox, "app", "job/old-slow", "some_metric 1")?;
        let leads = async || {
            let leading = self.leading(&replicas)?;
            ensure!(leading == 1, "expected one leader, found {leading}");
            Ok(())
        };
        for _ in 0..8 {
            self.own.cluster.signal("etcd", "STOP")?;
            let silent = wait::throughout(Duration::from_secs(2), leads).await;
            self.own.cluster.signal("etcd", "CONT")?;
            silent?;
            wait::throughout(Duration::from_secs(1), leads).await?;
        }
        let page = self.own.cluster.page(&self.own.parts, &sidecar)?;
        ensure!(!page.contains("job=\"old-slow\""), "nothing was collected meanwhile: {page}");
        ensure!(page.contains("job=\"young\""), "the fresh group is gone: {page}");
        let (after, _) = self.leader().await?;
        ensure!(holder(&after) == holder(&before), "expected the leader to stay, found {after:?}");
        let restarted = self.restarts().await?;
        ensure!(restarted == restarts, "expected no restart of an operator, found {restarts:?} and {restarted:?}");
        Ok(())
    }

    async fn a_leader_that_cannot_renew_deletes_nothing(&self) -> anyhow::Result<()> {
        let before = self.restarts().await?;
        let replicas = self.two_replicas().await?;
        let sidecar = address(&self.sandbox.api::<Pod>().get("app").await?)?;
        let sidecar = format!("http://{sidecar}:19091/metrics");
        // Longer than a leader leads without renewal.
        self.limits("13s", false)?;
        self.sandbox.condition("all", condition::COLLECTED, "True").await?;
        workload::push(&self.sandbox, "app", "job/old-silence", "some_metric 1")?;
        self.own.cluster.signal("etcd", "STOP")?;
        let silence = async {
            wait::until("nobody to lead", STEP, || async {
                let leading = self.leading(&replicas)?;
                Ok((leading == 0).then_some(()))
            })
            .await?;
            // It becomes stale in this time, and nobody deletes it.
            wait::throughout(Duration::from_secs(18), || async {
                let page = self.own.cluster.page(&self.own.parts, &sidecar)?;
                ensure!(page.contains("job=\"old-silence\""), "a group was deleted while nobody led: {page}");
                let leading = self.leading(&replicas)?;
                ensure!(leading == 0, "{leading} lead while nobody can renew");
                Ok(())
            })
            .await
        };
        let silence = silence.await;
        self.own.cluster.signal("etcd", "CONT")?;
        silence?;
        self.until_gone("old-silence").await?;
        ensure!(self.leading(&replicas)? == 1, "expected one leader");
        self.limits("2s", false)?;
        self.collects("old-after").await?;
        let after = self.restarts().await?;
        ensure!(before == after, "expected no restart of an operator, found {before:?} and {after:?}");
        Ok(())
    }

    /// How many of the replicas lead, by their own word.
    fn leading(&self, replicas: &[Pod]) -> anyhow::Result<usize> {
        let mut leading = 0;
        for pod in replicas {
            let page = self.own.cluster.page(&self.own.parts, &format!("http://{}:8080/metrics", address(pod)?))?;
            let line = format!("leader_election_master_status{{name=\"{LEASE}\"}} ");
            let status = page.lines().find_map(|found| found.strip_prefix(&line));
            leading += status.context("expected a page with who leads")?.parse::<usize>()?;
        }
        Ok(leading)
    }
}

/// Milliseconds from the last renewal of a holder to when the next took the Lease.
fn between_terms(before: &Lease, after: &Lease) -> anyhow::Result<i64> {
    let renewed = before.spec.as_ref().and_then(|spec| spec.renew_time.as_ref());
    let acquired = after.spec.as_ref().and_then(|spec| spec.acquire_time.as_ref());
    let (renewed, acquired) = renewed.zip(acquired).context("a Lease has times")?;
    Ok(i64::try_from(acquired.0.duration_since(renewed.0).as_millis())?)
}

fn holder(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

fn address(pod: &Pod) -> anyhow::Result<String> {
    pod.status.as_ref().and_then(|status| status.pod_ip.clone()).context("a running pod has an address")
}

fn stale_groups(page: &str) -> usize {
    page.lines().filter(|line| line.starts_with("some_metric{") && line.contains("job=\"old\"")).count()
}
