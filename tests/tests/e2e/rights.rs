//! The operator has the chart's rights and no more.

use anyhow::ensure;
use e2e::{install::SIDEGATE_NAMESPACE, sandbox::Sandbox};

crate::world::tests![the_operator_has_only_the_rights_of_the_chart];

async fn the_operator_has_only_the_rights_of_the_chart(sandbox: Sandbox) -> anyhow::Result<()> {
    let account = format!("system:serviceaccount:{SIDEGATE_NAMESPACE}:sidegate-operator");
    let may = |verb: &str, what: &str, namespace: &str| {
        let arguments = ["auth", "can-i", verb, what, "--as", &account, "--namespace", namespace];
        // `no` is also an exit code.
        sandbox.kubectl.run(&arguments).is_ok_and(|answer| answer.trim() == "yes")
    };
    let namespace = &sandbox.namespace;
    for (verb, what) in [
        ("list", "pods"),
        ("patch", "services"),
        ("patch", "configmaps/sidegate-trust"),
        ("watch", "configmaps/sidegate-trust"),
        ("watch", "servicemonitors.monitoring.coreos.com"),
        ("list", "prometheuses.monitoring.coreos.com"),
    ] {
        ensure!(may(verb, what, namespace), "the operator cannot {verb} {what}");
    }
    for (verb, what) in [
        ("get", "secrets"),
        ("list", "secrets"),
        ("create", "pods"),
        ("patch", "pods"),
        ("delete", "pods"),
        ("list", "configmaps"),
        ("get", "configmaps/other"),
        ("patch", "namespaces"),
        ("get", "customresourcedefinitions.apiextensions.k8s.io"),
        ("patch", "prometheuses.monitoring.coreos.com"),
        ("patch", "configmaps/other"),
        ("patch", "pushgroups"),
        ("create", "deployments"),
        ("patch", "mutatingwebhookconfigurations/other"),
        ("impersonate", "users"),
    ] {
        ensure!(!may(verb, what, namespace), "the operator can {verb} {what}");
    }
    ensure!(!may("list", "secrets", SIDEGATE_NAMESPACE), "the operator can list the Secrets beside its own");
    Ok(())
}
