//! The NetworkPolicy of a group that asks for one: who is let through to the port of its sidecars that is scraped. Pure.
//!
//! The port is given by number: ports of native sidecars cannot be named everywhere yet. The operator is let through as
//! well, since it reads and removes pushed groups there, by the labels that the chart gives its pods.
//!
//! *Never:* the client, what else has to reach the pods.

use std::collections::BTreeMap;

use crds::{
    names::OPERATOR_POD_LABEL,
    scrape::network_policy::{IpBlock, Peer},
};
use k8s_openapi::{
    api::networking::v1::{
        IPBlock, NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use protocol::endpoints::SCRAPE_PORT;

use super::{Owner, selection::NAMESPACE_NAME_LABEL};

/// The NetworkPolicy.
#[must_use]
pub fn build(owner: &Owner<'_>) -> NetworkPolicy {
    let asked_for = owner.scrape.network_policy.iter().flat_map(|policy| &policy.from).map(peer);
    let scrape = NetworkPolicyIngressRule {
        // Never empty: that would be everybody.
        from: Some([operator(owner)].into_iter().chain(asked_for).collect()),
        ports: Some(vec![NetworkPolicyPort {
            port: Some(IntOrString::Int(i32::from(SCRAPE_PORT))),
            protocol: Some("TCP".to_owned()),
            ..NetworkPolicyPort::default()
        }]),
    };
    NetworkPolicy {
        metadata: owner.metadata(BTreeMap::new()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(labelled(owner.pod_labels())),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![scrape]),
            ..NetworkPolicySpec::default()
        }),
    }
}

fn operator(owner: &Owner<'_>) -> NetworkPolicyPeer {
    let one = |(name, value): (&str, &str)| labelled(BTreeMap::from([(name.to_owned(), value.to_owned())]));
    NetworkPolicyPeer {
        namespace_selector: Some(one((NAMESPACE_NAME_LABEL, owner.operator_namespace))),
        pod_selector: Some(one(OPERATOR_POD_LABEL)),
        ip_block: None,
    }
}

fn peer(peer: &Peer) -> NetworkPolicyPeer {
    let network = |IpBlock { cidr, except }: &IpBlock| IPBlock {
        cidr: cidr.clone(),
        except: (!except.is_empty()).then(|| except.clone()),
    };
    NetworkPolicyPeer {
        namespace_selector: peer.namespace_selector.clone(),
        pod_selector: peer.pod_selector.clone(),
        ip_block: peer.ip_block.as_ref().map(network),
    }
}

fn labelled(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}

#[cfg(test)]
mod tests {
    use crds::PushGroup;
    use serde_json::{Value, json};

    use super::*;
    use crate::{golden, monitors::tests::group};

    fn with_peers(from: &Value) -> PushGroup {
        let mut group = group();
        group.spec.scrape.network_policy = Some(serde_json::from_value(json!({ "from": from })).unwrap());
        group
    }

    fn built(group: &PushGroup) -> NetworkPolicy {
        build(&Owner::of(group).unwrap().with_operator_namespace("sidegate-system"))
    }

    #[test]
    fn it_is_the_golden_one() {
        let group = with_peers(&json!([
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
             "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}},
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
        ]));
        golden::check("network-policy.yaml", &built(&group));
    }

    #[test]
    fn each_peer_is_as_it_was_asked_for() {
        for asked_for in [
            json!({"namespaceSelector": {}}),
            json!({"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}}),
            json!({"namespaceSelector": {"matchLabels": {"team": "etl"}}, "podSelector": {}}),
            json!({"ipBlock": {"cidr": "fd00::/8"}}),
            json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.2.0.0/16"]}}),
        ] {
            let policy = serde_json::to_value(built(&with_peers(&json!([asked_for])))).unwrap();
            assert_eq!(policy["spec"]["ingress"][0]["from"][1], asked_for);
        }
    }

    #[test]
    fn a_list_without_anybody_lets_the_operator_through_and_not_everybody() {
        let policy = serde_json::to_value(built(&with_peers(&json!([])))).unwrap();
        let rules = policy["spec"]["ingress"].as_array().unwrap();
        assert_eq!((rules.len(), rules[0]["from"].as_array().unwrap().len()), (1, 1));
        assert_eq!(
            rules[0]["from"][0]["namespaceSelector"]["matchLabels"],
            json!({"kubernetes.io/metadata.name": "sidegate-system"})
        );
    }
}
