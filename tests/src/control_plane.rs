//! An API server and its etcd alone, for what needs thousands of pods and no node to run them.
//!
//! Everything is in a network namespace of its own, where all addresses of [`POD_ADDRESSES`] are this machine's: a
//! server that listens there answers for every pod. The operator is known by its service account, as in any cluster, and
//! what it asks for is written down.
//!
//! Not supported: whatever a controller does, such as removing what a removed object owned.
//!
//! *Never:* which objects there are.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    net::Ipv4Addr,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, anyhow, ensure};
use kube::Client;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;

use crate::{cluster::Cluster, install::SIDEGATE_NAMESPACE, parts::Parts};

/// The addresses that pods may have.
pub const POD_ADDRESSES: &str = "10.128.0.0/16";

/// A control plane; it ends when this value is dropped or its process ends.
#[derive(Debug)]
pub struct ControlPlane {
    cluster: Cluster,
    network: PathBuf,
}

/// How often somebody asked for something: by verb and resource, such as `patch pushgroups/status`.
pub type Requests = BTreeMap<String, u64>;

// === impl ControlPlane ===

impl ControlPlane {
    /// Starts one and waits until the API server answers.
    ///
    /// # Errors
    /// When a part does not start; the message has the ends of the logs.
    pub fn start(parts: &Parts) -> anyhow::Result<Self> {
        let cluster = Cluster::start_without_node(parts)?;
        let network = cluster.network()?;
        Ok(Self { cluster, network })
    }

    /// A kubeconfig file of the administrator for programs of this machine.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        self.cluster.kubeconfig()
    }

    /// A client of the administrator, for the runtime of the caller.
    ///
    /// # Errors
    /// When the kubeconfig is not usable.
    pub async fn client(&self) -> anyhow::Result<Client> {
        self.cluster.client().await
    }

    /// A kubeconfig file beside the others, for a user with a token who is in the network namespace.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn kubeconfig_with(&self, token: &str) -> anyhow::Result<PathBuf> {
        let file = self.cluster.kubeconfig_inside();
        let mut kubeconfig: Value = serde_json::from_slice(&fs::read(&file)?)?;
        let user = kubeconfig.pointer_mut("/users/0/user").context("expected a user in the kubeconfig")?;
        *user = serde_json::json!({ "token": token });
        let file = file.with_extension("token");
        fs::write(&file, kubeconfig.to_string())?;
        Ok(file)
    }

    /// What to put before a command line so that it is run in the network namespace, by the same process.
    #[must_use]
    pub fn entering(&self) -> Vec<OsString> {
        let mut option = OsString::from("--net=");
        option.push(&self.network);
        vec!["nsenter".into(), option, "--".into()]
    }

    /// Does something in the network namespace: a socket stays where it was made, whoever has it then.
    ///
    /// # Errors
    /// When there is no right to enter it, or the work fails.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        // A thread of its own, since there is no way back out.
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let network = File::open(&self.network).with_context(|| self.network.display().to_string())?;
                move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
                work()
            });
            inside.join().map_err(|_| anyhow!("the work inside panicked"))?
        })
    }

    /// What a service account beside the operator has asked for by now; a watch counts once, when it begins.
    ///
    /// # Errors
    /// When what was written down cannot be read.
    pub fn requests(&self, account: &str) -> anyhow::Result<Requests> {
        let user = format!("system:serviceaccount:{SIDEGATE_NAMESPACE}:{account}");
        let log = fs::read_to_string(self.cluster.audit_log())?;
        // The last line may be on its way.
        let whole = log.rsplit_once('\n').map(|(whole, _)| whole).unwrap_or_default();
        let mut requests = Requests::new();
        for line in whole.lines() {
            if let Some(request) = request_of(&serde_json::from_str(line)?, &user) {
                *requests.entry(request).or_default() += 1;
            }
        }
        Ok(requests)
    }
}

/// The address of the pod of a number.
///
/// # Errors
/// When there are not that many addresses.
pub fn pod_address(number: usize) -> anyhow::Result<Ipv4Addr> {
    let [high, low] = u16::try_from(number + 1).context("no address for that many pods")?.to_be_bytes();
    ensure!((high, low) != (255, 255), "the last address is a broadcast");
    Ok(Ipv4Addr::new(10, 128, high, low))
}

/// What a line of the audit log counts as, if it is that user's. A watch is told when it begins and when it ends.
fn request_of(line: &Value, user: &str) -> Option<String> {
    let text = |pointer: &str| line.pointer(pointer).and_then(Value::as_str);
    let verb = text("/verb")?;
    let counted = if verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
    if text("/user/username")? != user || text("/stage")? != counted {
        return None;
    }
    let resource = text("/objectRef/resource").or_else(|| text("/requestURI"))?;
    let subresource = text("/objectRef/subresource").map(|name| format!("/{name}")).unwrap_or_default();
    Some(format!("{verb} {resource}{subresource}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_pod_has_an_address_of_its_own() {
        let shown = |number| pod_address(number).unwrap().to_string();
        assert_eq!([shown(0), shown(254), shown(9_999)], ["10.128.0.1", "10.128.0.255", "10.128.39.16"]);
        assert!(pod_address(65_534).is_err());
    }

    #[test]
    fn a_request_counts_once() {
        let line = |verb, stage| {
            json!({
                "verb": verb, "stage": stage, "user": {"username": "me"},
                "objectRef": {"resource": "pushgroups", "subresource": "status"},
            })
        };
        let counted = |verb, stage| request_of(&line(verb, stage), "me");
        assert_eq!(counted("patch", "ResponseComplete").unwrap(), "patch pushgroups/status");
        assert_eq!(counted("watch", "ResponseStarted").unwrap(), "watch pushgroups/status");
        assert_eq!((counted("patch", "ResponseStarted"), counted("watch", "ResponseComplete")), (None, None));
        assert_eq!(request_of(&line("get", "ResponseComplete"), "you"), None);
    }
}
