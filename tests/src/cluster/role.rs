//! The same executable in three roles: the program itself, the supervisor of a cluster, and the init of its namespaces.
//!
//! A program that may start clusters calls [`take_role`] first thing in `main`.
//!
//! *Never:* what the roles do.

use std::{
    env,
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
};

use anyhow::Context as _;

use super::{Plan, init, supervisor};

const ROLE: &str = "SIDEGATE_CLUSTER_ROLE";
const STATE: &str = "SIDEGATE_CLUSTER_STATE";
const PLAN_FILE: &str = "plan.json";

/// Carries out the role this process was started for; `None` for an ordinary start.
#[must_use]
pub fn take_role() -> Option<ExitCode> {
    let role = env::var(ROLE).ok()?;
    let run = || {
        let state = PathBuf::from(env::var_os(STATE).context("expected the cluster's folder")?);
        let plan: Plan = serde_json::from_slice(&fs::read(state.join(PLAN_FILE))?)?;
        match role.as_str() {
            "supervisor" => supervisor::run(&plan),
            _ => init::run(&plan),
        }
    };
    Some(match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "standard error of a role is its log")]
            {
                eprintln!("{role}: {error:#}");
            }
            ExitCode::FAILURE
        }
    })
}

/// Starts the supervisor, in a process group of its own: Ctrl-C is for the program, which then ends its cluster.
pub(super) fn spawn_supervisor(plan: &Plan) -> anyhow::Result<Child> {
    fs::write(plan.state.join(PLAN_FILE), serde_json::to_vec(plan)?)?;
    let mut command = Command::new(env::current_exe()?);
    as_role(&mut command, "supervisor", &plan.state)?;
    Ok(command.process_group(0).spawn()?)
}

/// Starts init in new namespaces. The shell between them collects orphans, as the first process of a pid namespace
/// has to; it would give a background program an empty input, hence the third descriptor.
pub(super) fn spawn_init(plan: &Plan) -> anyhow::Result<Child> {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c"]);
    command.args([r#"exec 3<&0; "$0" <&3 3<&- & wait "$!""#]).arg(env::current_exe()?);
    as_role(&mut command, "init", &plan.state)?;
    command.spawn().context("unshare")
}

fn as_role(command: &mut Command, role: &str, state: &Path) -> anyhow::Result<()> {
    let log = File::create(state.join("log").join(role))?;
    command.env(ROLE, role).env(STATE, state);
    command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
    Ok(())
}
