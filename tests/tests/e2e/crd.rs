//! The API server refuses a wrong `PushGroup` with a sentence that names the field.

use anyhow::{Context as _, ensure};
use e2e::sandbox::Sandbox;
use serde_json::Value;

use crate::{network_policy, workload};

crate::world::tests![
    wrong_objects_are_refused_with_a_sentence_that_names_the_field,
    a_full_object_is_taken,
    kubectl_explains_every_field_in_sentences,
    kubectl_get_shows_what_matters_and_with_wide_why,
];

/// What is refused, and the sentence.
pub(crate) struct Wrong {
    pub(crate) name: &'static str,
    pub(crate) spec: &'static str,
    pub(crate) sentence: &'static str,
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
        name: "service-elsewhere",
        spec: "selector: null\n  gateway: {service: {name: ../../other/services/pushgateway}}",
        sentence: "spec.gateway.service.name: Invalid value: expected the name of a Service",
    },
    Wrong {
        name: "secret-elsewhere",
        spec: "selector: null\n  gateway: {service: {name: pushgateway}, auth: {secretName: ../other/secrets/pg}}",
        sentence: "spec.gateway.auth.secretName: Invalid value: expected the name of a Secret, such as push-tokens",
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
        name: "stale-after-zero",
        spec: "staleAfter: 0h0m0s",
        sentence: "spec.staleAfter: Invalid value: expected a length above zero; leave it out for none",
    },
    Wrong {
        name: "rule-stale-after-zero",
        spec: "rules: [{match: {job: x}, staleAfter: 0s}]",
        sentence: "spec.rules[0].staleAfter: Invalid value: expected a length above zero; leave it out for none",
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
        sentence: "spec.scrape.interval: Invalid value: expected hours, minutes and seconds such as 15s or 1m30s",
    },
    Wrong {
        name: "interval-in-days",
        spec: "scrape: {interval: 1d}",
        sentence: "spec.scrape.interval: Invalid value: expected hours, minutes and seconds such as 15s or 1m30s",
    },
    Wrong {
        name: "interval-too-long",
        spec: "scrape: {interval: 24h1ms}",
        sentence: "spec.scrape.interval: Invalid value: expected hours, minutes and seconds such as 15s or 1m30s",
    },
    Wrong {
        name: "scrape-timeout",
        spec: "scrape: {interval: 1m, scrapeTimeout: 61s}",
        sentence: "spec.scrape: Invalid value: expected a scrapeTimeout of at most the interval",
    },
    Wrong {
        name: "scrape-timeout-and-default-interval",
        spec: "scrape: {scrapeTimeout: 16s}",
        sentence: "spec.scrape: Invalid value: expected a scrapeTimeout of at most the interval",
    },
    Wrong {
        name: "scrape-timeout-of-nothing",
        spec: "scrape: {scrapeTimeout: 0s}",
        sentence: "spec.scrape.scrapeTimeout: Invalid value: expected hours, minutes and seconds such as 15s or 1m30s",
    },
    Wrong {
        name: "label-key",
        spec: "scrape: {labels: {\"my label\": x}}",
        sentence: "spec.scrape.labels: Invalid value: expected names of labels as keys",
    },
    Wrong {
        name: "label-key-prefix",
        spec: "scrape: {labels: {\"a/b/c\": x}}",
        sentence: "spec.scrape.labels: Invalid value: expected names of labels as keys",
    },
    Wrong {
        name: "label-value",
        spec: "scrape: {labels: {release: \"my stack\"}}",
        sentence: "spec.scrape.labels: Invalid value: expected values of labels",
    },
    Wrong {
        name: "label-value-too-long",
        spec: "scrape: {labels: {release: \"1234567890123456789012345678901234567890123456789012345678901234\"}}",
        sentence: "spec.scrape.labels.release: Too long",
    },
    Wrong {
        name: "action",
        spec: "scrape: {metricRelabelings: [{action: remove, regex: x}]}",
        sentence: "spec.scrape.metricRelabelings[0].action: Unsupported value: \"remove\"",
    },
    Wrong {
        name: "regex",
        spec: "scrape: {metricRelabelings: [{action: drop, regex: \"a(\"}]}",
        sentence: "spec.scrape.metricRelabelings[0]: Invalid value: error parsing regexp: missing closing )",
    },
    Wrong {
        name: "regex-of-another-engine",
        spec: "scrape: {relabelings: [{action: keep, sourceLabels: [pod], regex: \"(?!x)\"}]}",
        sentence: "spec.scrape.relabelings[0]: Invalid value: error parsing regexp: invalid or unsupported Perl syntax",
    },
    Wrong {
        name: "environment-variable",
        spec: "scrape: {metricRelabelings: [{targetLabel: a, replacement: \"$(POD_NAME)\"}]}",
        sentence: "spec.scrape.metricRelabelings[0]: Invalid value: $(NAME) stands for an environment variable",
    },
    Wrong {
        name: "no-target-label",
        spec: "scrape: {metricRelabelings: [{sourceLabels: [a]}]}",
        sentence: "spec.scrape.metricRelabelings[0]: Invalid value: expected a targetLabel",
    },
    Wrong {
        name: "target-label",
        spec: "scrape: {metricRelabelings: [{sourceLabels: [a], targetLabel: a-b}]}",
        sentence: "spec.scrape.metricRelabelings[0].targetLabel: Invalid value: should match",
    },
    Wrong {
        name: "target-label-with-variable",
        spec: "scrape: {metricRelabelings: [{sourceLabels: [a], targetLabel: \"${1}\"}]}",
        sentence: "spec.scrape.metricRelabelings[0].targetLabel: Invalid value: should match",
    },
    Wrong {
        name: "source-label",
        spec: "scrape: {metricRelabelings: [{sourceLabels: [\"a.b\"], targetLabel: c}]}",
        sentence: "spec.scrape.metricRelabelings[0].sourceLabels[0]: Invalid value: should match",
    },
    Wrong {
        name: "no-modulus",
        spec: "scrape: {relabelings: [{action: hashmod, sourceLabels: [pod], targetLabel: __tmp_shard}]}",
        sentence: "spec.scrape.relabelings[0]: Invalid value: expected a modulus of at least 1 for the action hashmod",
    },
    Wrong {
        name: "modulus",
        spec: "scrape: {relabelings: [{action: HashMod, sourceLabels: [pod], targetLabel: __tmp_shard, modulus: 0}]}",
        sentence: "spec.scrape.relabelings[0].modulus: Invalid value: should be greater than or equal to 1",
    },
    Wrong {
        name: "lowercase",
        spec: "scrape: {metricRelabelings: [{action: lowercase, sourceLabels: [a], targetLabel: b, replacement: x}]}",
        sentence: "spec.scrape.metricRelabelings[0]: Invalid value: lowercase and uppercase take no replacement",
    },
    Wrong {
        name: "keepequal",
        spec: "scrape: {metricRelabelings: [{action: keepequal, sourceLabels: [a], targetLabel: b, regex: x}]}",
        sentence: "spec.scrape.metricRelabelings[0]: Invalid value: keepequal and dropequal take sourceLabels and targetLabel",
    },
    Wrong {
        name: "labeldrop",
        spec: "scrape: {metricRelabelings: [{action: LabelDrop, regex: x, sourceLabels: [a]}]}",
        sentence: "spec.scrape.metricRelabelings[0]: Invalid value: labeldrop and labelkeep take a regex, and nothing else",
    },
    Wrong {
        name: "labelkeep",
        spec: "scrape: {metricRelabelings: [{action: labelkeep}]}",
        sentence: "spec.scrape.metricRelabelings[0]: Invalid value: labeldrop and labelkeep take a regex, and nothing else",
    },
    Wrong {
        name: "labelmap",
        spec: "scrape: {metricRelabelings: [{action: labelmap, regex: \"a_(.+)\", replacement: \"a-$1\"}]}",
        sentence: "spec.scrape.metricRelabelings[0]: Invalid value: expected a label's name as replacement of labelmap",
    },
    Wrong {
        name: "address",
        spec: "scrape: {relabelings: [{targetLabel: __address__, replacement: \"10.0.0.1:80\"}]}",
        sentence: "spec.scrape.relabelings: Invalid value: expected no targetLabel that starts with __",
    },
    Wrong {
        name: "labelmap-of-a-target",
        spec: "scrape: {relabelings: [{action: LabelMap, regex: \"__meta_kubernetes_pod_label_(.+)\"}]}",
        sentence: "spec.scrape.relabelings: Invalid value: labelmap is for metricRelabelings",
    },
    Wrong {
        name: "sample-limit",
        spec: "scrape: {sampleLimit: -1}",
        sentence: "spec.scrape.sampleLimit: Invalid value: should be greater than or equal to 0",
    },
    Wrong {
        name: "body-size-limit",
        spec: "scrape: {bodySizeLimit: 10 MB}",
        sentence: "spec.scrape.bodySizeLimit: Invalid value: expected a size such as 500KB or 10MB",
    },
    Wrong {
        name: "service-discovery-role",
        spec: "scrape: {serviceDiscoveryRole: Pod}",
        sentence: "spec.scrape.serviceDiscoveryRole: Unsupported value: \"Pod\"",
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
        name: "resource",
        spec: "sidecar: {resources: {limits: {nvidia.com/gpu: 1}}}",
        sentence: "spec.sidecar.resources.limits: Invalid value: expected cpu, memory and ephemeral-storage as names",
    },
    Wrong {
        name: "negative-quantity",
        spec: "sidecar: {resources: {requests: {cpu: -1}}}",
        sentence: "spec.sidecar.resources.requests: Invalid value: expected no negative quantities",
    },
    Wrong {
        name: "little-memory",
        spec: "sidecar: {resources: {limits: {memory: 64m}}}",
        sentence: "spec.sidecar.resources.limits: Invalid value: expected memory and ephemeral-storage of at least 16Mi",
    },
    Wrong {
        name: "little-memory-requested",
        spec: "sidecar: {resources: {requests: {memory: 64m}}}",
        sentence: "spec.sidecar.resources.requests: Invalid value: expected memory of at least 1Mi",
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
        name: "hold-open-in-days",
        spec: "sidecar: {holdOpen: 1d}",
        sentence: "spec.sidecar.holdOpen: Invalid value: expected hours, minutes and seconds, such as 90s or 1h30m",
    },
    Wrong {
        name: "route-prefix-upwards",
        spec: "sidecar: {routePrefix: /a/../b}",
        sentence: "spec.sidecar.routePrefix: Invalid value: expected a path such as /v1/pushgateway",
    },
    Wrong {
        name: "image",
        spec: "sidecar: {image: 'side gate'}",
        sentence: "spec.sidecar.image: Invalid value: expected the name of an image, such as \
                   registry.example/sidegate:0.1.0",
    },
    Wrong {
        name: "image-in-upper-case",
        spec: "sidecar: {image: 'registry/Sidegate:1'}",
        sentence: "spec.sidecar.image: Invalid value: expected the name of an image",
    },
    Wrong {
        name: "image-by-id",
        spec: "sidecar: {image: '0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}",
        sentence: "spec.sidecar.image: Invalid value: expected the name of an image",
    },
    Wrong {
        name: "push-port-scraped",
        spec: "sidecar: {pushPort: 19091}",
        sentence: "spec.sidecar.pushPort: Invalid value: expected another port than 19091, which is the one that is scraped",
    },
    Wrong {
        name: "push-port-of-root",
        spec: "sidecar: {pushPort: 80}",
        sentence: "spec.sidecar.pushPort: Invalid value: should be greater than or equal to 1024",
    },
    Wrong {
        name: "scraped-port",
        spec: "sidecar: {listenAddresses: [\":19091\"]}",
        sentence: "spec.sidecar.listenAddresses: Invalid value: expected another port than 19091, which is the one that is scraped",
    },
    Wrong {
        name: "address-twice",
        spec: "sidecar: {listenAddresses: [\":4318\", \":4318\"]}",
        sentence: "spec.sidecar.listenAddresses: duplicate entries for key",
    },
    Wrong {
        name: "limit",
        spec: "sidecar: {limits: {bodyBytes: -1}}",
        sentence: "spec.sidecar.limits.bodyBytes: Invalid value: should be greater than or equal to 0",
    },
    Wrong {
        name: "limit-of-time",
        spec: "sidecar: {limits: {bodyTime: 1w}}",
        sentence: "spec.sidecar.limits.bodyTime: Invalid value: expected hours, minutes and seconds, such as 90s or 1h30m",
    },
    Wrong {
        name: "secret",
        spec: "sidecar: {auth: {secretName: My_Secret}}",
        sentence: "spec.sidecar.auth.secretName: Invalid value: expected the name of a Secret, such as push-tokens",
    },
    Wrong {
        name: "timestamps",
        spec: "sidecar: {timestamps: honor}",
        sentence: "spec.sidecar.timestamps: Unsupported value: \"honor\": supported values: \"Reject\", \"Strip\", \"Honor\"",
    },
    Wrong {
        name: "identity-labels",
        spec: "sidecar: {identityLabels: Drop}",
        sentence: "spec.sidecar.identityLabels: Unsupported value: \"Drop\": supported values: \"Rename\", \"Refuse\", \"Allow\"",
    },
    Wrong {
        name: "storage",
        spec: "sidecar: {storage: Tape}",
        sentence: "spec.sidecar.storage: Unsupported value: \"Tape\": supported values: \"Disk\", \"Memory\", \"None\"",
    },
    Wrong {
        name: "measurement",
        spec: "sidecar: {measurement: {name: \"a\\tb\"}}",
        sentence: "spec.sidecar.measurement.name: Invalid value: expected a name without control characters",
    },
];

fn manifest(name: &str, spec: &str) -> String {
    let selector = if spec.contains("selector:") { "" } else { SELECTOR };
    format!(
        "apiVersion: sidegate.dev/v1alpha1\nkind: PushGroup\nmetadata: {{name: {name}}}\nspec:\n  {selector}\n  {spec}\n"
    )
}

async fn wrong_objects_are_refused_with_a_sentence_that_names_the_field(sandbox: Sandbox) -> anyhow::Result<()> {
    for wrong in WRONG.iter().chain(network_policy::WRONG) {
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
    scrapeTimeout: 10s
    relabelings: [{sourceLabels: [__meta_kubernetes_pod_node_name], targetLabel: node}]
    metricRelabelings: [{sourceLabels: [__name__], regex: "go_.*", action: drop}]
    serviceDiscoveryRole: Endpoints
    sampleLimit: 10000
    targetLimit: 500
    labelLimit: 30
    labelNameLengthLimit: 100
    labelValueLengthLimit: 500
    keepDroppedTargets: 10
    bodySizeLimit: 10MB
    networkPolicy:
      from:
        - {namespaceSelector: {}}
        - namespaceSelector: {matchExpressions: [{key: team, operator: NotIn, values: [etl, ""]}]}
          podSelector: {matchLabels: {app: prometheus}, matchExpressions: [{key: a.example/b, operator: Exists}]}
        - {ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.2.3.4/32]}}
        - {ipBlock: {cidr: "fd00::/8", except: ["fd00:1::/32"]}}
  sidecar:
    resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 64Mi, cpu: 1}}
    holdOpen: 45s
    raiseGracePeriod: true
    listenAddresses: ["127.0.0.1:4318", "[::1]:4318"]
    image: registry.example:5000/sidegate@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    pushPort: 9200
    routePrefix: /v1/pushgateway
    storage: Memory
    limits:
      bodyBytes: 1000000
      decompressedBytes: 0
      compressionRatio: 100
      bodyTime: 1m30s
      pushSeries: 1000
      pushPageBytes: 1000000
      groups: 100
      groupSeries: 100
      series: 1000
      labels: 20
      labelNameBytes: 100
      labelValueBytes: 100
      metricNameBytes: 100
      helpBytes: 100
      buckets: 100
      concurrentPushes: 4
      concurrentBytes: 1099511627776
      connections: 20
      headerBytes: 10000
      headerTime: 5s
      idleTime: 0s
    auth: {secretName: push-tokens, reads: true}
    timestamps: Honor
    measurement: {name: "größe $(HOME)", jobAsMeasurement: true, keepMetricName: false}
    identityLabels: Refuse
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

/// One line of a text that kubectl breaks somewhere.
fn unbroken(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What kubectl explains at a path is what the schema says of it and of each field below.
fn check_explained(sandbox: &Sandbox, path: &str, schema: &Value, seen: &mut usize) -> anyhow::Result<()> {
    let fields = schema.get("properties").and_then(Value::as_object);
    let Some(fields) = fields.filter(|_| !["pushgroup.spec.selector", "pushgroup.status.conditions"].contains(&path))
    else {
        return Ok(());
    };
    let explained = unbroken(&sandbox.kubectl.run(&["explain", path])?);
    for (name, field) in fields {
        let description = field.get("description").and_then(Value::as_str).unwrap_or_default();
        ensure!(explained.contains(&unbroken(description)), "{path}.{name}: expected {description:?} in {explained}");
        *seen += 1;
        check_explained(sandbox, &format!("{path}.{name}"), field.get("items").unwrap_or(field), seen)?;
    }
    Ok(())
}

async fn kubectl_explains_every_field_in_sentences(sandbox: Sandbox) -> anyhow::Result<()> {
    let crd: Value = serde_yaml::from_str(&crds::custom_resource_definition_yaml()?)?;
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties").context("a schema")?;
    let mut seen = 0;
    for part in ["spec", "status"] {
        check_explained(&sandbox, &format!("pushgroup.{part}"), &schema[part], &mut seen)?;
    }
    ensure!(60 < seen, "only {seen} fields were explained");
    Ok(())
}

async fn kubectl_get_shows_what_matters_and_with_wide_why(sandbox: Sandbox) -> anyhow::Result<()> {
    sandbox.apply(&workload::push_group("all", "  staleAfter: 1h"))?;
    sandbox.group_ready("all").await?;
    let get = |output: &[&str]| {
        let arguments = [&["--namespace", &sandbox.namespace, "get", "pg"], output].concat();
        sandbox.kubectl.run(&arguments)
    };
    let columns = |table: &str| unbroken(table.lines().next().unwrap_or_default());
    let (usual, wide) = (get(&[])?, get(&["--output", "wide"])?);
    ensure!(columns(&usual) == "NAME MODE SIDECARS GROUPS STALE LAST PUSH READY AGE", "{usual}");
    let expected = "NAME MODE SIDECARS GROUPS STALE LAST PUSH READY AGE STALE AFTER OUTDATED COLLECTED REASON MESSAGE";
    ensure!(columns(&wide) == expected, "{wide}");
    ensure!(unbroken(&wide).ends_with("1h 0 0 AsAsked Everything is as asked for"), "{wide}");
    Ok(())
}
