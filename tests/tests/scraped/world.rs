//! A Prometheus of this machine, and the scene that most tests look at: gateways with all kinds of pushes, each scraped
//! every second in each way that Prometheus knows.
//!
//! *Never:* what is expected of it.

use std::{
    env, fs,
    future::Future,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use e2e::{parts::Parts, process::Process, prometheus::Prometheus, wait};

use crate::{gateway::Gateway, hostile, random};

/// The most that Prometheus may take to do something, on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The name of a way to scrape, and what the configuration says for it.
pub(crate) const WAYS: [(&str, &str); 8] = [
    ("usual", "{}"),
    ("text", "scrape_protocols: [PrometheusText0.0.4]"),
    ("text1", "scrape_protocols: [PrometheusText1.0.0]"),
    ("openmetrics", "scrape_protocols: [OpenMetricsText1.0.0]"),
    ("native", "{scrape_native_histograms: true, always_scrape_classic_histograms: true}"),
    ("underscores", "metric_name_escaping_scheme: underscores"),
    ("dots", "metric_name_escaping_scheme: dots"),
    ("values", "metric_name_escaping_scheme: values"),
];

/// A Prometheus with a folder, which goes with it.
pub(crate) struct Scraper {
    process: Option<Process>,
    pub(crate) prometheus: Prometheus,
    folder: PathBuf,
}

/// What most tests look at.
pub(crate) struct Scene {
    pub(crate) scraper: Scraper,
    /// The name of each gateway, which its series have as a label.
    pub(crate) gateways: Vec<(&'static str, Gateway)>,
    /// Of the samples that have one; in milliseconds.
    pub(crate) time_of_samples: i64,
}

static SCENE: Mutex<Option<Result<Arc<Scene>, String>>> = Mutex::new(None);

/// The scene; made when the first test asks for it.
pub(crate) fn scene() -> anyhow::Result<Arc<Scene>> {
    let mut scene = SCENE.lock().unwrap_or_else(PoisonError::into_inner);
    let made = scene.get_or_insert_with(|| Scene::make().map(Arc::new).map_err(|error| format!("{error:#}")));
    made.clone().map_err(anyhow::Error::msg)
}

/// Ends what belongs to the scene.
pub(crate) fn end() {
    drop(SCENE.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// Waits for what a test waits for.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

#[expect(clippy::disallowed_methods, reason = "Prometheus drops samples whose time is not about now")]
fn now() -> anyhow::Result<i64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(i64::try_from(now.as_millis())?)
}

// === impl Scraper ===

impl Scraper {
    /// Scrapes each target every second in each of the ways. Series have the labels `way` and `gateway`. Features are
    /// each preceded by a comma.
    pub(crate) fn start(
        targets: &[(&str, SocketAddr)],
        ways: &[(&str, &str)],
        more_features: &str,
    ) -> anyhow::Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("sidegate-scraped-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let mut scraper = Self { process: None, prometheus: Prometheus::here(([0; 4], 0).into()), folder };
        let file = scraper.folder.join("prometheus.yml");
        fs::write(&file, configuration(targets, ways)?)?;
        let program = Parts::find_or_build_prometheus()?.program("prometheus")?;
        let process = Process::start(
            &program,
            &[
                format!("--config.file={}", file.display()),
                format!("--storage.tsdb.path={}", scraper.folder.join("data").display()),
                "--web.listen-address=127.0.0.1:0".to_owned(),
                format!("--enable-feature=exemplar-storage{more_features}"),
                // Else it takes five seconds to know its targets.
                "--scrape.discovery-reload-interval=100ms".to_owned(),
                "--log.level=debug".to_owned(),
            ],
        )?;
        scraper.prometheus = Prometheus::here(process.address("\"Listening on\"")?);
        scraper.process = Some(process);
        Ok(scraper)
    }

    pub(crate) fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        drop(self.process.take());
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn configuration(targets: &[(&str, SocketAddr)], ways: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut jobs = Vec::new();
    for (way, settings) in ways {
        let labels = |gateway: &str| serde_json::json!({ "gateway": gateway, "way": way });
        let target = |(gateway, address): &(&str, SocketAddr)| serde_json::json!({ "targets": [address.to_string()], "labels": labels(gateway) });
        let targets: Vec<_> = targets.iter().map(target).collect();
        let mut job: serde_json::Map<_, _> = serde_yaml::from_str(settings)?;
        job.insert("job_name".to_owned(), format!("scrape-{way}").into());
        job.entry("honor_labels").or_insert(true.into());
        job.insert("static_configs".to_owned(), targets.into());
        jobs.push(job);
    }
    let global = serde_json::json!({ "scrape_interval": "1s", "scrape_timeout": "1s" });
    // YAML is a superset of JSON.
    Ok(serde_json::json!({ "global": global, "scrape_configs": jobs }).to_string())
}

// === impl Scene ===

impl Scene {
    fn make() -> anyhow::Result<Self> {
        let now = now()?;
        let utf8 = "--push.enable-utf8-names";
        let random = |is_classic, flags| {
            let gateway = Gateway::start(flags)?;
            for push in random::any_pushes(is_classic)? {
                push.answer(gateway.address)?;
            }
            anyhow::Ok(gateway)
        };
        let gateways = vec![
            ("classic", Gateway::with(&[], &hostile::classic())?),
            ("names", Gateway::with(&[utf8], &hostile::names())?),
            ("random", random(true, &[])?),
            ("random_names", random(false, &[utf8])?),
            ("timed", Gateway::with(&["--push.timestamps=honor"], &hostile::timed(now))?),
        ];
        let targets: Vec<_> = gateways.iter().map(|(name, gateway)| (*name, gateway.address)).collect();
        let scene =
            Self { scraper: Scraper::start(&targets, &WAYS, "")?, gateways, time_of_samples: now - hostile::BEFORE };
        block_on(scene.is_scraped()).with_context(|| scene.scraper.log())?;
        Ok(scene)
    }

    /// Waits until everything was scraped twice: some mistakes show at the second time.
    async fn is_scraped(&self) -> anyhow::Result<()> {
        let expected = self.gateways.len() * WAYS.len();
        wait::until("two scrapes of each gateway in each way", LIMIT, || async {
            let scraped = self.scraper.prometheus.query("sum_over_time(up[1m]) >= 2").await?;
            Ok((scraped.len() == expected).then_some(()))
        })
        .await
    }
}
