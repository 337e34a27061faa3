//! What guides to the Pushgateway tell their readers to do, done as they say, with the real curl; and what happens.
//!
//! The README has a table of the same rows.

use crate::{
    curl::curl,
    gateway::{Gateway, request, scrape},
    readme::check_table,
};

/// One advice.
struct Row {
    /// As in the README.
    name: &'static str,
    calls: &'static [Call],
    /// Lines of the page afterwards, ends included.
    shows: &'static [&'static str],
    /// What is nowhere on the page.
    hides: &'static [&'static str],
}

struct Call {
    by: By,
    status: u16,
    /// All of the answer where it is empty or ends in a line feed, else a part of it.
    says: &'static str,
}

enum By {
    /// Arguments and standard input.
    Curl(&'static [&'static str], &'static str),
    /// Method, path, headers and body.
    Client(&'static str, &'static str, &'static [&'static str], &'static str),
}

const fn ok(args: &'static [&'static str], stdin: &'static str) -> Call {
    Call { by: By::Curl(args, stdin), status: 200, says: "" }
}

const fn deletes(args: &'static [&'static str]) -> Call {
    Call { by: By::Curl(args, ""), status: 202, says: "" }
}

const fn refused(args: &'static [&'static str], stdin: &'static str, says: &'static str) -> Call {
    Call { by: By::Curl(args, stdin), status: 400, says }
}

const ADVICE: &str =
    "write `/` in a value as `%2F`, or put the value in base64, make it with `base64 -w0 | tr '+/' '-_'`\n";
const NOTHING_PUSHED: &[&str] = &["push_time_seconds{"];

const ROWS: &[Row] = &[
    Row {
        name: "one sample by `echo` and `curl --data-binary @-`",
        calls: &[ok(&["--data-binary", "@-", "/metrics/job/some_job"], "some_metric 3.14\n")],
        shows: &["# TYPE some_metric untyped\nsome_metric{instance=\"\",job=\"some_job\"} 3.14\n"],
        hides: &[],
    },
    Row {
        name: "several samples by a here-document, TYPE before HELP",
        calls: &[ok(
            &["--data-binary", "@-", "/metrics/job/some_job/instance/some_instance"],
            "  # TYPE some_metric counter\n  some_metric{label=\"val1\"} 42\n  # TYPE another_metric gauge\n  \
             # HELP another_metric Just an example.\n  another_metric 2398.283\n",
        )],
        shows: &[
            "# TYPE some_metric counter\n\
             some_metric{instance=\"some_instance\",job=\"some_job\",label=\"val1\"} 42\n",
            "# HELP another_metric Just an example.\n# TYPE another_metric gauge\n\
             another_metric{instance=\"some_instance\",job=\"some_job\"} 2398.283\n",
        ],
        hides: &[],
    },
    Row {
        name: "curl's own Content-Type, `application/x-www-form-urlencoded`",
        calls: &[ok(&["--data-binary", "@-", "/metrics/job/j"], "x{q=\"a=b&c=d+e%20\"} 1\n")],
        shows: &["x{instance=\"\",job=\"j\",q=\"a=b&c=d+e%20\"} 1\n"],
        hides: &[],
    },
    Row {
        name: "`curl -d` with one line",
        calls: &[ok(&["-d", "x 1", "/metrics/job/j"], ""), ok(&["-d", "@-", "/metrics/job/k"], "x 2\n")],
        shows: &["x{instance=\"\",job=\"j\"} 1\n", "x{instance=\"\",job=\"k\"} 2\n"],
        hides: &[],
    },
    Row {
        name: "`curl -d` with a variable of several lines",
        calls: &[ok(
            &["--data", "cpu_usage{process=\"a\"} 1\ncpu_usage{process=\"b\"} 2", "/metrics/job/top/instance/machine"],
            "",
        )],
        shows: &["cpu_usage{instance=\"machine\",job=\"top\",process=\"b\"} 2\n"],
        hides: &[],
    },
    Row {
        name: "`curl -d @file` with several lines",
        calls: &[refused(
            &["-d", "@-", "/metrics/job/j"],
            "x 1\ny 2\n",
            "text format parsing error in line 1, column 3: expected a number as value, found \"1y\"\n",
        )],
        shows: &[],
        hides: NOTHING_PUSHED,
    },
    Row {
        name: "no line feed behind the last line",
        calls: &[ok(&["--data-binary", "@-", "/metrics/job/j"], "x 1\ny 2")],
        shows: &["y{instance=\"\",job=\"j\"} 2\n"],
        hides: &[],
    },
    Row {
        name: "a file with the line ends of Windows",
        calls: &[ok(
            &["--data-binary", "@-", "/metrics/job/j"],
            "# TYPE x gauge\r\n# HELP x Help.\r\nx{a=\"b\"} 1\r\n",
        )],
        shows: &["# HELP x Help.\n# TYPE x gauge\nx{a=\"b\",instance=\"\",job=\"j\"} 1\n"],
        hides: &["\r"],
    },
    Row {
        name: "`curl -T -`: chunked, with `Expect: 100-continue`",
        calls: &[
            ok(&["-T", "-", "/metrics/job/j"], "x 1\n"),
            ok(&["-H", "Expect: 100-continue", "-T", "-", "/metrics/job/j"], "y 1\n"),
        ],
        shows: &["y{instance=\"\",job=\"j\"} 1\n"],
        hides: &["\nx{"],
    },
    Row {
        name: "PUT replaces all of a group, POST the metrics of the same name",
        calls: &[
            ok(&["-X", "PUT", "--data-binary", "@-", "/metrics/job/j"], "a{n=\"1\"} 1\nb 1\n"),
            ok(&["--data-binary", "@-", "/metrics/job/j"], "a{n=\"2\"} 2\n"),
            ok(&["-X", "PUT", "--data-binary", "@-", "/metrics/job/k"], "b 1\n"),
            ok(&["-X", "PUT", "--data-binary", "@-", "/metrics/job/k"], "c 1\n"),
        ],
        shows: &[
            "a{instance=\"\",job=\"j\",n=\"2\"} 2\n",
            "b{instance=\"\",job=\"j\"} 1\n",
            "c{instance=\"\",job=\"k\"} 1\n",
        ],
        hides: &["n=\"1\"", "b{instance=\"\",job=\"k\"}"],
    },
    Row {
        name: "a push of nothing",
        calls: &[
            ok(&["-X", "POST", "/metrics/job/j"], ""),
            ok(&["-X", "PUT", "-H", "Content-Length: 0", "/metrics/job/k"], ""),
        ],
        shows: &["push_failure_time_seconds{instance=\"\",job=\"j\"} 0\n"],
        hides: &["push_time_seconds{instance=\"\",job=\"j\"} 0\n", "push_time_seconds{instance=\"\",job=\"k\"} 0\n# "],
    },
    Row {
        name: "DELETE with all labels of the group",
        calls: &[
            ok(&["-d", "x 1", "/metrics/job/some_job/instance/some_instance"], ""),
            ok(&["-d", "x 2", "/metrics/job/some_job"], ""),
            deletes(&["-X", "DELETE", "/metrics/job/some_job/instance/some_instance"]),
        ],
        shows: &["x{instance=\"\",job=\"some_job\"} 2\n"],
        hides: &["some_instance"],
    },
    Row {
        name: "DELETE by the job alone",
        calls: &[
            ok(&["-d", "x 1", "/metrics/job/some_job/instance/some_instance"], ""),
            ok(&["-d", "x 2", "/metrics/job/some_job"], ""),
            deletes(&["-X", "DELETE", "/metrics/job/some_job"]),
        ],
        shows: &["x{instance=\"some_instance\",job=\"some_job\"} 1\n"],
        hides: &["x{instance=\"\""],
    },
    Row {
        name: "DELETE of one group among several of a job",
        calls: &[
            ok(&["-d", "x 1", "/metrics/job/j/instance/a"], ""),
            ok(&["-d", "x 2", "/metrics/job/j/instance/b"], ""),
            ok(&["-d", "x 3", "/metrics/job/j/instance/b/zone/1"], ""),
            deletes(&["-X", "DELETE", "/metrics/job/j/instance/b"]),
            deletes(&["-X", "DELETE", "/metrics/job/j/instance/c"]),
        ],
        shows: &["x{instance=\"a\",job=\"j\"} 1\nx{instance=\"b\",job=\"j\",zone=\"1\"} 3\n"],
        hides: &["x{instance=\"b\",job=\"j\"}"],
    },
    Row {
        name: "a label in the body that is in the path as well",
        calls: &[ok(
            &["--data-binary", "@-", "/metrics/job/path/instance/path"],
            "x{job=\"other\",instance=\"other\"} 1\n",
        )],
        shows: &["x{instance=\"path\",job=\"path\"} 1\n"],
        hides: &["\"other\""],
    },
    Row {
        name: "a label in the body that is not in the path",
        calls: &[ok(&["--data-binary", "@-", "/metrics/job/path"], "x{instance=\"body\"} 1\n")],
        shows: &["x{instance=\"body\",job=\"path\"} 1\n", "push_failure_time_seconds{instance=\"\",job=\"path\"} 0\n"],
        hides: &[],
    },
    Row {
        name: "a slash at the end of the path",
        calls: &[
            ok(&["-d", "x 1", "/metrics/job/j/"], ""),
            ok(&["-d", "x 2", "/metrics/job/k/zone/"], ""),
            refused(
                &["-d", "x 3", "/metrics/job/l/zone/1/"],
                "",
                "odd number of components in label string \"zone/1/\": expected a value after each label name; ",
            ),
        ],
        shows: &["x{instance=\"\",job=\"j\"} 1\nx{instance=\"\",job=\"k\",zone=\"\"} 2\n"],
        hides: &["job=\"l\""],
    },
    Row {
        name: "a `/` in a value, as it is",
        calls: &[
            refused(
                &["-d", "x 1", "/metrics/job/directory_cleaner/path/var/tmp"],
                "",
                "odd number of components in label string \"path/var/tmp\": expected a value after each label name; ",
            ),
            refused(&["-d", "x 1", "/metrics/job/directory_cleaner/path/var/tmp"], "", ADVICE),
            ok(&["-d", "x 1", "/metrics/job/directory_cleaner/path//var/tmp"], ""),
        ],
        shows: &["x{instance=\"\",job=\"directory_cleaner\",path=\"\",var=\"tmp\"} 1\n"],
        hides: &[],
    },
    Row {
        name: "a `/` in a value, as `%2F`",
        calls: &[ok(&["-d", "x 1", "/metrics/job/directory_cleaner/path/%2Fvar%2Ftmp"], "")],
        shows: &["x{instance=\"\",job=\"directory_cleaner\",path=\"/var/tmp\"} 1\n"],
        hides: &[],
    },
    Row {
        name: "a `/` in a value, by `@base64`",
        calls: &[
            ok(&["-d", "x 1", "/metrics/job/directory_cleaner/path@base64/L3Zhci90bXA"], ""),
            ok(&["-d", "y 1", "/metrics/job/directory_cleaner/path@base64/L3Zhci90bXA="], ""),
        ],
        shows: &[
            "x{instance=\"\",job=\"directory_cleaner\",path=\"/var/tmp\"} 1\n",
            "y{instance=\"\",job=\"directory_cleaner\",path=\"/var/tmp\"} 1\n",
        ],
        hides: &[],
    },
    Row {
        name: "an empty value, as `@base64/=`",
        calls: &[ok(&["-d", "x 1", "/metrics/job/example/first_label@base64/=/second_label/foobar"], "")],
        shows: &["x{first_label=\"\",instance=\"\",job=\"example\",second_label=\"foobar\"} 1\n"],
        hides: &[],
    },
    Row {
        name: "a job of other letters, escaped or by `@base64`",
        calls: &[
            ok(&["-d", "x 1", "/metrics/job/Pr%CE%BFmetheus"], ""),
            ok(&["-d", "y 1", "/metrics/job@base64/UHLOv21ldGhldXM="], ""),
        ],
        shows: &["x{instance=\"\",job=\"Prοmetheus\"} 1\n", "y{instance=\"\",job=\"Prοmetheus\"} 1\n"],
        hides: &[],
    },
    Row {
        name: "the output of plain `base64`, with `+` and `/`",
        calls: &[
            ok(&["-d", "x 1", "/metrics/job@base64/8J+Yig=="], ""),
            refused(&["-d", "x 1", "/metrics/job/j/path@base64/fn4/"], "", ADVICE),
            refused(
                &["-d", "x 1", "/metrics/job/j/path@base64/L3Z*"],
                "",
                "invalid base64 encoding for label \"path\": expected the URL-safe alphabet, found \"L3Z*\"; \
                 make it with `base64 -w0 | tr '+/' '-_'`\n",
            ),
        ],
        shows: &["x{instance=\"\",job=\"😊\"} 1\n"],
        hides: &["job=\"j\""],
    },
    Row {
        name: "a space in a value, as `%20` or `+`",
        calls: &[ok(&["-d", "x 1", "/metrics/job/some%20job/user/a+b"], "")],
        shows: &["x{instance=\"\",job=\"some job\",user=\"a+b\"} 1\n"],
        hides: &[],
    },
    Row {
        name: "`$JOB` in the path where the variable is empty",
        calls: &[
            refused(
                &["-d", "x 1", "/metrics/job/"],
                "",
                "job name is required: expected a value for `job`, found an empty one\n",
            ),
            refused(
                &["-d", "x 1", "/metrics/job//instance/i"],
                "",
                "job name is required: expected a value for `job`, found an empty one\n",
            ),
        ],
        shows: &[],
        hides: NOTHING_PUSHED,
    },
    Row {
        name: "no job: a push to `/metrics`",
        calls: &[Call {
            by: By::Curl(&["--data-binary", "@-", "/metrics"], "x 1\n"),
            status: 405,
            says: "Method Not Allowed\n",
        }],
        shows: &[],
        hides: NOTHING_PUSHED,
    },
    Row {
        name: "Python `requests.post` with neither Content-Type nor escaping",
        calls: &[Call {
            by: By::Client(
                "POST",
                "/metrics/job/my_job/instance/192.168.59.3:9000",
                &["user-agent: python-requests/2.31.0", "accept-encoding: gzip, deflate", "accept: */*"],
                "some_metric{type=\"a\"} 3.14\n",
            ),
            status: 200,
            says: "",
        }],
        shows: &["some_metric{instance=\"192.168.59.3:9000\",job=\"my_job\",type=\"a\"} 3.14\n"],
        hides: &[],
    },
    Row {
        name: "a client that does not escape the path at all",
        calls: &[
            Call {
                by: By::Client("PUT", "/metrics/job/größe/user/a+b&c=d;100|x\\{y}", &[], "x 1\n"),
                status: 200,
                says: "",
            },
            Call { by: By::Client("PUT", "/metrics/job/größe/user/<b>", &[], "y 1\n"), status: 400, says: "" },
            Call { by: By::Client("PUT", "/metrics/job/größe/user/`id`", &[], "y 1\n"), status: 400, says: "" },
        ],
        shows: &["x{instance=\"\",job=\"größe\",user=\"a+b&c=d;100|x\\\\{y}\"} 1\n"],
        hides: &["\ny{"],
    },
    Row {
        name: "a timestamp behind the value",
        calls: &[refused(
            &["--data-binary", "@-", "/metrics/job/j"],
            "x 1 1700000000000\n",
            "pushed metrics are invalid or inconsistent with existing metrics: \
             expected no timestamps, found one on a sample of \"x\"\n",
        )],
        shows: &["push_time_seconds{instance=\"\",job=\"j\"} 0\n"],
        hides: &["\nx{"],
    },
    Row {
        name: "a text or a unit as value",
        calls: &[
            refused(
                &["--data-binary", "@-", "/metrics/job/j"],
                "build_ok 1\nbuild_state success\n",
                "text format parsing error in line 2, column 13: expected a number as value, found \"success\"\n",
            ),
            refused(&["-d", "size 12K", "/metrics/job/j"], "", "expected a number as value, found \"12K\"\n"),
        ],
        shows: &[],
        hides: NOTHING_PUSHED,
    },
    Row {
        name: "a metric name with `-` or `.`",
        calls: &[
            refused(&["-d", "backup-size 1", "/metrics/job/j"], "", "text format parsing error in line 1, column "),
            refused(&["-d", "backup.size 1", "/metrics/job/j"], "", "text format parsing error in line 1, column "),
        ],
        shows: &[],
        hides: NOTHING_PUSHED,
    },
    Row {
        name: "the same label twice in the path",
        calls: &[refused(
            &["-d", "x 1", "/metrics/job/j/zone/1/zone/2"],
            "",
            "expected each label once in the grouping key, found \"zone\" again\n",
        )],
        shows: &[],
        hides: NOTHING_PUSHED,
    },
    Row {
        name: "one name with two types, from two jobs",
        calls: &[
            ok(&["--data-binary", "@-", "/metrics/job/a"], "# TYPE x counter\nx 1\n"),
            refused(
                &["--data-binary", "@-", "/metrics/job/b"],
                "# TYPE x gauge\nx 2\n",
                "expected \"x\" to be of type counter, as it is known already, found type gauge\n",
            ),
        ],
        shows: &["# TYPE x counter\nx{instance=\"\",job=\"a\"} 1\n"],
        hides: &["x{instance=\"\",job=\"b\"}"],
    },
    Row {
        name: "user and password where nobody asks for them",
        calls: &[ok(&["-u", "admin:secret", "-d", "x 1", "/metrics/job/j"], "")],
        shows: &["x{instance=\"\",job=\"j\"} 1\n"],
        hides: &[],
    },
    Row {
        name: "GET of what was pushed, at the path of the push",
        calls: &[
            ok(&["-d", "x 1", "/metrics/job/j"], ""),
            Call { by: By::Curl(&["/metrics/job/j"], ""), status: 405, says: "Method Not Allowed\n" },
        ],
        shows: &["x{instance=\"\",job=\"j\"} 1\n"],
        hides: &[],
    },
    Row {
        name: "`/-/healthy` and `/-/ready` as probes",
        calls: &[
            Call { by: By::Curl(&["/-/healthy"], ""), status: 200, says: "OK" },
            Call { by: By::Curl(&["/-/ready"], ""), status: 200, says: "OK" },
        ],
        shows: &[],
        hides: &[],
    },
    Row {
        name: "wiping all by `/api/v1/admin/wipe`, without its flag",
        calls: &[
            ok(&["-d", "x 1", "/metrics/job/j"], ""),
            Call { by: By::Curl(&["-X", "PUT", "/api/v1/admin/wipe"], ""), status: 404, says: "404 page not found\n" },
        ],
        shows: &["x{instance=\"\",job=\"j\"} 1\n"],
        hides: &[],
    },
];

#[test]
fn guides_are_followed_to_the_letter() {
    for Row { name, calls, shows, hides } in ROWS {
        let mut gateway = Gateway::start(&["--web.listen-address=127.0.0.1:0"]);
        let address = gateway.address("all");
        for Call { by, status, says } in *calls {
            let (found, text) = match by {
                By::Curl(args, stdin) => curl(address, args, stdin),
                By::Client(method, path, headers, body) => request(address, method, path, headers, body),
            };
            let is_whole = says.is_empty() || (says.ends_with('\n') && text.starts_with(says));
            let fits = if is_whole { text == *says } else { text.contains(says) };
            assert!(found == *status && fits, "{name}: {found} {text:?}");
        }
        let page = scrape(address);
        for expected in *shows {
            assert!(page.contains(expected), "{name}: expected {expected:?} in\n{page}");
        }
        for unexpected in *hides {
            assert!(!page.contains(unexpected), "{name}: expected no {unexpected:?} in\n{page}");
        }
    }
}

#[test]
fn the_readme_says_what_happens_to_each_of_them() {
    let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
    check_table("What guides say, what happens here", &names);
}
