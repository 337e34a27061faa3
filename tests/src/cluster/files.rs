//! The files that the cluster's programs read at their start.
//!
//! *Never:* the order of the start.

use std::fs;

use serde_json::json;

use super::{NODE_ADDRESS, Plan, pki};
use crate::install::SIDEGATE_NAMESPACE;

/// Name of the audit log, among the logs.
pub(super) const AUDIT_LOG: &str = "audit";

/// What the cluster's own programs know the API server by.
pub(super) const NODE_KUBECONFIG: &str = "node.kubeconfig";

/// What CoreDNS is told.
pub(super) const COREFILE: &str = "Corefile";

/// What names in the cluster end in.
const CLUSTER_DOMAIN: &str = "cluster.local";

/// Writes them into the cluster's folder.
pub(super) fn write(plan: &Plan) -> anyhow::Result<()> {
    let state = &plan.state;
    for folder in ["etcd", "cni", "kubelet", "pki/kubelet", "pki/api"] {
        fs::create_dir_all(state.join(folder))?;
    }
    pki::write(&state.join("pki"))?;
    fs::write(state.join(NODE_KUBECONFIG), pki::kubeconfig(state, "https://127.0.0.1:443")?)?;
    fs::write(state.join("containerd.toml"), containerd(plan))?;
    fs::write(state.join("cni/10-pods.conflist"), cni(plan))?;
    fs::write(state.join("kubelet.json"), kubelet(plan))?;
    fs::write(state.join("audit.json"), audit())?;
    fs::write(state.join(COREFILE), corefile())?;
    Ok(())
}

fn containerd(plan: &Plan) -> String {
    let (state, plugins, runc) = (plan.state.display(), plan.cni_plugins.display(), plan.runc.display());
    format!(
        r#"version = 3
root = "{state}/containerd/root"
state = "{state}/containerd/state"
[grpc]
  address = "{state}/containerd.sock"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "localhost/pause:1"
[plugins.'io.containerd.cri.v1.runtime']
  # Inside a container nobody may lower a score.
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["{plugins}"]
  conf_dir = "{state}/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = "{runc}"
  SystemdCgroup = false
"#
    )
}

fn cni(plan: &Plan) -> String {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "dataDir": plan.state.join("ipam"),
                "ranges": [[{"subnet": "10.85.0.0/16"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
    .to_string()
}

/// Names of Services, as every cluster has them; other names there are none.
fn corefile() -> String {
    format!("{CLUSTER_DOMAIN} {{\n  errors\n  kubernetes {{\n    kubeconfig {NODE_KUBECONFIG}\n  }}\n}}\n")
}

fn kubelet(plan: &Plan) -> String {
    let state = &plan.state;
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": false,
        "failSwapOn": false,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", plan.cgroup),
        "enforceNodeAllocatable": [],
        "containerRuntimeEndpoint": format!("unix://{}/containerd.sock", state.display()),
        "authentication": {
            "x509": {"clientCAFile": state.join("pki/ca.crt")},
            "anonymous": {"enabled": true},
            "webhook": {"enabled": false},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "registerNode": true,
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "syncFrequency": "5s",
        "nodeStatusUpdateFrequency": "5s",
        "resolvConf": "",
        "clusterDNS": [NODE_ADDRESS],
        "clusterDomain": CLUSTER_DOMAIN,
        "podLogsDir": state.join("podlogs"),
        "maxPods": 250,
    })
    .to_string()
}

/// Of all requests, the operator's.
fn audit() -> String {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "Metadata", "userGroups": [format!("system:serviceaccounts:{SIDEGATE_NAMESPACE}")]},
            {"level": "None"},
        ],
    })
    .to_string()
}
