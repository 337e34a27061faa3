//! What the chart renders, mode by mode, without any cluster.
//!
//! *Never:* what the operator makes of it.

#![allow(clippy::indexing_slicing, reason = "a test that panics has failed, which is right")]

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, ensure};
use e2e::{binaries, kubectl::Kubectl, parts::Parts};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde::Deserialize as _;
use serde_json::Value;

const OPERATOR: &str = "sidegate-operator";

/// The names the API server calls the webhook by.
const NAMES: [&str; 2] = ["sidegate-operator.there.svc", "sidegate-operator.there.svc.cluster.local"];

type Test = fn(&Chart) -> anyhow::Result<()>;

const TESTS: &[(&str, Test)] = &[
    ("by_default_the_operator_makes_its_certificates_and_has_the_rights_to", by_default),
    ("with_cert_manager_the_operator_mounts_a_secret_and_has_no_right_to_it", with_cert_manager),
    ("an_issuer_of_ones_own_signs_in_place_of_the_charts", with_an_issuer),
    ("with_a_secret_of_ones_own_the_chart_has_the_bundle", with_a_secret),
    ("the_webhook_may_hold_no_pod_up_and_is_not_asked_about_its_own_pods", with_the_webhook),
    ("values_that_make_no_sense_are_named", with_mistakes),
    ("on_a_cluster_older_than_the_oldest_supported_one_the_chart_is_not_installed", with_an_old_cluster),
    ("numbers_are_written_out_and_the_operator_answers_before_the_api_server_gives_up", with_numbers),
];

fn main() -> ExitCode {
    let trials = TESTS.iter().map(|(name, test)| {
        Trial::ignorable_test(*name, || {
            if let Some(reason) = e2e::parts::excuse(e2e::parts::why_no_helm())? {
                return Ok(Completion::ignored_with(reason));
            }
            let outcome = Chart::find().and_then(|chart| test(&chart));
            outcome.map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}")))
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// The chart, and helm to render it.
struct Chart {
    helm: Kubectl,
}

/// All objects of a release.
struct Rendered {
    objects: Vec<Value>,
}

fn by_default(chart: &Chart) -> anyhow::Result<()> {
    let rendered = chart.render(&[])?;
    rendered.expect_arguments(&[
        "--webhook.secret=sidegate-operator-tls",
        "--webhook.certificate-lifetime=2160h",
        "--webhook.ca-lifetime=8760h",
    ])?;
    rendered.expect_mounted(None)?;
    rendered.expect_bundle(&Value::Null)?;
    ensure!(rendered.named("mutatingwebhookconfigurations") == [OPERATOR]);
    ensure!(rendered.named("secrets") == ["sidegate-operator-signing-key", "sidegate-operator-tls"]);
    ensure!(rendered.kind("Certificate").is_empty() && rendered.kind("Issuer").is_empty());
    Ok(())
}

fn with_cert_manager(chart: &Chart) -> anyhow::Result<()> {
    let rendered = chart.render(&["webhook.certificates.mode=cert-manager"])?;
    rendered.expect_arguments(&["--webhook.certificate-directory=/etc/sidegate/webhook-tls"])?;
    rendered.expect_mounted(Some("sidegate-operator-cert-manager-tls"))?;
    rendered.expect_bundle(&Value::Null)?;
    rendered.expect_no_rights()?;
    let configuration = &rendered.kind("MutatingWebhookConfiguration")[0]["metadata"];
    ensure!(configuration["annotations"]["cert-manager.io/inject-ca-from"] == "there/sidegate-operator");
    let certificate = rendered.one("Certificate", OPERATOR)?;
    ensure!(certificate["dnsNames"] == serde_json::json!(NAMES), "{certificate}");
    ensure!(certificate["secretName"] == "sidegate-operator-cert-manager-tls" && certificate["duration"] == "2160h");
    // Who signs is a CA that outlives it.
    let issuer = rendered.one("Issuer", text(&certificate["issuerRef"]["name"]))?;
    let authority = rendered.one("Certificate", "sidegate-operator-ca")?;
    ensure!(issuer["ca"]["secretName"] == authority["secretName"] && authority["isCA"] == true, "{authority}");
    ensure!(authority["duration"] == "8760h");
    // A CA with another key would sign before the API server trusts it.
    let policy = |certificate: &Value| certificate["privateKey"]["rotationPolicy"].clone();
    ensure!(policy(authority) == "Never" && policy(certificate) == "Always");
    let issuer = rendered.one("Issuer", text(&authority["issuerRef"]["name"]))?;
    ensure!(issuer["selfSigned"].is_object(), "{issuer}");
    Ok(())
}

fn with_an_issuer(chart: &Chart) -> anyhow::Result<()> {
    let issuer = "webhook.certificates.issuerRef.";
    let rendered = chart.render(&[
        "webhook.certificates.mode=cert-manager",
        &format!("{issuer}name=internal"),
        &format!("{issuer}kind=ClusterIssuer"),
    ])?;
    ensure!(rendered.kind("Issuer").is_empty() && rendered.kind("Certificate").len() == 1);
    let found = &rendered.one("Certificate", OPERATOR)?["issuerRef"];
    let expected = serde_json::json!({"name": "internal", "kind": "ClusterIssuer", "group": "cert-manager.io"});
    ensure!(*found == expected, "{found}");
    Ok(())
}

fn with_a_secret(chart: &Chart) -> anyhow::Result<()> {
    let given = ["webhook.certificates.mode=secret", "webhook.certificates.secretName=mine"];
    let bundle = "webhook.certificates.caBundle=-----BEGIN CERTIFICATE-----\nMII=";
    let rendered = chart.render(&[given[0], given[1], bundle])?;
    rendered.expect_arguments(&["--webhook.certificate-directory=/etc/sidegate/webhook-tls"])?;
    rendered.expect_mounted(Some("mine"))?;
    rendered.expect_bundle(&Value::from("LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JST0="))?;
    rendered.expect_no_rights()?;
    // Without one the API server asks those it trusts anyway.
    chart.render(&given)?.expect_bundle(&Value::Null)
}

fn with_mistakes(chart: &Chart) -> anyhow::Result<()> {
    let told = |values: &[&str]| {
        let rendered = chart.render(values);
        rendered.err().map(|error| format!("{error:#}")).with_context(|| format!("{values:?} are taken"))
    };
    let mode = told(&["webhook.certificates.mode=self-signed"])?;
    ensure!(mode.contains("'operator', 'cert-manager', 'secret'"), "{mode}");
    let secret = told(&["webhook.certificates.mode=secret"])?;
    ensure!(secret.contains("webhook/certificates/secretName"), "{secret}");
    let lifetime = told(&["webhook.certificates.lifetime=soon"])?;
    ensure!(lifetime.contains("webhook/certificates/lifetime"), "{lifetime}");
    // cert-manager knows no days.
    let days = ["webhook.certificates.lifetime=90d", "webhook.certificates.caLifetime=1y"];
    chart.render(&days)?;
    let days = told(&[days[0], days[1], "webhook.certificates.mode=cert-manager"])?;
    ensure!(["lifetime", "caLifetime"].iter().all(|name| days.contains(&format!("certificates/{name}"))), "{days}");
    Ok(())
}

fn with_an_old_cluster(chart: &Chart) -> anyhow::Result<()> {
    for version in ["1.33.0", "1.33.0-gke.1", "v1.34.2+k3s1"] {
        chart.render_on(version, &[]).with_context(|| format!("{version} is refused"))?;
    }
    for version in ["1.32.0", "1.32.99", "v1.29.4"] {
        let told = chart.render_on(version, &[]).err().map(|error| format!("{error:#}"));
        let told = told.with_context(|| format!("{version} is taken"))?;
        let sentence = "chart requires kubeVersion: >=1.33.0-0 which is incompatible with Kubernetes";
        ensure!(told.contains(sentence), "expected {sentence}, found {told}");
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn with_the_webhook(chart: &Chart) -> anyhow::Result<()> {
    let rendered = chart.render(&[])?;
    let configuration = rendered.kind("MutatingWebhookConfiguration")[0];
    let entries = configuration["webhooks"].as_array().context("there are entries")?;
    ensure!(entries.len() == 2, "{entries:?}");
    for entry in entries {
        let expected = serde_json::json!({
            "failurePolicy": "Ignore", "reinvocationPolicy": "IfNeeded", "sideEffects": "NoneOnDryRun", "timeoutSeconds": 5,
            "admissionReviewVersions": ["v1"],
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"],
                "scope": "Namespaced",
            }],
            "objectSelector": {"matchExpressions": [
                {"key": "app.kubernetes.io/name", "operator": "NotIn", "values": ["sidegate-operator"]},
            ]},
        });
        for (field, expected) in expected.as_object().into_iter().flatten() {
            ensure!(&entry[field] == expected, "{field}: expected {expected}, found {}", entry[field]);
        }
        let left_out = &entry["namespaceSelector"]["matchExpressions"];
        let own = serde_json::json!({
            "key": "kubernetes.io/metadata.name", "operator": "NotIn",
            "values": ["kube-system", "kube-public", "kube-node-lease", "there"],
        });
        ensure!(left_out.as_array().is_some_and(|all| all.contains(&own)), "expected {own}, found {left_out}");
        ensure!(entry["matchConditions"].as_array().is_some_and(|conditions| conditions.len() == 2), "{entry}");
    }
    Ok(())
}

fn with_numbers(chart: &Chart) -> anyhow::Result<()> {
    // As some platforms assign them; the template's own way would be 1.00065e+09.
    let user = 1_000_650_000;
    let rendered =
        chart.render(&[&format!("runAsUser={user},sidecar.runAsUser={user}"), "webhook.timeoutSeconds=1"])?;
    let container = &rendered.pod()?["containers"][0];
    let security = &container["securityContext"];
    ensure!(security["runAsUser"] == user && security["runAsGroup"] == user, "{security}");
    let arguments: Vec<_> = container["args"].as_array().into_iter().flatten().map(text).collect();
    for expected in [format!("--sidecar.run-as-user={user}"), "--webhook.timeout=800ms".to_owned()] {
        ensure!(arguments.contains(&expected.as_str()), "expected {expected}, found {arguments:?}");
    }
    Ok(())
}

// === impl Chart ===

impl Chart {
    fn find() -> anyhow::Result<Self> {
        let helm = Parts::find_or_build_helm()?.program("helm")?;
        Ok(Self { helm: Kubectl::new(PathBuf::new(), helm, None, None) })
    }

    fn render(&self, values: &[&str]) -> anyhow::Result<Rendered> {
        // Without a cluster helm takes its own library's version for the cluster's.
        self.render_on("1.33.0", values)
    }

    fn render_on(&self, version: &str, values: &[&str]) -> anyhow::Result<Rendered> {
        let chart = binaries::repository().join("charts/sidegate").display().to_string();
        let mut arguments = vec!["template", "sidegate", &chart, "--namespace", "there", "--kube-version", version];
        for value in values {
            arguments.extend(["--set", value]);
        }
        let text = self.helm.helm(&arguments)?;
        let objects = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
        let objects: Vec<_> = objects.collect::<Result<_, _>>()?;
        Ok(Rendered { objects: objects.into_iter().filter(Value::is_object).collect() })
    }
}

// === impl Rendered ===

impl Rendered {
    fn kind(&self, kind: &str) -> Vec<&Value> {
        self.objects.iter().filter(|object| object["kind"] == kind).collect()
    }

    /// The spec of an object.
    fn one(&self, kind: &str, name: &str) -> anyhow::Result<&Value> {
        let found = self.kind(kind).into_iter().find(|object| object["metadata"]["name"] == name);
        found.map(|object| &object["spec"]).with_context(|| format!("expected {kind} {name}"))
    }

    fn pod(&self) -> anyhow::Result<&Value> {
        Ok(&self.one("Deployment", OPERATOR)?["template"]["spec"])
    }

    /// The flags about certificates, and no other.
    fn expect_arguments(&self, expected: &[&str]) -> anyhow::Result<()> {
        let arguments = self.pod()?["containers"][0]["args"].as_array().cloned().unwrap_or_default();
        let about = ["--webhook.secret", "--webhook.certificate", "--webhook.ca-"];
        let found: Vec<_> =
            arguments.iter().map(text).filter(|flag| about.iter().any(|start| flag.starts_with(start))).collect();
        ensure!(found == expected, "{found:?}");
        Ok(())
    }

    /// Which Secret is mounted, where the flag says.
    fn expect_mounted(&self, secret: Option<&str>) -> anyhow::Result<()> {
        let pod = self.pod()?;
        let mount = &pod["containers"][0]["volumeMounts"][0];
        let volume = &pod["volumes"][0];
        ensure!(volume["secret"]["secretName"].as_str() == secret, "{volume}");
        ensure!(mount["name"] == volume["name"], "{mount}");
        let path = secret.map(|_| "/etc/sidegate/webhook-tls");
        ensure!(mount["mountPath"].as_str() == path && mount.get("subPath").is_none(), "{mount}");
        Ok(())
    }

    /// The same bundle, or none, in every entry of the configuration.
    fn expect_bundle(&self, expected: &Value) -> anyhow::Result<()> {
        let configuration = self.kind("MutatingWebhookConfiguration");
        let entries = configuration.first().and_then(|found| found["webhooks"].as_array()).context("no webhooks")?;
        ensure!(!entries.is_empty());
        for entry in entries {
            ensure!(entry["clientConfig"].get("caBundle").unwrap_or(&Value::Null) == expected, "{entry}");
        }
        Ok(())
    }

    /// What the operator reads and writes by name.
    fn named(&self, resource: &str) -> Vec<&str> {
        let roles = self.kind("ClusterRole").into_iter().chain(self.kind("Role"));
        let rules = roles.filter_map(|role| role["rules"].as_array()).flatten();
        let rules = rules.filter(|rule| rule["resources"].as_array().is_some_and(|all| all.contains(&resource.into())));
        rules.filter_map(|rule| rule["resourceNames"].as_array()).flatten().map(text).collect()
    }

    fn expect_no_rights(&self) -> anyhow::Result<()> {
        ensure!(self.named("mutatingwebhookconfigurations").is_empty());
        ensure!(self.named("secrets") == ["sidegate-operator-signing-key"]);
        let roles = self.kind("ClusterRole").into_iter().chain(self.kind("Role"));
        let text: String = roles.map(ToString::to_string).collect();
        ensure!(!text.contains("admissionregistration"), "{text}");
        Ok(())
    }
}
