//! `spec.scrape.networkPolicy`: who is let through to the sidecars of a group where the network denies.
//!
//! The API server's own opinion of a NetworkPolicy is in the rules here, so that the one that is made of it is taken.
//! Two things are stricter: selectors have an end to their length, and a network is written without bits beyond its
//! prefix, as newer API servers want it.
//!
//! *Never:* the NetworkPolicy itself, which is the operator's to make.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::label_rules;

const ONE_KIND: &str = "has(self.ipBlock) != (has(self.namespaceSelector) || has(self.podSelector))";

const NETWORK: &str = "isCIDR(self) && cidr(self) == cidr(self).masked()";

/// A malformed network is for the field's own rule to tell.
const WITHIN: &str = "!has(self.except) || !isCIDR(self.cidr) || self.except.all(part, isCIDR(part) \
     && cidr(part) == cidr(part).masked() && cidr(self.cidr).containsCIDR(part) \
     && cidr(self.cidr).prefixLength() < cidr(part).prefixLength())";

/// Who is let through to the port that is scraped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct ScrapePolicy {
    /// Who scrapes, 1 to 16: pods by `namespaceSelector`, `podSelector` or both, or a network by `ipBlock`. The operator
    /// is let through besides.
    #[schemars(length(min = 1, max = 16))]
    pub from: Vec<Peer>,
}

/// One that is let through, as a NetworkPolicy names it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (ONE_KIND, "expected namespaceSelector, podSelector or both, or ipBlock alone"))]
pub struct Peer {
    /// Pods of the namespaces with these labels; `{}` is all namespaces. A namespace has its name as label
    /// `kubernetes.io/metadata.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "selector_schema")]
    pub namespace_selector: Option<LabelSelector>,

    /// Pods with these labels, of the namespaces that `namespaceSelector` names; without it, of the PushGroup's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "selector_schema")]
    pub pod_selector: Option<LabelSelector>,

    /// A network outside of the cluster, for a Prometheus that is no pod of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_block: Option<IpBlock>,
}

/// A network, and what of it is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = (WITHIN, "expected parts of the network as except, such as 10.1.0.0/16 of 10.0.0.0/8"))]
pub struct IpBlock {
    /// The network: `10.0.0.0/8` or `fd00::/8`, and `10.0.0.7/32` for one address.
    #[schemars(length(max = 64))]
    #[x_kube(validation = (NETWORK, "expected a network such as 10.0.0.0/8 or fd00::/8, without bits beyond its prefix"))]
    pub cidr: String,

    /// Parts of the network that are not let through, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 64)))]
    pub except: Vec<String>,
}

/// A label selector whose ends let the API server estimate its rules.
fn selector_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "matchLabels": {
                "description": "Labels with these values.",
                "type": "object",
                "maxProperties": 8,
                "additionalProperties": {"type": "string", "maxLength": 63},
                "x-kubernetes-validations": label_rules(),
            },
            "matchExpressions": {
                "description": "Conditions that hold as well, at most 8.",
                "type": "array",
                "maxItems": 8,
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {
                            "description": "The name of a label.",
                            "type": "string",
                            "maxLength": 317,
                            "x-kubernetes-validations": [{
                                "rule": "!format.qualifiedName().validate(self).hasValue()",
                                "message": "expected the name of a label, such as team or example.com/team",
                            }],
                        },
                        "operator": {
                            "description": "What is asked of the label: `In`, `NotIn`, `Exists` or `DoesNotExist`.",
                            "type": "string",
                            "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                        },
                        "values": {
                            "description": "Values for `In` and `NotIn`, at most 16.",
                            "type": "array",
                            "maxItems": 16,
                            "items": {"type": "string", "maxLength": 63},
                            "x-kubernetes-validations": [{
                                "rule": "self.all(value, !format.labelValue().validate(value).hasValue())",
                                "message": "expected values of labels: letters, digits, -, _ and ., at most 63, a letter or digit at both ends",
                            }],
                        },
                    },
                    "x-kubernetes-validations": [{
                        "rule": "(self.operator in ['In', 'NotIn']) == (has(self.values) && 0 < size(self.values))",
                        "message": "expected values for In and NotIn, and none for Exists and DoesNotExist",
                    }],
                },
            },
        },
    })
}
