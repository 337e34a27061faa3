//! One Kubernetes node in namespaces of its own: API server, controllers, scheduler, kubelet, containerd.
//!
//! ```text
//! this process ── stdin ──▶ supervisor ── stdin ──▶ init (pid 1 of the namespaces) ──▶ etcd, apiserver, kubelet, …
//! ```
//!
//! A process that loses the pipe to the one above it ends, and with init ends everything in its namespaces. So the
//! cluster goes whatever way this process goes; the supervisor then removes its control groups and its folder.
//!
//! The network namespace has no way out. The API server is reached through a Unix socket in the cluster's folder; this
//! process forwards a port of its loopback to it, so that `kubectl` and a client work as with any cluster.
//!
//! The same, less all that makes a node, serves [`crate::control_plane`].
//!
//! Not supported: more than one node, cluster IPs other than the API server's.
//!
//! *Never:* what runs in the cluster.

mod cgroups;
mod files;
mod init;
mod pki;
mod processes;
mod relay;
mod role;
mod supervisor;

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::{Deserialize, Serialize};

use crate::{image::Image, parts::Parts, wait};

pub use role::take_role;

/// The most that a start may take, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(120);

/// The address of the API server inside, and the `kubernetes` Service's.
const API_SERVER: &str = "10.96.0.1:443";

/// The node's address inside.
const NODE_ADDRESS: &str = "172.30.0.1";

/// Everything the processes below need to know; a file in the cluster's folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Plan {
    extent: Extent,
    state: PathBuf,
    /// Control group of everything in the cluster, below the root of each hierarchy; each cluster has its own.
    cgroup: String,
    programs: BTreeMap<String, PathBuf>,
    cni_plugins: PathBuf,
    runc: PathBuf,
}

/// How much of a cluster is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Extent {
    /// All of it.
    Node,
    /// etcd and the API server, which then writes down who asked for what.
    ControlPlane,
}

/// A cluster; it ends when this value is dropped or its process ends.
#[derive(Debug)]
pub struct Cluster {
    state: PathBuf,
    supervisor: Child,
    kubeconfig: PathBuf,
    ctr: PathBuf,
}

// === impl Cluster ===

impl Cluster {
    /// Starts a cluster and waits until its node is ready.
    ///
    /// # Errors
    /// When a part does not start; the message has the ends of the logs.
    pub async fn start(parts: &Parts) -> anyhow::Result<Self> {
        let cluster = Self::begin(parts, Extent::Node)?;
        cluster.import(&[Image::of_program("localhost/pause:1", "pause", &parts.program("pause")?)])?;
        cluster.wait_for_node().await.with_context(|| cluster.log_ends())?;
        Ok(cluster)
    }

    /// Starts what runs without a node, and waits until the API server answers.
    ///
    /// # Errors
    /// When a part does not start; the message has the ends of the logs.
    pub(crate) fn start_without_node(parts: &Parts) -> anyhow::Result<Self> {
        Self::begin(parts, Extent::ControlPlane)
    }

    fn begin(parts: &Parts, extent: Extent) -> anyhow::Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        remove_leftovers();
        let name = format!("{}{}-{}", LEFTOVER_PREFIX, process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let state = env::temp_dir().join(&name);
        fs::create_dir_all(state.join("log")).with_context(|| state.display().to_string())?;
        let plan = Plan::new(state.clone(), name, extent, parts)?;
        files::write(&plan)?;
        let supervisor = role::spawn_supervisor(&plan)?;
        let ctr = parts.program("ctr")?;
        let mut cluster = Self { kubeconfig: state.join("kubeconfig"), state, supervisor, ctr };
        cluster.wait_for_init()?;
        cluster.forward_api_server()?;
        Ok(cluster)
    }

    /// A kubeconfig file for `kubectl` and others on this machine.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client of its own, for the runtime of the caller.
    ///
    /// # Errors
    /// When the kubeconfig is not usable.
    pub async fn client(&self) -> anyhow::Result<Client> {
        client(Some(&self.kubeconfig), None).await
    }

    /// Packs images and gives them to the node.
    ///
    /// # Errors
    /// When an image cannot be packed or imported.
    pub fn import(&self, images: &[Image]) -> anyhow::Result<()> {
        let socket = self.state.join("containerd.sock");
        let ctr = |arguments: &[&OsStr]| {
            let mut ctr = Command::new(&self.ctr);
            ctr.arg("--address").arg(&socket).args(["--namespace", "k8s.io"]).args(arguments);
            ctr.output().context("ctr")
        };
        wait::blocking("containerd", START_LIMIT, || {
            let answers = ctr(&["version".as_ref()])?.status.success();
            Ok(answers.then_some(()))
        })
        .with_context(|| self.log_ends())?;
        for (index, image) in images.iter().enumerate() {
            let archive = self.state.join(format!("image-{}-{index}.tar", process::id()));
            image.write(&archive)?;
            let output = ctr(&["images".as_ref(), "import".as_ref(), archive.as_ref()])?;
            if !output.status.success() {
                bail!("importing {}: {}", image.name, String::from_utf8_lossy(&output.stderr));
            }
            fs::remove_file(&archive)?;
        }
        Ok(())
    }

    /// The folder with the logs of the cluster's own programs.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.state.join("log")
    }

    /// A kubeconfig of the administrator for those who are in the cluster's network.
    pub(crate) fn kubeconfig_inside(&self) -> PathBuf {
        self.state.join(files::NODE_KUBECONFIG)
    }

    /// The network namespace that everything of the cluster is in.
    pub(crate) fn network(&self) -> anyhow::Result<PathBuf> {
        let inside = processes::of_cluster(&self.state, "kube-apiserver")?;
        Ok(Path::new("/proc").join(inside.to_string()).join("ns/net"))
    }

    /// Sends a signal, such as `KILL` or `STOP`, to one of the cluster's own programs; one that ends is started again.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, program: &str, signal: &str) -> anyhow::Result<()> {
        processes::signal(processes::of_cluster(&self.state, program)?, signal)
    }

    /// Sends a signal to a program in a pod.
    ///
    /// # Errors
    /// When it does not run there.
    pub fn signal_in_pod(&self, pod: &Pod, program: &str, signal: &str) -> anyhow::Result<()> {
        let uid = pod.metadata.uid.as_deref().context("a pod has a UID")?;
        processes::signal(processes::of_pod(uid, program)?, signal)
    }

    /// What a page says to somebody on the node, who needs no API server for it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn page(&self, parts: &Parts, url: &str) -> anyhow::Result<String> {
        // Its own limit of time makes this wget crash.
        let wget: [&OsStr; 7] = [
            "timeout".as_ref(),
            "5".as_ref(),
            parts.busybox().as_ref(),
            "wget".as_ref(),
            "-q".as_ref(),
            "-O-".as_ref(),
            url.as_ref(),
        ];
        let kubelet = processes::of_cluster(&self.state, "kubelet")?;
        let output = processes::in_network_of(kubelet, &wget).output().context("nsenter")?;
        if !output.status.success() {
            bail!("{url}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What the API server was asked for by whom and what it said, one JSON object a line: only Sidegate's own requests.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.logs().join(files::AUDIT_LOG)
    }

    /// The last lines of the logs of the cluster's own programs.
    fn log_ends(&self) -> String {
        let mut text = String::new();
        for entry in fs::read_dir(self.logs()).into_iter().flatten().flatten() {
            let log = fs::read_to_string(entry.path()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join("\n");
            text.push_str(&format!("--- {}\n{end}\n", entry.file_name().display()));
        }
        text
    }

    fn wait_for_init(&mut self) -> anyhow::Result<()> {
        let (ready, state) = (self.state.join(init::READY_FILE), self.state.clone());
        let supervisor = &mut self.supervisor;
        wait::blocking("the API server", START_LIMIT, || match supervisor.try_wait()? {
            Some(status) => bail!("the cluster in {} ended as it started: {status}", state.display()),
            None => Ok(ready.exists().then_some(())),
        })
        .with_context(|| self.log_ends())
    }

    /// Forwards a free port of the loopback and writes the kubeconfig that names it.
    fn forward_api_server(&self) -> anyhow::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let socket = self.state.join(relay::SOCKET);
        thread::spawn(move || relay::from_tcp(&listener, &socket));
        fs::write(&self.kubeconfig, pki::kubeconfig(&self.state, &format!("https://127.0.0.1:{port}"))?)?;
        Ok(())
    }

    async fn wait_for_node(&self) -> anyhow::Result<()> {
        let client = self.client().await?;
        let (nodes, accounts) =
            (Api::<Node>::all(client.clone()), Api::<ServiceAccount>::namespaced(client, "default"));
        wait::until("a ready node", START_LIMIT, || async {
            let node = nodes.get_opt("node").await?;
            let conditions = node.and_then(|node| node.status).and_then(|status| status.conditions).unwrap_or_default();
            let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
            Ok((ready && accounts.get_opt("default").await?.is_some()).then_some(()))
        })
        .await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
    }
}

// === impl Plan ===

impl Plan {
    fn new(state: PathBuf, cgroup: String, extent: Extent, parts: &Parts) -> anyhow::Result<Self> {
        let names = [
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kubelet",
            "kubectl",
            "containerd",
            "containerd-shim-runc-v2",
            "coredns",
        ];
        let programs = names.iter().map(|name| Ok(((*name).to_owned(), parts.program(name)?)));
        Ok(Self {
            extent,
            state,
            cgroup,
            programs: programs.collect::<anyhow::Result<_>>()?,
            cni_plugins: parts.cni_plugins().to_owned(),
            runc: parts.runc().to_owned(),
        })
    }

    fn command(&self, program: &str) -> anyhow::Result<Command> {
        Ok(Command::new(self.programs.get(program).with_context(|| format!("no program {program}"))?))
    }
}

/// A client by kubeconfig file and context; the usual file and its current context where none is given.
///
/// # Errors
/// When there is no such file or context.
pub async fn client(kubeconfig: Option<&Path>, context: Option<&str>) -> anyhow::Result<Client> {
    let kubeconfig = kubeconfig.map_or_else(Kubeconfig::read, Kubeconfig::read_from)?;
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    Ok(Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &options).await?)?)
}

/// Folders and control groups of clusters start with it; the process that made them follows.
const LEFTOVER_PREFIX: &str = "sidegate-cluster-";

/// Removes what clusters left whose supervisor was killed too.
fn remove_leftovers() {
    for entry in fs::read_dir(env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(owner) = name.to_str().and_then(|name| name.strip_prefix(LEFTOVER_PREFIX)) else {
            continue;
        };
        let process = owner.split('-').next().unwrap_or_default();
        if !process.is_empty() && !Path::new("/proc").join(process).exists() {
            cgroups::remove(&name.to_string_lossy());
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn null_stdio(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}
