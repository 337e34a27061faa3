//! A gateway as a process, whoever pushes to it, and a collector for it.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use axum::{
    body::Body,
    http::{Request, Response},
};
use crds::PushGroup;
use e2e::{connection::Connection, process::Process, wait};
use futures::{StreamExt as _, stream};
use kube::{Client, client::Body as ApiBody, runtime::watcher::Event};
use operator::{
    cache::{CacheWriter, cache},
    clock::Clock,
    events::Events,
    gateway::Gateways,
    gc::{
        Collector,
        report::{PassReport, Reports},
    },
    hearing::Hearing,
    metrics::Metrics,
    sidecar::client::SidecarClient,
    signing::OperatorKey,
    stop::{self, StopSender},
};
use protocol::GroupingKey;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// The most that anything may take, on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A running gateway and a connection to it.
pub(crate) struct Gateway {
    /// Held, since the process ends with it.
    process: Process,
    pub(crate) address: SocketAddr,
    prefix: String,
    connection: Connection,
    pub(crate) authorization: Option<String>,
}

/// A collector that makes passes over one gateway as long as this value lives.
pub(crate) struct Collecting {
    pub(crate) reports: Arc<Reports>,
    pub(crate) metrics: Arc<Metrics>,
    stop: StopSender,
    _runtime: tokio::runtime::Runtime,
}

/// A key of labels.
pub(crate) fn key(labels: &[(&str, &str)]) -> anyhow::Result<GroupingKey> {
    Ok(GroupingKey::from_labels(labels.iter().copied().collect())?)
}

// === impl Gateway ===

impl Gateway {
    pub(crate) fn start(program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let arguments = [&["--web.listen-address=127.0.0.1:0"], arguments].concat();
        let process = Process::start(program, &arguments)?;
        let address = process.address("")?;
        let prefix = arguments.iter().find_map(|argument| argument.strip_prefix("--web.route-prefix="));
        let prefix = prefix.unwrap_or_default().to_owned();
        Ok(Self { process, address, prefix, connection: Connection::of(address), authorization: None })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}{}", self.address, self.prefix)
    }

    /// Sends a request; status and body.
    pub(crate) fn call(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<(u16, String)> {
        let (prefix, length) = (&self.prefix, body.len());
        let authorization = self.authorization.as_ref().map(|it| format!("Authorization: {it}\r\n"));
        let authorization = authorization.unwrap_or_default();
        let request = format!(
            "{method} {prefix}{path} HTTP/1.1\r\nHost: gateway\r\n{authorization}Content-Length: {length}\r\n\r\n{body}"
        );
        let answer = self.connection.call(request.into_bytes())?;
        Ok((answer.status, String::from_utf8(answer.body)?))
    }

    pub(crate) fn push(&mut self, key: &GroupingKey) -> anyhow::Result<()> {
        let (status, text) = self.call("PUT", &key.to_path(), "some_metric 1\n")?;
        ensure!(status == 200, "{key}: {status} {text}");
        Ok(())
    }

    pub(crate) fn page(&mut self) -> anyhow::Result<String> {
        let (status, page) = self.call("GET", "/metrics", "")?;
        ensure!(status == 200, "{status} {page}");
        Ok(page)
    }

    /// The labels of all groups, by the JSON API.
    pub(crate) fn labels(&mut self) -> anyhow::Result<Vec<Value>> {
        let answer: Value = serde_json::from_str(&self.call("GET", "/api/v1/metrics", "")?.1)?;
        let groups = answer["data"].as_array().context("expected a list of groups")?;
        Ok(groups.iter().map(|group| group["labels"].clone()).collect())
    }

    /// How many removals it was asked for.
    pub(crate) fn removals(&mut self) -> anyhow::Result<u64> {
        let page = self.page()?;
        let counter = r#"pushgateway_http_requests_total{code="202",handler="delete",method="delete"} "#;
        let line = page.lines().find_map(|line| line.strip_prefix(counter));
        Ok(line.unwrap_or("0").parse()?)
    }

    /// Asks it to end, and waits for that.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        self.process.signal("TERM")?;
        self.process.ended().map(drop)
    }
}

// === impl Collecting ===

impl Collecting {
    /// Collects by a spec; the Secret `pg` has some data, in base64.
    pub(crate) fn start(spec: Value, secret: &Value) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let _inside = runtime.enter();
        let mut group = PushGroup::new("central", serde_json::from_value(spec)?);
        group.metadata.namespace = Some("data".to_owned());
        group.metadata.uid = Some("uid".to_owned());
        let (groups, writer) = cache();
        keep(writer, vec![group]);
        let (pods, writer) = cache();
        keep(writer, Vec::new());
        let (wake, mut woken) = mpsc::channel(64);
        tokio::spawn(async move { while woken.recv().await.is_some() {} });
        let (reports, metrics) = (Arc::<Reports>::default(), Arc::<Metrics>::default());
        let collector = Collector {
            groups,
            hearing: Hearing::always(),
            pods,
            client: SidecarClient::new(OperatorKey::from_seed(&[1; 32])),
            gateways: Gateways::new(api_server(secret)),
            port: 1,
            reports: reports.clone(),
            wake,
            clock: Clock::system(),
            metrics: metrics.clone(),
            events: Events::to(&api_server(&json!({}))),
        };
        let (sender, stop) = stop::channel();
        tokio::spawn(collector.run(Duration::from_millis(20), stop));
        Ok(Self { reports, metrics, stop: sender, _runtime: runtime })
    }

    /// Waits for a report.
    pub(crate) fn until<T>(&self, what: &str, expected: impl Fn(&PassReport) -> Option<T>) -> anyhow::Result<T> {
        let mut last = None;
        let found = wait::blocking(what, LIMIT, || {
            last = self.reports.last("uid");
            Ok(last.as_ref().and_then(&expected))
        });
        found.with_context(|| format!("the last report is {last:?}"))
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        self.stop.request();
    }
}

/// A cache that knows some objects, for as long as the runtime lives.
fn keep<K>(writer: CacheWriter<K>, objects: Vec<K>)
where
    K: kube::Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let events = [Event::Init].into_iter().chain(objects.into_iter().map(Event::InitApply)).chain([Event::InitDone]);
    let events = stream::iter(events.map(Ok).collect::<Vec<_>>()).chain(stream::pending());
    tokio::spawn(async move { writer.fill(events).for_each(|_| async {}).await });
}

fn api_server(data: &Value) -> Client {
    let secret = json!({"metadata": {"name": "pg"}, "data": data});
    let service = tower::service_fn(move |request: Request<ApiBody>| {
        let found = request.uri().path() == "/api/v1/namespaces/data/secrets/pg";
        let answer = Response::builder().status(if found { 200 } else { 404 }).body(Body::from(secret.to_string()));
        async { answer.map_err(std::io::Error::other) }
    });
    Client::new(service, "default")
}

/// A folder of this process, which goes with the value.
pub(crate) struct Folder(pub(crate) std::path::PathBuf);

static FOLDERS: Mutex<u32> = Mutex::new(0);

// === impl Folder ===

impl Folder {
    pub(crate) fn create() -> anyhow::Result<Self> {
        let mut made = FOLDERS.lock().map_err(|_| anyhow::anyhow!("a test panicked"))?;
        *made += 1;
        let folder = std::env::temp_dir().join(format!("sidegate-gateways-{}-{made}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    /// Writes a file; its path.
    pub(crate) fn file(&self, name: &str, content: &str) -> anyhow::Result<String> {
        let path = self.0.join(name);
        std::fs::write(&path, content)?;
        Ok(path.display().to_string())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
