//! The API server refuses a wrong `PushGroup` with a sentence that names the field.

use anyhow::ensure;
use e2e::sandbox::Sandbox;

crate::world::tests![wrong_objects_are_refused_with_a_sentence_that_names_the_field, a_full_object_is_taken];

struct Wrong {
    name: &'static str,
    spec: &'static str,
    sentence: &'static str,
}

const SELECTOR: &str = "selector: {matchLabels: {app: etl}}";

const WRONG: &[Wrong] = &[
    Wrong {
        name: "a-name-that-is-longer-than-the-fifty-characters-it-may-have",
        spec: "",
        sentence: "metadata.name: expected a DNS label that starts with a letter and has at most 50 characters",
    },
    Wrong {
        name: "\"true\"",
        spec: "",
        sentence: "metadata.name: true and false are values of the annotation sidegate.dev/inject",
    },
    Wrong {
        name: "neither",
        spec: "selector: null\n  staleAfter: 1h",
        sentence: "spec.selector: expected a selector of pods, or spec.gateway, found neither",
    },
    Wrong {
        name: "both",
        spec: "gateway: {url: \"http://pushgateway:9091\"}",
        sentence: "spec.gateway cannot stand beside spec.selector yet",
    },
    Wrong {
        name: "service-and-url",
        spec: "selector: null\n  gateway: {service: {name: pushgateway}, url: \"http://pushgateway:9091\"}",
        sentence: "spec.gateway: Invalid value: expected either service or url, found both or neither",
    },
    Wrong {
        name: "url",
        spec: "selector: null\n  gateway: {url: \"pushgateway:9091\"}",
        sentence: "spec.gateway.url: Invalid value: expected an http or https URL of a host",
    },
    Wrong {
        name: "url-with-user",
        spec: "selector: null\n  gateway: {url: \"http://me:secret@pushgateway:9091\"}",
        sentence: "spec.gateway.url: Invalid value: expected an http or https URL of a host",
    },
    Wrong {
        name: "url-with-fragment",
        spec: "selector: null\n  gateway: {url: \"http://pushgateway:9091/#a\"}",
        sentence: "spec.gateway.url: Invalid value: expected an http or https URL of a host",
    },
    Wrong {
        name: "url-with-step-up",
        spec: "selector: null\n  gateway: {url: \"http://pushgateway:9091/a/../b\"}",
        sentence: "spec.gateway.url: Invalid value: expected an http or https URL of a host",
    },
    Wrong {
        name: "url-with-wrong-port",
        spec: "selector: null\n  gateway: {url: \"http://pushgateway:70000\"}",
        sentence: "spec.gateway.url: Invalid value: expected an http or https URL of a host",
    },
    Wrong {
        name: "gateway-with-pod-monitor",
        spec: "selector: null\n  gateway: {service: {name: pushgateway}}\n  scrape: {kind: PodMonitor}",
        sentence: "spec.scrape.kind: a gateway has no pods of ours to monitor, expected ServiceMonitor or None",
    },
    Wrong {
        name: "url-with-service-monitor",
        spec: "selector: null\n  gateway: {url: \"http://pushgateway:9091\"}\n  scrape: {kind: ServiceMonitor}",
        sentence: "spec.scrape.kind: a ServiceMonitor needs a Service, expected spec.gateway.service",
    },
    Wrong {
        name: "stale-after",
        spec: "staleAfter: 1 hour",
        sentence: "spec.staleAfter: Invalid value: expected a duration such as 90s, 1h30m or 7d",
    },
    Wrong {
        name: "rule-label",
        spec: "rules: [{match: {__name: x}, staleAfter: 1h}]",
        sentence: "spec.rules[0].match: Invalid value: expected label names as keys",
    },
    Wrong {
        name: "rule-expression",
        spec: "rules: [{match: {job: \"backup-(\"}, staleAfter: 1h}]",
        sentence: "spec.rules[0].match: Invalid value",
    },
    Wrong {
        name: "rule-stale-after",
        spec: "rules: [{match: {job: x}, staleAfter: 1.5h}]",
        sentence: "spec.rules[0].staleAfter: Invalid value: expected a duration such as 90s, 1h30m or 7d",
    },
    Wrong {
        name: "kind",
        spec: "scrape: {kind: Probe}",
        sentence: "spec.scrape.kind: Unsupported value: \"Probe\": supported values: \"ServiceMonitor\", \"PodMonitor\", \"None\"",
    },
    Wrong {
        name: "interval",
        spec: "scrape: {interval: 0s}",
        sentence: "spec.scrape.interval: Invalid value: expected an interval longer than zero",
    },
    Wrong {
        name: "hold-open",
        spec: "sidecar: {holdOpen: soon}",
        sentence: "spec.sidecar.holdOpen: Invalid value: expected a duration such as 90s, 1h30m or 7d",
    },
    Wrong {
        name: "listen-address",
        spec: "sidecar: {listenAddresses: [localhost]}",
        sentence: "spec.sidecar.listenAddresses: Invalid value: expected addresses such as 127.0.0.1:4318 or [::1]:4318",
    },
    Wrong {
        name: "listen-port",
        spec: "sidecar: {listenAddresses: [\"127.0.0.1:99999\"]}",
        sentence: "spec.sidecar.listenAddresses: Invalid value: expected addresses such as 127.0.0.1:4318 or [::1]:4318",
    },
    Wrong {
        name: "listen-host",
        spec: "sidecar: {listenAddresses: [\"127.0.1:4318\"]}",
        sentence: "spec.sidecar.listenAddresses: Invalid value: expected addresses such as 127.0.0.1:4318 or [::1]:4318",
    },
    Wrong {
        name: "quantity",
        spec: "sidecar: {resources: {limits: {memory: 64mb}}}",
        sentence: "spec.sidecar.resources.limits: Invalid value: expected quantities such as 100m, 1 or 64Mi as values",
    },
    Wrong {
        name: "request-over-limit",
        spec: "sidecar: {resources: {requests: {memory: 65Mi}, limits: {memory: 64Mi}}}",
        sentence: "spec.sidecar.resources: Invalid value: expected no request to be greater than its limit",
    },
    Wrong {
        name: "duration-without-end",
        spec: "staleAfter: 99999999999y",
        sentence: "spec.staleAfter: Invalid value: expected a duration such as 90s, 1h30m or 7d",
    },
    Wrong {
        name: "route-prefix",
        spec: "sidecar: {routePrefix: prefix}",
        sentence: "spec.sidecar.routePrefix: Invalid value: expected a path such as /v1/pushgateway",
    },
    Wrong {
        name: "not-yet",
        spec: "sidecar: {timestamps: Honor}",
        sentence: "spec.sidecar.timestamps: nothing acts on it yet; leave it out",
    },
];

fn manifest(name: &str, spec: &str) -> String {
    let selector = if spec.contains("selector:") { "" } else { SELECTOR };
    format!(
        "apiVersion: sidegate.dev/v1alpha1\nkind: PushGroup\nmetadata: {{name: {name}}}\nspec:\n  {selector}\n  {spec}\n"
    )
}

async fn wrong_objects_are_refused_with_a_sentence_that_names_the_field(sandbox: Sandbox) -> anyhow::Result<()> {
    for wrong in WRONG {
        let output = sandbox.kubectl.try_apply(&sandbox.namespace, &manifest(wrong.name, wrong.spec))?;
        let answer = String::from_utf8(output.stderr)?;
        // The API server repeats the value between the field and the sentence.
        let (field, sentence) = wrong.sentence.split_once("Invalid value: ").unwrap_or((wrong.sentence, ""));
        let as_expected = !output.status.success() && answer.contains(field) && answer.contains(sentence);
        ensure!(as_expected, "{}: expected {:?}, found {answer:?}", wrong.name, wrong.sentence);
    }
    Ok(())
}

async fn a_full_object_is_taken(sandbox: Sandbox) -> anyhow::Result<()> {
    let spec = r#"
  selector: {matchExpressions: [{key: app, operator: In, values: [etl]}]}
  staleAfter: 1h30m
  rules:
    - {match: {job: "backup-.*", path: "/var/.*"}, staleAfter: 25h}
    - {match: {job: keep}}
  dryRun: true
  scrape:
    kind: PodMonitor
    interval: 30s
    labels: {release: kube-prometheus-stack}
    metricRelabelings: [{sourceLabels: [__name__], regex: "go_.*", action: drop}]
  sidecar:
    resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 64Mi, cpu: 1}}
    holdOpen: 45s
    raiseGracePeriod: true
    listenAddresses: ["127.0.0.1:4318", "[::1]:4318"]
    routePrefix: /v1/pushgateway
    log: {level: debug, format: json}"#;
    sandbox.apply(&manifest("full", spec))?;
    sandbox.apply(
        "{apiVersion: sidegate.dev/v1alpha1, kind: PushGroup, metadata: {name: gateway}, \
                   spec: {gateway: {service: {name: pushgateway}}, staleAfter: 7d}}",
    )?;
    for (name, url) in [
        ("prefix", "https://pushgateway.example:9091/a/b%20c/"),
        ("address", "http://10.0.0.7:9091"),
        ("six", "http://[fd00::7]:9091"),
        ("bare", "http://pushgateway"),
    ] {
        sandbox.apply(&format!(
            "{{apiVersion: sidegate.dev/v1alpha1, kind: PushGroup, metadata: {{name: {name}}}, \
             spec: {{gateway: {{url: \"{url}\", auth: {{secretName: pg}}}}, scrape: {{interval: 30s}}}}}}"
        ))?;
    }
    Ok(())
}
