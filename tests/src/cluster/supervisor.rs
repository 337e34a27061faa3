//! Ends the cluster when the process that wanted it is gone, and removes what it left.
//!
//! *Never:* what is in the cluster.

use std::{
    fs,
    io::{self, Read as _},
    sync::mpsc,
    thread,
    time::Duration,
};

use super::{Plan, cgroups, role};
use crate::wait;

/// Runs until standard input ends or init does.
pub(super) fn run(plan: &Plan) -> anyhow::Result<()> {
    cgroups::create(&plan.cgroup)?;
    let mut init = role::spawn_init(plan)?;
    let (ended, end) = mpsc::sync_channel::<()>(1);
    thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        let _ = ended.send(());
    });
    while init.try_wait()?.is_none() {
        match end.recv_timeout(Duration::from_millis(500)) {
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    let died = init.try_wait()?;
    // unshare ignores SIGTERM; its death is the death of all below it.
    init.kill()?;
    init.wait()?;
    wait::blocking("the cluster's last process", Duration::from_secs(20), || {
        cgroups::remove(&plan.cgroup);
        Ok((!cgroups::exists(&plan.cgroup)).then_some(()))
    })?;
    if died.is_none() {
        fs::remove_dir_all(&plan.state)?;
    }
    Ok(())
}
