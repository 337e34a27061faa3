//! Whatever is sent, in whatever order and under whatever settings: no failure of ours, a refusal that can be read, no
//! redirect of a push, and pages that read back in every format.
//!
//! *Never:* which answer a request should get.

use std::{collections::BTreeMap, fmt, fs, io::Write, path::Path, sync::LazyLock, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, Uri},
};
use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use http_body_util::BodyExt;
use proptest::{prelude::*, sample::select, test_runner::Config};
use protocol::{NameValidation, signed_request::SignatureHeader};
use sidecar::{
    exposition::{measurement::Naming, openmetrics, protobuf, text},
    http::{AppState, Listener, Settings, router, scrape_router},
    store::{Rules, Store, Timestamps},
};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

/// Enough to be quick; more with `PROPTEST_CASES`.
const CASES: u32 = 60;

const METHODS: [&str; 12] =
    ["PUT", "PUT", "PUT", "POST", "POST", "GET", "GET", "DELETE", "HEAD", "OPTIONS", "PATCH", "put"];

const PREFIXES: [&str; 3] = ["", "/p", "/a.b/c"];

const NAMES: [&str; 22] = [
    "instance",
    "a",
    "a",
    "b",
    "job",
    "a@base64",
    "job@base64",
    "%61",
    "%zz",
    "%ff",
    "",
    ".",
    "..",
    "__x",
    "U__a_2e_b",
    "U__",
    "a.b",
    "%C3%A4",
    "le",
    "quantile",
    "measurement",
    "x%00",
];

const VALUES: [&str; 20] = [
    "x",
    "x",
    "y",
    "1",
    "",
    ".",
    "..",
    "%2F",
    "%2f%2E%2e",
    "YQ==",
    "YQ",
    "=",
    "L3Zhcg",
    "a+b",
    "%C3%A4",
    "%ff",
    "%",
    "x%00",
    "%0A%22%5C",
    "*",
];

/// Paths behind the prefix that are no groups, or hardly.
const PLACES: [&str; 34] = [
    "",
    "/",
    "/status",
    "/status?q=j&after=x",
    "/?q=%ff&q=&after=%2Fmetrics%2Fjob%2Fj&limit=-1",
    "/metrics",
    "/metrics?name[]=x&name%5B%5D=push_time_seconds",
    "/metrics/",
    "/metrics//",
    "/metrics?name[]=%ff&&=",
    "/METRICS/job/j",
    "//metrics/job/j",
    "/page",
    "/page/",
    "/-/healthy",
    "/-/ready",
    "/-/ready/",
    "/-/quit",
    "/-/QUIT",
    "/-/../metrics/job/j",
    "/api/v1",
    "/api/v1/",
    "/api/v1/status",
    "/api/v1/STATUS",
    "/api/v1/metrics",
    "/api/v1/metrics?group=/metrics/job/j",
    "/api/v1/metrics?group=job/j/a/x",
    "/api/v1/metrics?group=&group=%ff%zz",
    "/api/v1/groups",
    "/api/v1/groups?match[]={job=%22j%22}&dryRun=1",
    "/api/v1/groups?dryRun=maybe",
    "/api/v1/groups?match[]=x&other=1",
    "/api/v1/nothing",
    "*",
];

const CONTENT_TYPES: [&str; 3] = [
    "text/plain; version=0.0.4",
    "application/openmetrics-text; version=1.0.0",
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
];

const HEADERS: [(&str, &[&str]); 13] = [
    (
        "content-type",
        &[
            "",
            ";",
            "text",
            "a/b;c=\"",
            "application/openmetrics-text;;",
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text",
        ],
    ),
    ("content-encoding", &["", "identity", "gzip", "gzip, gzip", "deflate", "snappy", "zstd", "br", "\"", "GZIP "]),
    ("content-length", &["99999999999999999999", "-1", "x", "70000"]),
    (
        "accept",
        &[
            "",
            "*/*",
            "text/html",
            "application/openmetrics-text;q=nan, */*;q=1e9",
            ";=,\"",
            "text/plain;escaping=dots;q=2",
        ],
    ),
    ("accept-encoding", &["gzip", "zstd", "gzip;q=0, zstd;q=x, *", ",;"]),
    ("sidegate-stale-after", &["90s", "0", "1h30m", "99999999999999999y", "-1s", "ä", ""]),
    ("sidegate-push-time", &["1", "0", "1e300", "-1", "NaN", "soon", ""]),
    ("sidegate-push-failure-time", &["1", "0", "2.5", "inf", "soon"]),
    ("sidegate-if-push-time", &["1", "0", "-0", "NaN", "soon", "1e999"]),
    ("sidegate-signature", &["", "v1", "v1.1.x.y", "v2....", "Bearer x"]),
    ("sidegate-operator-read", &["1", ""]),
    ("x-prometheus-scrape-timeout-seconds", &["10", "x"]),
    ("origin", &["http://other", "null"]),
];

const LINES: [&str; 26] = [
    "x 1",
    "x{a=\"b\"} 2",
    "x{a=\"c\",job=\"other\"} -0 1000",
    "# TYPE x gauge",
    "# TYPE x counter",
    "# HELP x of \\\\ and \\n",
    "# TYPE h histogram",
    "h_bucket{le=\"1\"} 1",
    "h_bucket{le=\"+Inf\"} 3 # {trace_id=\"abc\"} 0.5 12.5",
    "h_sum 2.5",
    "h_count 3",
    "h 1",
    "# TYPE s summary",
    "s{quantile=\"0.5\"} NaN",
    "s_sum 1\ns_count 2",
    "# TYPE c counter\nc_total 3 # {a=\"b\"} 1\nc_created 12.125",
    "# TYPE c_seconds gauge\n# UNIT c_seconds seconds\nc_seconds 1",
    "# TYPE i info\ni_info{version=\"1\"} 1",
    "# TYPE st stateset\nst{st=\"on\"} 1\nst{st=\"off\"} 0",
    "{\"a.b\",\"c d\"=\"e\"} 1",
    "# TYPE \"a.b\" gauge",
    "a_b 1",
    "push_time_seconds 5",
    "sidegate_scrapes_total{a=\"b\"} 1",
    "a_x 1\nb_x 2",
    "# EOF",
];

/// How each format is asked for.
const FORMATS: [&str; 10] = [
    "text/plain;version=0.0.4",
    "text/plain;version=1.0.0;escaping=allow-utf-8",
    "text/plain;escaping=dots",
    "text/plain;escaping=values",
    "application/openmetrics-text;version=1.0.0",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=allow-utf-8",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=compact-text",
];

/// What the fuzzer starts from: bodies of each format, by the place of the format among [`CONTENT_TYPES`].
static SEEDS: LazyLock<[Vec<Vec<u8>>; 3]> = LazyLock::new(|| {
    ["text", "openmetrics", "protobuf"].map(|format| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(format);
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let by_path: BTreeMap<_, _> = files.map(|file| (file.clone(), fs::read(file).unwrap())).collect();
        by_path.into_values().collect()
    })
});

/// Whom the requests are sent to.
#[derive(Clone, Debug)]
struct Setup {
    settings: Settings,
    rules: Rules,
    listener: Listener,
    /// Whether the process knows its pod, and where keys would be; with default settings.
    trusts: bool,
}

#[derive(Clone)]
struct Sent {
    to_scrape_port: bool,
    method: &'static str,
    has_prefix: bool,
    path: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

struct Sidecar {
    runtime: Runtime,
    push: Router,
    scrape: Router,
    settings: Settings,
}

fn setup() -> impl Strategy<Value = Setup> {
    let text = |name: &'static str| prop_oneof![2 => Just(None), 1 => Just(Some(name.to_owned()))];
    let naming = (text("m"), any::<bool>(), any::<bool>())
        .prop_map(|(name, job_as_measurement, keep_metric_name)| Naming { name, job_as_measurement, keep_metric_name });
    let naming = prop_oneof![2 => Just(None), 1 => naming.prop_map(Some)];
    let flags = any::<[bool; 6]>();
    let paths = (select(&PREFIXES[..]), select(&["/metrics", "/metrics", "/page"][..]));
    let timestamps = select(&[Timestamps::Reject, Timestamps::Strip, Timestamps::Honor][..]);
    let limits = (select(&[1 << 20, 1 << 20, 60][..]), prop::option::of((1..100_u64).prop_map(Duration::from_secs)));
    let listener = select(&[Listener::Single, Listener::Push][..]);
    (naming, flags, paths, timestamps, limits, listener, prop::bool::weighted(0.1)).prop_map(
        |(measurement, flags, (prefix, page), timestamps, (max_body_bytes, stale_after), listener, trusts)| {
            let [utf8, is_unchecked, missing_job, has_admin_api, has_lifecycle_api, links] = flags;
            let settings = Settings {
                route_prefix: prefix.into(),
                telemetry_path: page.into(),
                link_prefix: if links { prefix.into() } else { "".into() },
                max_body_bytes,
                names: if utf8 { NameValidation::Utf8 } else { NameValidation::Legacy },
                measurement,
                is_unchecked,
                allows_missing_job: missing_job,
                has_admin_api,
                has_lifecycle_api,
                ..Settings::default()
            };
            let settings = if trusts { Settings::default() } else { settings };
            Setup { settings, rules: Rules { timestamps, stale_after }, listener, trusts }
        },
    )
}

fn group_path() -> impl Strategy<Value = String> {
    let start = select(
        &[
            "/metrics/job/j",
            "/metrics/job/j",
            "/metrics/job@base64/ag",
            "/metrics/job%40base64/ag==",
            "/metrics/job/",
            "/metrics",
            "/metrics/",
        ][..],
    );
    let pair = (select(&NAMES[..]), select(&VALUES[..])).prop_map(|(name, value)| format!("/{name}/{value}"));
    let pair = prop_oneof![6 => pair, 1 => select(&VALUES[..]).prop_map(|value| format!("/{value}"))];
    (start, prop::collection::vec(pair, 0..4), select(&["", "", "", "/", "?a=b"][..]))
        .prop_map(|(start, pairs, end)| format!("{start}{}{end}", pairs.concat()))
}

fn path() -> impl Strategy<Value = String> {
    let encoded =
        |text: String| percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let matcher = (
        select(&["job", "a", "instance", "__name__", "", "ä"][..]),
        select(&["=", "!=", "=~", "!~", "~"][..]),
        "[jx.*+()\\[\\]|\\\\^$\"]{0,6}",
    );
    let selector = prop_oneof![
        3 => matcher.prop_map(|(name, operator, value)| format!("{{{name}{operator}\"{value}\"}}")),
        1 => "[{}a=~!\"'`,\\\\ \n\u{e4}]{0,12}",
    ];
    let selector = (selector, select(&["", "&dryRun=1", "&dryRun=0"][..]))
        .prop_map(move |(selector, end)| format!("/api/v1/groups?match[]={}{end}", encoded(selector)));
    let group = (select(&["", "x"][..]), group_path())
        .prop_map(move |(end, path)| format!("/api/v1/metrics?group={}{end}", encoded(path)));
    let page = (any::<String>(), any::<String>())
        .prop_map(move |(q, after)| format!("/?q={}&after={}", encoded(q), encoded(after)));
    prop_oneof![
        6 => group_path(),
        3 => select(&PLACES[..]).prop_map(str::to_owned),
        1 => selector,
        1 => group,
        1 => page,
        1 => "(/metrics|/api/v1|/-)?/[!-~]{0,12}",
    ]
}

fn header() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    select(&HEADERS[..]).prop_flat_map(|(name, values)| {
        let value = prop_oneof![
            8 => select(values).prop_map(|value| value.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..12),
        ];
        (Just(name), value)
    })
}

/// A signature as it should look, of this moment.
fn signed() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    (any::<u8>(), any::<bool>()).prop_map(|(nonce, is_now)| {
        #[expect(clippy::disallowed_methods, reason = "the router under test goes by this clock")]
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let signed_at = if is_now { now } else { u64::MAX };
        let header = SignatureHeader { signed_at, nonce: [nonce; 16], signature: [nonce; 64] };
        vec![("sidegate-signature", header.to_string().into_bytes()), ("sidegate-if-push-time", b"1".to_vec())]
    })
}

/// A body and the place of its format.
fn plain_body() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let lines = prop::collection::vec(select(&LINES[..]), 0..7).prop_map(|lines| format!("{}\n", lines.join("\n")));
    let labelled = (any::<String>(), any::<f64>()).prop_map(|(value, number)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("x{{a=\"{value}\"}} {number}\n")
    });
    let text = prop_oneof![4 => lines, 1 => labelled];
    let generated = (text, 0..3_usize).prop_map(|(body, format)| {
        let newer = || openmetrics::decode(body.as_bytes(), NameValidation::Utf8).ok();
        let families = text::decode(body.as_bytes(), NameValidation::Utf8).ok().or_else(newer);
        match families {
            Some(families) if format == 2 => (format, protobuf::encode(&families)),
            Some(_) | None => (format, body.into_bytes()),
        }
    });
    let seed = (0..3_usize).prop_flat_map(|format| (Just(format), select(SEEDS[format].clone())));
    let bytes = (0..3_usize, prop::collection::vec(any::<u8>(), 0..60));
    prop_oneof![6 => generated, 2 => seed, 1 => bytes]
}

fn encoded(name: &str, plain: Vec<u8>) -> Vec<u8> {
    match name {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&plain).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&plain).unwrap();
            encoder.finish().unwrap()
        }
        "snappy" => snap::raw::Encoder::new().compress_vec(&plain).unwrap(),
        "zstd" => zstd::encode_all(&*plain, 1).unwrap(),
        _ => plain,
    }
}

/// A body with the headers that belong to it, or nearly.
fn body() -> impl Strategy<Value = (Vec<(&'static str, Vec<u8>)>, Vec<u8>)> {
    let changes = || prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..3)];
    let encoding = prop_oneof![3 => Just(""), 1 => select(&["gzip", "deflate", "snappy", "zstd"][..])];
    (plain_body(), changes(), encoding, changes()).prop_map(|((format, mut body), before, encoding, after)| {
        let change = |body: &mut Vec<u8>, changes: Vec<(prop::sample::Index, u8)>| {
            for (place, byte) in changes.into_iter().filter(|_| !body.is_empty()).collect::<Vec<_>>() {
                let place = place.index(body.len());
                body[place] = byte;
            }
        };
        change(&mut body, before);
        let mut body = encoded(encoding, body);
        change(&mut body, after);
        let mut headers = vec![("content-type", CONTENT_TYPES[format].as_bytes().to_vec())];
        if !encoding.is_empty() {
            headers.push(("content-encoding", encoding.as_bytes().to_vec()));
        }
        (headers, body)
    })
}

fn sent() -> impl Strategy<Value = Sent> {
    let odd = prop_oneof![4 => Just(Vec::new()), 2 => prop::collection::vec(header(), 1..4), 1 => signed()];
    let to = (prop::bool::weighted(0.2), prop::bool::weighted(0.85));
    (to, select(&METHODS[..]), path(), body(), odd).prop_map(
        |((to_scrape_port, has_prefix), method, path, (mut headers, body), odd)| {
            headers.extend(odd);
            Sent { to_scrape_port, method, has_prefix, path, headers, body }
        },
    )
}

// === impl Sent ===

/// As somebody would type it.
impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to_scrape_port, method, has_prefix, path, headers, body } = self;
        let port = if *to_scrape_port { "scrape port" } else { "push port" };
        let prefix = if *has_prefix { "P" } else { "" };
        write!(f, "{port}: {method} {prefix}{path}")?;
        headers.iter().try_for_each(|(name, value)| write!(f, "  {name}: {}", value.escape_ascii()))?;
        write!(f, "  body=b\"{}\"", body.escape_ascii())
    }
}

// === impl Sidecar ===

impl Sidecar {
    fn new(setup: Setup) -> Self {
        let Setup { settings, rules, listener, trusts } = setup;
        let store = Store::with(rules);
        let state = if trusts {
            AppState::trusting(store, std::env::temp_dir().join("sidegate-no-such-folder"), "uid".to_owned())
        } else {
            AppState::with(store, settings.clone())
        };
        let runtime = Builder::new_current_thread().build().unwrap();
        Self { runtime, push: router(state.on(listener)), scrape: scrape_router(state), settings }
    }

    fn call(&self, router: &Router, request: Request<Body>) -> (u16, Vec<u8>) {
        self.runtime.block_on(async {
            let response = router.clone().oneshot(request).await.unwrap();
            (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes().to_vec())
        })
    }

    fn get(&self, router: &Router, path: &str, accept: &str) -> Vec<u8> {
        let (status, body) =
            self.call(router, Request::get(path).header("accept", accept).body(Body::empty()).unwrap());
        assert_eq!(status, 200, "{path} as {accept}: {}", String::from_utf8_lossy(&body));
        body
    }

    /// Sends it, if it is a request at all, and looks at the answer.
    fn send(&self, sent: Sent) {
        let prefix = if sent.has_prefix && !sent.to_scrape_port { &*self.settings.route_prefix } else { "" };
        let Ok(uri) = format!("{prefix}{}", sent.path).parse::<Uri>() else { return };
        let is_push = self.is_push_path(&sent, uri.path());
        let mut request = Request::builder().method(sent.method).uri(uri);
        for (name, value) in &sent.headers {
            let Ok(value) = HeaderValue::from_bytes(value) else { return };
            request = request.header(*name, value);
        }
        let router = if sent.to_scrape_port { &self.scrape } else { &self.push };
        let (status, body) = self.call(router, request.body(Body::from(sent.body)).unwrap());
        let answer = String::from_utf8_lossy(&body);
        assert!(status < 500, "{status} {answer}");
        assert!(!is_push || !(300..400).contains(&status), "a push is sent elsewhere: {status}");
        if 400 <= status && sent.method != "HEAD" {
            is_a_refusal(&answer);
        }
    }

    fn is_push_path(&self, sent: &Sent, path: &str) -> bool {
        let prefix = if sent.to_scrape_port { "" } else { &*self.settings.route_prefix };
        let changes = ["PUT", "POST", "DELETE"].contains(&sent.method);
        match path.strip_prefix(prefix).and_then(|path| path.strip_prefix("/metrics")) {
            Some("") => changes,
            Some(rest) => rest.starts_with('/') && (changes || rest.starts_with("/job")),
            None => false,
        }
    }

    fn pages_read_back(&self) {
        let page = format!("{}{}", self.settings.route_prefix, self.settings.telemetry_path);
        for (router, path, formats) in [(&self.scrape, "/metrics", &FORMATS[..]), (&self.push, &*page, &FORMATS[..1])] {
            for accept in formats {
                reads_back(accept, self.get(router, path, accept));
            }
        }
    }

    fn documents_read_back(&self) {
        let prefix = &self.settings.route_prefix;
        for path in ["/api/v1/status", "/api/v1/metrics"] {
            let json = self.get(&self.push, &format!("{prefix}{path}"), "*/*");
            serde_json::from_slice::<serde_json::Value>(&json).unwrap();
        }
        let html = self.get(&self.push, &format!("{prefix}/status"), "*/*");
        assert!(String::from_utf8(html).unwrap().trim_end().ends_with("</html>"));
    }
}

/// A line, or one that says how many follow and those.
#[track_caller]
fn is_a_refusal(answer: &str) {
    if ["Lifecycle API is not enabled.", "Only POST or PUT requests allowed."].contains(&answer) {
        return;
    }
    let sentence = answer.strip_suffix('\n').unwrap_or_else(|| panic!("no line: {answer:?}"));
    let (first, rest) = sentence.split_once('\n').unwrap_or((sentence, ""));
    assert!(!first.is_empty() && rest.lines().all(|line| line.starts_with("* ")), "{answer:?}");
    assert!(rest.is_empty() || first.ends_with(" error(s) occurred:"), "{answer:?}");
    assert!(!answer.contains(|c: char| c.is_control() && c != '\n'), "{answer:?}");
}

#[track_caller]
fn reads_back(accept: &str, page: Vec<u8>) {
    let is_utf8 = accept.contains("allow-utf-8");
    let names = if is_utf8 { NameValidation::Utf8 } else { NameValidation::Legacy };
    let shown = String::from_utf8_lossy(&page).into_owned();
    let failed = |error: String| -> usize { panic!("{accept}: {error}\n{shown}") };
    let families = match accept {
        _ if accept.starts_with("text/plain") => {
            text::decode(&page, names).map_or_else(|error| failed(error.to_string()), |families| families.len())
        }
        _ if accept.starts_with("application/openmetrics-text") => {
            openmetrics::decode(&page, names).map_or_else(|error| failed(error.to_string()), |families| families.len())
        }
        _ if accept.contains("encoding=delimited") => {
            protobuf::decode(&page.into()).map_or_else(|error| failed(error.to_string()), |families| families.len())
        }
        _ => shown.matches("name: \"pushgateway_build_info\"").count(),
    };
    assert!(0 < families, "{accept}: {shown}");
}

#[test]
fn anything_may_be_sent() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    proptest!(config, |(setup in setup(), requests in prop::collection::vec(sent(), 1..8))| {
        let sidecar = Sidecar::new(setup);
        for request in requests {
            sidecar.send(request);
            sidecar.pages_read_back();
        }
        sidecar.documents_read_back();
    });
}
