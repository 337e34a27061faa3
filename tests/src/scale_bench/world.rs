//! A control plane with the chart, `PushGroup`s and pods in it, and the sidecars of those.
//!
//! *Never:* the operator's insides.

use std::{
    net::TcpListener,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::ensure;
use crds::PushGroup;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use protocol::endpoints::SCRAPE_PORT;
use serde_json::json;

use super::{Operator, operator::NAME};
use crate::{
    binaries,
    control_plane::{ControlPlane, Requests},
    install::SIDEGATE_NAMESPACE,
    kubectl::Kubectl,
    measuring::say,
    parts::Parts,
    pods::{
        Place, Pods, Spread,
        sidecars::{Sidecars, Tally},
    },
    wait,
};

/// Of every `PushGroup`, in seconds.
pub(super) const STALE_AFTER: u64 = 3600;

/// How many pods a `PushGroup` has.
const PODS_OF_A_GROUP: usize = 100;

/// How many sidecars there are for pods yet to come.
const SPARE: usize = 10_000;

/// The most that a pass may take before it counts as hanging.
const PASS_LIMIT: Duration = Duration::from_secs(900);

/// The most that the API server may take to learn a kind.
const API_LIMIT: Duration = Duration::from_secs(120);

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Pods in all.
    pub pods: usize,
    /// Groups in each pod's sidecar.
    pub groups: usize,
    /// How they are spread.
    pub spread: Spread,
}

/// Everything but the operator.
pub struct World {
    /// The API server.
    pub plane: ControlPlane,
    /// `kubectl` for it.
    pub kubectl: Kubectl,
    /// What the operator knows the API server by.
    pub kubeconfig: PathBuf,
    /// Makes and removes pods.
    pub pods: Pods,
    /// What the operator asks.
    pub sidecars: Sidecars,
    /// How much there is of it.
    pub size: Size,
    client: Client,
    /// The number of the first pod there still is.
    first: AtomicUsize,
}

/// A pass over everything, by an operator that has just started.
#[derive(Clone, Debug)]
pub struct Pass {
    /// From the start of the process until every sidecar had been asked and every stale group was gone.
    pub done: Duration,
    /// From the start of the process until every status said so.
    pub told: Duration,
    /// Groups that were removed.
    pub removed: u64,
    /// Memory then and at most, in bytes.
    pub memory: [f64; 2],
    /// What the API server was asked until then.
    pub requests: Requests,
    /// How the sidecars are.
    pub tally: Tally,
}

// === impl Size ===

impl Size {
    /// As many pods, a hundred to a `PushGroup`, five of those to a namespace.
    #[must_use]
    pub fn of(pods: usize, groups: usize) -> Self {
        let push_groups = pods.div_ceil(PODS_OF_A_GROUP).clamp(1, 5);
        let namespaces = pods.div_ceil(PODS_OF_A_GROUP * push_groups);
        Self { pods, groups, spread: Spread { namespaces, push_groups } }
    }
}

// === impl World ===

impl World {
    /// Makes all of it.
    ///
    /// # Errors
    /// When a part does not start, or the API server refuses something.
    pub async fn make(parts: &Parts, size: Size) -> anyhow::Result<Self> {
        say("an API server");
        let plane = ControlPlane::start(parts)?;
        let (client, kubectl) = (plane.client().await?, Kubectl::of_parts(parts, plane.kubeconfig())?);
        install(parts, &kubectl)?;
        let token = kubectl.run(&["--namespace", SIDEGATE_NAMESPACE, "create", "token", NAME, "--duration", "24h"])?;
        let kubeconfig = plane.kubeconfig_with(token.trim())?;
        create_push_groups(&client, size.spread).await?;
        say(&format!("{} pods", size.pods));
        let pods = Pods::new(client.clone(), size.spread);
        pods.create(0..size.pods).await?;
        let listener = plane.inside(|| Ok(TcpListener::bind(("0.0.0.0", SCRAPE_PORT))?))?;
        let sidecars = Sidecars::serve(listener, size.pods + SPARE, size.groups)?;
        Ok(Self { plane, kubectl, kubeconfig, pods, sidecars, size, client, first: AtomicUsize::new(0) })
    }

    /// What the operator has asked the API server for by now.
    ///
    /// # Errors
    /// When the API server's log cannot be read.
    pub fn requests(&self) -> anyhow::Result<Requests> {
        self.plane.requests(NAME)
    }

    /// All `PushGroup`s.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn push_groups(&self) -> anyhow::Result<Vec<PushGroup>> {
        Ok(Api::<PushGroup>::all(self.client.clone()).list(&ListParams::default()).await?.items)
    }

    /// Waits until an operator that has just started has made a pass over everything, and has told.
    ///
    /// # Errors
    /// When it does not come to an end, with the operator's log.
    pub async fn pass(&self, operator: &Operator) -> anyhow::Result<Pass> {
        let stale = self.tally().abandoned;
        let done = self.until("every sidecar to be asked and every stale group removed", operator, || async {
            let tally = self.tally();
            ensure!(self.size.pods == tally.asked && tally.abandoned == 0, "{tally:?}");
            Ok(Some(operator.age()))
        });
        let done = done.await?;
        let told = self.until("every status to tell", operator, || async {
            let found = sums(&self.push_groups().await?);
            let tally = self.tally();
            let expected = [i64::try_from(self.size.pods)?, i64::try_from(tally.fresh)?, i64::try_from(tally.removed)?];
            ensure!(found == expected, "expected {expected:?} sidecars, groups and collected groups, found {found:?}");
            Ok(Some(operator.age()))
        });
        let told = told.await?;
        Ok(Pass {
            done,
            told,
            removed: stale as u64,
            memory: operator.memory()?,
            requests: operator.requests(self)?,
            tally: self.tally(),
        })
    }

    /// How things are with the sidecars of the pods there are.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let first = self.first.load(Ordering::Relaxed);
        self.sidecars.tally(first..first + self.size.pods)
    }

    /// Removes the first pods there are and makes as many others.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn replace(&self, pods: usize) -> anyhow::Result<()> {
        let first = self.first.fetch_add(pods, Ordering::Relaxed);
        ensure!(first + pods <= SPARE, "there are not that many sidecars to spare");
        self.pods.remove(first..first + pods).await?;
        self.pods.create(first + self.size.pods..first + pods + self.size.pods).await
    }

    async fn until<T, A>(&self, what: &str, operator: &Operator, ask: impl FnMut() -> A) -> anyhow::Result<T>
    where
        A: Future<Output = anyhow::Result<Option<T>>>,
    {
        let log = || {
            let log = operator.log();
            let lines: Vec<_> = log.lines().collect();
            format!(
                "the operator's log ends:\n{}",
                lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
            )
        };
        wait::until(what, PASS_LIMIT, ask).await.map_err(|error| error.context(log()))
    }
}

/// The difference of two countings.
pub(super) fn since(before: &Requests, after: &Requests) -> Requests {
    let more = |(name, count): (&String, &u64)| {
        let more = count - before.get(name).copied().unwrap_or_default();
        (0 < more).then(|| (name.clone(), more))
    };
    after.iter().filter_map(more).collect()
}

/// Running sidecars, groups, and groups collected, as the statuses say.
fn sums(groups: &[PushGroup]) -> [i64; 3] {
    let mut sums = [0; 3];
    for status in groups.iter().filter_map(|group| group.status.as_ref()) {
        let [sidecars, groups, collected] = &mut sums;
        *sidecars += status.sidecars.unwrap_or_default();
        *groups += status.groups.unwrap_or_default();
        *collected += status.collected_total.unwrap_or_default();
    }
    sums
}

/// The chart, whose Deployment nobody acts upon, and the monitoring API.
fn install(parts: &Parts, kubectl: &Kubectl) -> anyhow::Result<()> {
    let crds = parts.monitoring_crds()?;
    for kind in ["servicemonitors", "podmonitors"] {
        kubectl.apply_folder(&crds.join(format!("monitoring.coreos.com_{kind}.yaml")))?;
    }
    let chart = binaries::repository().join("charts/sidegate").display().to_string();
    let namespace = ["--namespace", SIDEGATE_NAMESPACE, "--create-namespace"];
    kubectl.helm(&[["upgrade", "--install", "sidegate", &chart].as_slice(), &namespace].concat())?;
    // `kubectl wait` fails on a CRD so new that it has no status.
    wait::blocking("the API of PushGroups and monitors", API_LIMIT, || {
        let known = ["get", "pushgroups,servicemonitors,podmonitors", "--all-namespaces"];
        Ok(kubectl.run(&known).ok().map(drop))
    })
}

async fn create_push_groups(client: &Client, spread: Spread) -> anyhow::Result<()> {
    let namespaces = Api::<Namespace>::all(client.clone());
    for number in 0..spread.namespaces {
        let Place { namespace, .. } = spread.place(number);
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
        namespaces.create(&PostParams::default(), &namespace).await?;
    }
    for Place { namespace, push_group } in spread.places() {
        let group: PushGroup = serde_json::from_value(json!({
            "apiVersion": "sidegate.dev/v1alpha1",
            "kind": "PushGroup",
            "metadata": {"name": push_group},
            "spec": {
                "selector": {"matchLabels": {"sidegate.dev/inject": push_group}},
                "staleAfter": format!("{STALE_AFTER}s"),
            },
        }))?;
        Api::<PushGroup>::namespaced(client.clone(), &namespace).create(&PostParams::default(), &group).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_group_has_a_hundred_pods() {
        let push_groups = |pods| Size::of(pods, 1).spread.places().count();
        assert_eq!([1, 100, 500, 10_000].map(push_groups), [1, 1, 5, 100]);
    }

    #[test]
    fn only_what_came_since_counts() {
        let requests = |rows: &[(&str, u64)]| rows.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let (before, after) = (requests(&[("a", 2), ("b", 3)]), requests(&[("a", 2), ("b", 5), ("c", 1)]));
        assert_eq!(since(&before, &after), requests(&[("b", 2), ("c", 1)]));
    }
}
