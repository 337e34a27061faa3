//! The order of a life: settings, log, signals, storage, sockets, service, signal, hold open, drain.
//!
//! *Never:* what a push is.

use std::{
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{CommandFactory, error::ErrorKind};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    args::Args,
    auth::Access,
    clock,
    config::{Alone, Config, Keeping, Plan, Role, Sidecar, Sockets},
    expiry,
    http::{self, AppState, Listener, Parts},
    import::{self, Import, ImportError},
    lifecycle::{self, Readiness, Scrapes, SeenRevisions, Signals},
    listen::{self, Closing, ConnectionLimits, Endpoint, ListenAddress, Serving, SystemdError},
    metrics::Metrics,
    operator_access::OperatorAccess,
    persist::{Counts, OpenError},
    store::Store,
    telemetry,
    web_config::{Web, WebConfigError},
};

/// How long requests that are under way at the end may take.
const DRAIN: Duration = Duration::from_secs(2);

/// What ends the process before its time.
#[derive(Debug, thiserror::Error)]
enum AppError {
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: ListenAddress, source: io::Error },
    #[error("cannot store what is pushed: {0}")]
    Storage(#[source] OpenError),
    #[error("--web.config.file: {0}")]
    WebConfig(#[source] WebConfigError),
    #[error("--web.systemd-socket: {0}")]
    Systemd(#[source] SystemdError),
}

/// The listeners at work.
struct Servers {
    tasks: JoinSet<()>,
    close: watch::Sender<bool>,
    closing: Closing,
}

/// The command line, for whoever describes it.
#[must_use]
pub fn command_line() -> clap::Command {
    Args::command()
}

/// Reads arguments, the first of which is the process's name, as a start does, and starts nothing.
///
/// # Errors
/// What a start with them would say, and end.
pub fn check_arguments(args: impl IntoIterator<Item = OsString>) -> Result<(), String> {
    read_plan(args).map(drop).map_err(|error| error.to_string())
}

/// Runs the process with these arguments, the first of which is its name, until it is told to end.
pub fn start(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let plan = match read_plan(args) {
        Ok(plan) => plan,
        Err(error) => {
            // Neither a closed standard output nor a closed standard error changes what there is to do.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match plan {
        Plan::Serve(config) => serve(*config),
        Plan::Import { import, ca_file } => take_over(&import, ca_file.as_deref()),
    }
}

/// Ends with success if all was taken over.
fn take_over(import: &Import, ca_file: Option<&str>) -> ExitCode {
    let client = import::Client::new(ca_file).map_err(ImportError::Source);
    match client.and_then(|client| import::run(import, &client, &mut io::stdout().lock())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Standard error may be closed; the exit code says it too.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Config) -> ExitCode {
    telemetry::init(config.log_level, config.log_format);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AppError::Start);
    match runtime.and_then(|runtime| runtime.block_on(run(config))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "giving up");
            ExitCode::FAILURE
        }
    }
}

fn read_plan(args: impl IntoIterator<Item = OsString>) -> Result<Plan, clap::Error> {
    let args = Args::read(args)?;
    Plan::from_args(args, clock::now()).map_err(|error| Args::command().error(ErrorKind::ValueValidation, error))
}

async fn run(config: Config) -> Result<(), AppError> {
    let signals = Signals::catch().map_err(AppError::Start)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting");
    listen::allow_many_files();
    let Config { log_level: _, log_format: _, settings, rules, keeping, auth, connections, role } = config;
    let access = Access::new(auth);
    let counts = Arc::<Counts>::default();
    let store = restore(Store::with(rules), &keeping, &counts, &role)?;
    let (metrics, quit) = (Metrics::of_process(counts), signals.quit());
    let parts =
        |readiness, operator, scrapes| Parts { store, metrics, scrapes, readiness, operator, access, settings, quit };
    match role {
        Role::Alone(Alone { sockets, web_config }) => {
            let parts = parts(Readiness::default(), OperatorAccess::default(), Scrapes::default());
            let state = AppState::new(parts);
            state.refresh_tokens();
            let web = web_config.map(|path| open_web_config(path, &state)).transpose()?;
            run_alone(state, &sockets, connections, web, signals).await
        }
        Role::Sidecar(sidecar) => {
            run_sidecar(*sidecar, parts, connections, signals).await;
            Ok(())
        }
    }
}

/// The store with what its folder holds. A sidecar starts without it where it has to: one that ends holds its pod in
/// its init phase.
fn restore(mut store: Store, keeping: &Keeping, counts: &Arc<Counts>, role: &Role) -> Result<Store, AppError> {
    if let Some(file) = keeping.upstreams_file.as_deref().filter(|file| file.is_file()) {
        tracing::warn!(
            file = %file.display(),
            "the Pushgateway's own file is neither read nor changed; to take it over, run a Pushgateway with it and then \
             `sidegate import --from URL`"
        );
    }
    let Some(storage) = &keeping.storage else {
        return Ok(store);
    };
    match (store.keep_in(storage, counts), role) {
        (Ok(()), _) => {}
        (Err(error), Role::Alone(_)) => return Err(AppError::Storage(error)),
        (Err(error), Role::Sidecar(_)) => {
            counts.start_failures.add_one();
            tracing::error!(%error, "what is pushed cannot be stored and is kept in memory only");
        }
    }
    Ok(store)
}

fn open_web_config(path: PathBuf, state: &AppState) -> Result<Arc<Web>, AppError> {
    let state = state.clone();
    let web = Web::open(path, move |file| state.metrics().reload_failed(file));
    web.map(Arc::new).map_err(AppError::WebConfig)
}

async fn run_alone(
    state: AppState,
    sockets: &Sockets,
    limits: ConnectionLimits,
    web: Option<Arc<Web>>,
    mut signals: Signals,
) -> Result<(), AppError> {
    let mut servers = Servers::new();
    let store = state.store().clone();
    start_expiry(state.clone(), None);
    let counts = state.metrics().connections();
    let router = http::router(state.clone());
    let router = match &web {
        Some(web) => http::behind(web, &state, router),
        None => router,
    };
    let serving = Serving::new(router, limits, counts).secured(web);
    for listener in listeners(sockets).await? {
        servers.tasks.spawn(listen::serve(listener, serving.clone(), servers.closing.clone()));
    }
    let signal = signals.recv().await;
    tracing::info!(signal, "leaving");
    servers.drain().await;
    store.close();
    Ok(())
}

async fn listeners(sockets: &Sockets) -> Result<Vec<TcpListener>, AppError> {
    let addresses = match sockets {
        Sockets::Own(addresses) => addresses,
        Sockets::Systemd => return listen::take_from_systemd("all").map_err(AppError::Systemd),
    };
    let mut listeners = Vec::new();
    for &address in addresses {
        let listener = listen::bind(address, "all").await;
        listeners.push(listener.map_err(|source| AppError::Listen { address, source })?);
    }
    Ok(listeners)
}

async fn run_sidecar(
    sidecar: Sidecar,
    parts: impl FnOnce(Readiness, OperatorAccess, Scrapes) -> Parts,
    limits: ConnectionLimits,
    mut signals: Signals,
) {
    let started = Instant::now();
    let Sidecar { push, scrape, hold_open, trust_dir, pod_name, pod_namespace, pod_uid } = sidecar;
    tracing::info!(pod = pod_name, namespace = pod_namespace, uid = pod_uid, "running as a sidecar");
    // Two, since the end of the one is not the end of the other: what was pushed last has to be scraped.
    let (mut pushes, mut scraped) = (Servers::new(), Servers::new());
    let (starting, readiness) = lifecycle::latch();
    let scrapes = Scrapes::default();
    let (mut seen, seen_by_expiry) = (scrapes.subscribe(), scrapes.subscribe());
    let parts = parts(readiness, OperatorAccess::new(trust_dir, pod_uid), scrapes);
    let store = parts.store.clone();
    let state = AppState::new(parts);
    state.refresh_tokens();
    start_expiry(state.clone(), Some(seen_by_expiry));

    // Whoever holds the connections of the one listener does not hold those of the other.
    let serving = |router| Serving::new(router, limits, state.metrics().connections());
    let pushing = serving(http::router(state.on(Listener::Push)));
    for address in push {
        let endpoint = Endpoint { address, name: "push", serving: pushing.clone() };
        pushes.tasks.spawn(listen::serve_patiently(endpoint, pushes.closing.clone(), starting.clone()));
    }
    let serving = serving(http::scrape_router(state.on(Listener::Scrape)));
    let endpoint = Endpoint { address: scrape, name: "scrape", serving };
    scraped.tasks.spawn(listen::serve_patiently(endpoint, scraped.closing.clone(), starting));

    let signal = signals.recv().await;
    let deadline = hold_open.until(started, Instant::now());
    let reason = loop {
        let reason = lifecycle::hold_open(&hold_open, deadline, &store, &mut seen, &mut signals).await;
        // From here on no push is answered; one that was under way may have left something to be scraped.
        pushes.drain().await;
        if reason.is_final() || lifecycle::unseen(&store, &mut seen) == 0 {
            break reason;
        }
    };
    tracing::info!(signal, %reason, "leaving");
    scraped.drain().await;
    lifecycle::last_word(&hold_open, &store, &mut seen);
}

/// Removes what grows stale for as long as the process runs; with `seen`, only what was scraped.
fn start_expiry(state: AppState, seen: Option<SeenRevisions>) {
    let store = state.store().clone();
    tokio::spawn(expiry::run(store, seen, clock::now, move |groups| state.metrics().expired(groups)));
}

// === impl Servers ===

impl Servers {
    fn new() -> Self {
        let (close, closing) = listen::closing();
        Self { tasks: JoinSet::new(), close, closing }
    }

    /// Takes no more connections and lets requests that are under way end, for a short while.
    async fn drain(&mut self) {
        self.close.send_replace(true);
        let ended = timeout(DRAIN, async { while self.tasks.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::warn!(after = ?DRAIN, "some connections were cut");
            self.tasks.shutdown().await;
        }
    }
}
