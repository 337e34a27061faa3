//! The first program in the cluster's namespaces: makes the network, starts the programs, ends when its input does.
//!
//! A program that ends is started again, as a node's service manager would.
//!
//! *Never:* the host outside of the namespaces.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::net::UnixListener,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::{API_SERVER, Extent, NODE_ADDRESS, Plan, files, null_stdio, relay};
use crate::{control_plane, wait};

/// Stands in the cluster's folder once the API server answers and everything else was started.
pub(super) const READY_FILE: &str = "ready";

/// Boots the node and stays until standard input ends.
pub(super) fn run(plan: &Plan) -> anyhow::Result<()> {
    match plan.extent {
        Extent::Node => start_node(plan),
        Extent::ControlPlane => start_control_plane(plan),
    }?;
    let relay = UnixListener::bind(plan.state.join(relay::SOCKET))?;
    thread::spawn(move || relay::to_tcp(&relay, API_SERVER));
    fs::write(plan.state.join(READY_FILE), "")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn start_node(plan: &Plan) -> anyhow::Result<()> {
    mount(plan)?;
    connect()?;
    etcd(plan)?;
    api_server(plan, &[])?;
    containerd(plan)?;
    wait_for_api_server(plan)?;
    controllers(plan)?;
    keep_running(plan, "coredns", &["-conf", files::COREFILE])?;
    kubelet(plan)
}

fn start_control_plane(plan: &Plan) -> anyhow::Result<()> {
    connect()?;
    // Pods have addresses although nobody runs them: all of these are this machine's own.
    sh(&["ip", "route", "add", "local", control_plane::POD_ADDRESSES, "dev", "lo"])?;
    etcd(plan)?;
    // Service accounts are made by a controller, and there is none.
    api_server(plan, &["--disable-admission-plugins=ServiceAccount"])?;
    wait_for_api_server(plan)
}

fn wait_for_api_server(plan: &Plan) -> anyhow::Result<()> {
    let mut ready = plan.command("kubectl")?;
    ready.arg("--kubeconfig").arg(plan.state.join(files::NODE_KUBECONFIG)).args(["get", "--raw", "/readyz"]);
    wait::blocking("the API server", Duration::from_secs(90), || {
        Ok(null_stdio(&mut ready).status()?.success().then_some(()))
    })
}

fn mount(plan: &Plan) -> anyhow::Result<()> {
    let kubelet = plan.state.join("kubelet");
    let kubelet = kubelet.to_str().context("expected a folder with a name in UTF-8")?;
    sh(&["mount", "--make-rprivate", "/"])?;
    // What programs leave outside of their own folders goes with the namespace.
    for folder in ["/run", "/var/log"] {
        sh(&["mount", "-t", "tmpfs", "tmpfs", folder])?;
    }
    sh(&["mount", "--bind", kubelet, kubelet])?;
    sh(&["mount", "--make-rshared", kubelet])
}

fn connect() -> anyhow::Result<()> {
    sh(&["ip", "link", "set", "lo", "up"])?;
    // The `kubernetes` Service, without any proxy.
    sh(&["ip", "addr", "add", "10.96.0.1/32", "dev", "lo"])?;
    sh(&["ip", "link", "add", "node0", "type", "bridge"])?;
    sh(&["ip", "addr", "add", &format!("{NODE_ADDRESS}/32"), "dev", "node0"])?;
    sh(&["ip", "link", "set", "node0", "up"])?;
    sh(&["ip", "route", "add", "default", "dev", "node0"])
}

fn etcd(plan: &Plan) -> anyhow::Result<()> {
    keep_running(
        plan,
        "etcd",
        &[
            "--name=node",
            "--data-dir=etcd",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:0",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ],
    )
}

fn api_server(plan: &Plan, more: &[&str]) -> anyhow::Result<()> {
    let advertised = format!("--advertise-address={NODE_ADDRESS}");
    let audit_log = format!("--audit-log-path=log/{}", files::AUDIT_LOG);
    let arguments = [
        "--etcd-servers=http://127.0.0.1:2379",
        "--cert-dir=pki/api",
        "--tls-cert-file=pki/apiserver.crt",
        "--tls-private-key-file=pki/apiserver.key",
        "--client-ca-file=pki/ca.crt",
        "--bind-address=0.0.0.0",
        advertised.as_str(),
        "--secure-port=443",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--service-account-key-file=pki/tokens.pub",
        "--service-account-signing-key-file=pki/tokens.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged",
        // Webhooks are called at the endpoints of their Service: there is no proxy for its address.
        "--enable-aggregator-routing",
        "--kubelet-preferred-address-types=InternalIP",
        "--audit-policy-file=audit.json",
        audit_log.as_str(),
    ];
    keep_running(plan, "kube-apiserver", &[&arguments, more].concat())
}

fn controllers(plan: &Plan) -> anyhow::Result<()> {
    keep_running(
        plan,
        "kube-controller-manager",
        &[
            "--kubeconfig=node.kubeconfig",
            "--service-account-private-key-file=pki/tokens.key",
            "--root-ca-file=pki/ca.crt",
            "--leader-elect=false",
        ],
    )?;
    keep_running(plan, "kube-scheduler", &["--kubeconfig=node.kubeconfig", "--leader-elect=false"])
}

fn containerd(plan: &Plan) -> anyhow::Result<()> {
    keep_running(plan, "containerd", &["--config=containerd.toml"])
}

fn kubelet(plan: &Plan) -> anyhow::Result<()> {
    let root = format!("--root-dir={}", plan.state.join("kubelet").display());
    let certificates = format!("--cert-dir={}", plan.state.join("pki/kubelet").display());
    keep_running(
        plan,
        "kubelet",
        &[
            "--config=kubelet.json",
            "--kubeconfig=node.kubeconfig",
            "--hostname-override=node",
            &format!("--node-ip={NODE_ADDRESS}"),
            &root,
            &certificates,
        ],
    )
}

/// Starts a program in the cluster's folder, its output in a log of its name, and starts it again when it ends.
fn keep_running(plan: &Plan, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = plan.command(program)?;
    let log = File::options().create(true).append(true).open(plan.state.join("log").join(program))?;
    let programs = plan.programs.values().filter_map(|file| file.parent()).map(|folder| folder.as_os_str().to_owned());
    let path: Vec<_> = programs.chain(env::var_os("PATH")).collect();
    command.args(arguments).current_dir(&plan.state).env("PATH", path.join(OsStr::new(":")));
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut child = command.spawn().with_context(|| program.to_owned())?;
    thread::spawn(move || -> io::Result<()> {
        loop {
            child.wait()?;
            wait::before_another_try();
            child = command.spawn()?;
        }
    });
    Ok(())
}

fn sh(command: &[&str]) -> anyhow::Result<()> {
    let Some((program, arguments)) = command.split_first() else {
        return Ok(());
    };
    let output = Command::new(program).args(arguments).output().with_context(|| command.join(" "))?;
    if !output.status.success() {
        bail!("{}: {}", command.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
