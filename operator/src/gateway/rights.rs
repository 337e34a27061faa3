//! The right to read the one Secret of a gateway: a Role and a RoleBinding to copy. The operator has no right on Secrets
//! but its own, so this one is the user's to grant.
//!
//! *Never:* applying it.

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{Api, Client, api::PostParams};
use serde_json::{Value, json};

use crate::gc::targets::GatewayTarget;

/// Who the operator is to the API server; a sentence in its place where that cannot be asked.
pub async fn who_am_i(client: &Client) -> String {
    let reviews = Api::<SelfSubjectReview>::all(client.clone());
    let asked = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await;
    let name = asked.ok().and_then(|review| review.status?.user_info?.username);
    name.unwrap_or_else(|| "the operator's ServiceAccount".to_owned())
}

/// The Role and the RoleBinding as YAML, each on a line of its own.
#[must_use]
pub fn manifest(target: &GatewayTarget, secret: &str, user: &str) -> String {
    let name = format!("sidegate-{}", target.group);
    let metadata = json!({"name": name, "namespace": target.namespace});
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": metadata,
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [secret], "verbs": ["get"]}],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [subject(user)],
    });
    // JSON is YAML, and one line of it survives being shown by any tool.
    format!("{role}\n---\n{binding}")
}

fn subject(user: &str) -> Value {
    let account = user.strip_prefix("system:serviceaccount:").and_then(|account| account.split_once(':'));
    match account {
        Some((namespace, name)) => json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}),
        None => json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
    use serde::Deserialize as _;

    use super::*;

    fn parse(user: &str) -> (Role, RoleBinding) {
        let target = GatewayTarget {
            id: String::new(),
            group: "central".to_owned(),
            namespace: "data".to_owned(),
            url: String::new(),
            secret: None,
        };
        let manifest = manifest(&target, "pg", user);
        let mut documents = serde_yaml::Deserializer::from_str(&manifest);
        let role = Role::deserialize(documents.next().unwrap()).unwrap();
        (role, RoleBinding::deserialize(documents.next().unwrap()).unwrap())
    }

    #[test]
    fn the_role_names_exactly_one_secret_and_is_bound_to_the_operator() {
        let (role, binding) = parse("system:serviceaccount:sidegate-system:sidegate-operator");
        let [rule] = &role.rules.unwrap()[..] else { panic!("expected one rule") };
        assert_eq!(rule.resource_names.as_deref(), Some(&["pg".to_owned()][..]));
        assert_eq!(
            (rule.verbs.as_slice(), role.metadata.namespace.as_deref()),
            (&["get".to_owned()][..], Some("data"))
        );
        assert_eq!(binding.role_ref.name, role.metadata.name.unwrap());
        let [subject] = &binding.subjects.unwrap()[..] else { panic!("expected one subject") };
        let found = (subject.kind.as_str(), subject.namespace.as_deref(), subject.name.as_str());
        assert_eq!(found, ("ServiceAccount", Some("sidegate-system"), "sidegate-operator"));
    }

    #[test]
    fn an_operator_outside_of_the_cluster_is_a_user() {
        let subject = parse("admin").1.subjects.unwrap().remove(0);
        assert_eq!((subject.kind.as_str(), subject.name.as_str()), ("User", "admin"));
    }
}
