//! What is sent, and to whom: settings, and requests that are ordinary, odd or broken.
//!
//! *Never:* answers.

#![expect(clippy::indexing_slicing, reason = "places are drawn from those that are there")]

use std::{collections::BTreeMap, fmt, fs, io::Write, path::Path, sync::LazyLock, time::Duration};

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use proptest::{prelude::*, sample::select};
use protocol::{NameValidation, signed_request::SignatureHeader};
use sidecar::{
    exposition::{measurement::Naming, openmetrics, protobuf, text},
    http::{BodyLimits, Listener, Settings},
    store::{Identity, IdentityRule, Rules, Timestamps},
};

const METHODS: [&str; 12] =
    ["PUT", "PUT", "PUT", "POST", "POST", "GET", "GET", "DELETE", "HEAD", "OPTIONS", "PATCH", "put"];

const PREFIXES: [&str; 3] = ["", "/p", "/a.b/c"];

const NAMES: [&str; 25] = [
    "pod",
    "namespace",
    "exported_pod",
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

const HEADERS: [(&str, &[&str]); 14] = [
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
    ("sidegate-if-push-failure-time", &["1", "0", "NaN", "soon"]),
    ("sidegate-signature", &["", "v1", "v1.1.x.y", "v2....", "Bearer x"]),
    ("sidegate-operator-read", &["1", ""]),
    ("x-prometheus-scrape-timeout-seconds", &["10", "x"]),
    ("origin", &["http://other", "null"]),
];

const LINES: [&str; 28] = [
    "x{pod=\"x\",exported_pod=\"y\"} 1",
    "x{pod=\"z\",namespace=\"\"} 1",
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

/// Families that every reader takes.
const WHOLE: [&str; 6] = [
    "x 1\nx{a=\"b\"} 2",
    "# HELP y of \\\\ and \\n\n# TYPE y gauge\ny{l=\"\\\\ \\\" \\n\"} NaN",
    "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_sum 2.5\nh_count 3",
    "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_count 2",
    "# TYPE x_total counter\nx_total{a=\"1\",measurement=\"x\"} 5",
    "u_x 1\nv_x 2",
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
pub(super) struct Setup {
    pub(super) settings: Settings,
    pub(super) rules: Rules,
    pub(super) listener: Listener,
    /// Whether the process knows its pod, and where keys would be; with default settings.
    pub(super) trusts: bool,
}

#[derive(Clone)]
pub(super) struct Sent {
    pub(super) to_scrape_port: bool,
    pub(super) method: &'static str,
    pub(super) has_prefix: bool,
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

pub(super) fn setup() -> impl Strategy<Value = Setup> {
    let text = |name: &'static str| prop_oneof![2 => Just(None), 1 => Just(Some(name.to_owned()))];
    let naming = (text("m"), any::<bool>(), any::<bool>())
        .prop_map(|(name, job_as_measurement, keep_metric_name)| Naming { name, job_as_measurement, keep_metric_name });
    let naming = prop_oneof![2 => Just(None), 1 => naming.prop_map(Some)];
    let flags = any::<[bool; 6]>();
    let paths = (select(&PREFIXES[..]), select(&["/metrics", "/metrics", "/page"][..]));
    let timestamps = select(&[Timestamps::Reject, Timestamps::Strip, Timestamps::Honor][..]);
    let limits = (
        select(&[1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 60][..]),
        prop::option::of((1..100_u64).prop_map(Duration::from_secs)),
    );
    let rule = select(&[IdentityRule::Rename, IdentityRule::Refuse, IdentityRule::Allow][..]);
    let known = |is_known: bool| is_known.then(|| "x".into());
    let identity = (any::<[bool; 2]>(), rule).prop_map(move |([pod, namespace], rule)| Identity {
        pod: known(pod),
        namespace: known(namespace),
        rule,
    });
    let listener = select(&[Listener::Single, Listener::Push][..]);
    (naming, flags, paths, (timestamps, identity), limits, listener, prop::bool::weighted(0.1)).prop_map(
        |(
            measurement,
            flags,
            (prefix, page),
            (timestamps, identity),
            (max_body_bytes, stale_after),
            listener,
            trusts,
        )| {
            let [utf8, is_unchecked, missing_job, has_admin_api, has_lifecycle_api, links] = flags;
            let settings = Settings {
                route_prefix: prefix.into(),
                telemetry_path: page.into(),
                link_prefix: if links { prefix.into() } else { "".into() },
                bodies: BodyLimits {
                    bytes: max_body_bytes,
                    decompressed_bytes: max_body_bytes,
                    ..BodyLimits::default()
                },
                names: if utf8 { NameValidation::Utf8 } else { NameValidation::Legacy },
                measurement,
                is_unchecked,
                allows_missing_job: missing_job,
                has_admin_api,
                has_lifecycle_api,
                ..Settings::default()
            };
            let settings = if trusts { Settings::default() } else { settings };
            let rules = Rules { timestamps, stale_after, identity, ..Rules::default() };
            Setup { settings, rules, listener, trusts }
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

/// The same of families that fit together.
fn whole_body() -> impl Strategy<Value = (usize, Vec<u8>)> {
    (prop::sample::subsequence(&WHOLE[..], 0..WHOLE.len()), 0..3_usize).prop_map(|(families, format)| {
        let body = format!("{}\n# EOF\n", families.join("\n"));
        match format {
            2 => (2, protobuf::encode(&openmetrics::decode(body.as_bytes(), NameValidation::Utf8).unwrap())),
            format => (format, body.into_bytes()),
        }
    })
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

/// One request in three is as clients send it, so that there is something to break.
pub(super) fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![1 => ordinary(), 2 => odd()]
}

fn ordinary() -> impl Strategy<Value = Sent> {
    let method = select(&["PUT", "PUT", "POST", "POST", "DELETE"][..]);
    let path = select(&["/metrics/job/j", "/metrics/job/j/a/x", "/metrics/job/k/instance@base64/Lw"][..]);
    (method, path, whole_body()).prop_map(|(method, path, (format, body))| Sent {
        to_scrape_port: false,
        method,
        has_prefix: true,
        path: path.to_owned(),
        headers: vec![("content-type", CONTENT_TYPES[format].as_bytes().to_vec())],
        body,
    })
}

fn odd() -> impl Strategy<Value = Sent> {
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
