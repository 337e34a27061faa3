//! The harness itself: clusters beside each other, what is left when one is killed, and where none can run.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use e2e::{
    cluster::Cluster,
    parts::Parts,
    sandbox::{STEP, Sandbox},
    wait,
};
use k8s_openapi::api::core::v1::Pod;

use crate::workload;

crate::world::tests![
    a_killed_process_takes_its_cluster_along_and_harms_no_other,
    a_failed_test_leaves_pods_events_and_logs,
    where_no_cluster_can_run_tests_are_ignored_with_the_reason,
];

/// Set for a process that is to start a cluster and to be killed.
const HOLD: &str = "SIDEGATE_E2E_HOLD_CLUSTER";

/// Starts a cluster, tells where its logs are, and stays; `None` unless this process is to do so.
pub(crate) fn hold_if_asked() -> Option<anyhow::Result<()>> {
    env::var_os(HOLD)?;
    let hold = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let cluster = runtime.block_on(Cluster::start(&Parts::find_or_build()?))?;
        println!("{}", cluster.logs().display());
        runtime.block_on(std::future::pending())
    };
    Some(hold())
}

async fn a_killed_process_takes_its_cluster_along_and_harms_no_other(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::pod("app", "{}", "{}"))?;
    let before = sandbox.pod_ready("app").await?;

    let mut other = Command::new(env::current_exe()?).env(HOLD, "1").stdout(Stdio::piped()).spawn()?;
    let mut logs = String::new();
    BufReader::new(other.stdout.take().context("stdout is piped")?).read_line(&mut logs)?;
    let state = PathBuf::from(logs.trim()).parent().context("logs are in the cluster's folder")?.to_owned();
    let name = state.file_name().context("the folder has a name")?.to_owned();
    let groups = || {
        let folders = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        let folders = folders.map(|entry| entry.path()).chain([PathBuf::from("/sys/fs/cgroup")]);
        folders.map(|folder| folder.join(&name)).filter(|group| group.exists()).count()
    };
    ensure!(state.is_dir() && 0 < groups(), "expected a running cluster in {}", state.display());

    other.kill()?;
    other.wait()?;
    wait::until("the killed process's cluster to be gone", STEP, || async {
        Ok((!state.exists() && groups() == 0).then_some(()))
    })
    .await?;

    let after = sandbox.api::<Pod>().get("app").await?;
    let started = |pod: &Pod| {
        let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.clone()).unwrap_or_default();
        statuses.into_iter().map(|status| (status.container_id, status.restart_count)).collect::<Vec<_>>()
    };
    ensure!(started(&before) == started(&after), "the other cluster's end restarted {after:?}");
    ensure!(sandbox.exec("app", "app", "echo alive")?.trim() == "alive");
    Ok(())
}

async fn a_failed_test_leaves_pods_events_and_logs(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::pod("app", "{}", "{}"))?;
    sandbox.pod_ready("app").await?;
    let folder = sandbox.dump().await?;
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).with_context(|| name.to_owned());
    let namespace = &sandbox.namespace;
    ensure!(read(&format!("{namespace}.pods.yaml"))?.contains("name: app"));
    ensure!(read(&format!("{namespace}.events.yaml"))?.contains("Scheduled"));
    ensure!(read(&format!("{namespace}.app.log"))?.contains("workload started"));
    let operator = std::fs::read_dir(&folder)?.flatten().find(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with("sidegate-system.sidegate-operator") && name.ends_with(".log")
    });
    let operator = operator.context("expected the operator's log")?;
    ensure!(!std::fs::read_to_string(operator.path())?.is_empty());
    Ok(std::fs::remove_dir_all(folder)?)
}

/// Without any program on the path there is no `unshare`, and so no cluster.
async fn where_no_cluster_can_run_tests_are_ignored_with_the_reason(_: Sandbox) -> anyhow::Result<()> {
    let run = |ci: bool| {
        let mut command = Command::new(env::current_exe()?);
        command.args(["--exact", "crd::a_full_object_is_taken"]).env("PATH", "").env_remove("CI");
        if ci {
            command.env("CI", "true");
        }
        let output = command.output()?;
        anyhow::Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
    };
    let (ok, text) = run(false)?;
    ensure!(ok && text.contains("1 ignored") && text.contains("a cluster needs `unshare`"), "{text}");
    let (ok, text) = run(true)?;
    ensure!(!ok && text.contains("in CI every test has to run, but a cluster needs `unshare`"), "{text}");
    Ok(())
}
