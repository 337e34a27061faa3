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
    for (verb, what) in
        [("list", "pods"), ("patch", "pods"), ("patch", "services"), ("patch", "configmaps/sidegate-trust")]
    {
        ensure!(may(verb, what, namespace), "the operator cannot {verb} {what}");
    }
    for (verb, what) in [
        ("get", "secrets"),
        ("list", "secrets"),
        ("create", "pods"),
        ("update", "pods"),
        ("delete", "pods"),
        ("get", "configmaps/other"),
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
