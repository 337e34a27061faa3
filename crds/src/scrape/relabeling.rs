//! One relabeling of the Prometheus Operator, and what of it is refused before it reaches a monitor.
//!
//! A wrong relabeling in a monitor makes the Prometheus Operator leave the monitor out, or Prometheus its whole
//! configuration. So the rules here are those of both, the stricter one where versions differ: names of labels are
//! those of Prometheus 2, and `$(NAME)`, which the config reloader takes for an environment variable, is refused.
//!
//! Not looked at: whether Prometheus is new enough for `lowercase`, `uppercase` (2.36), `keepequal` and `dropequal` (2.41).
//!
//! *Never:* the list it stands in, what it is applied to.

use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What the API server takes as the name of a label.
const LABEL_NAME: &str = "^[a-zA-Z_][a-zA-Z0-9_]*$";

/// All actions, in the two spellings that the Prometheus Operator takes.
const ACTIONS: [&str; 22] = [
    "replace",
    "Replace",
    "keep",
    "Keep",
    "drop",
    "Drop",
    "hashmod",
    "HashMod",
    "labelmap",
    "LabelMap",
    "labeldrop",
    "LabelDrop",
    "labelkeep",
    "LabelKeep",
    "lowercase",
    "Lowercase",
    "uppercase",
    "Uppercase",
    "keepequal",
    "KeepEqual",
    "dropequal",
    "DropEqual",
];

/// The action in CEL, as Prometheus spells it.
macro_rules! action {
    () => {
        "(has(self.action) ? self.action.lowerAscii() : 'replace')"
    };
}

/// Compiled as Prometheus does it; one that does not compile is an error of the rule, which has the compiler's words.
const COMPILES: &str = "!has(self.regex) || type(''.matches('^(?s:' + self.regex + ')$')) == bool";

const NO_VARIABLES: &str = "!(has(self.regex) && self.regex.matches('\\\\$\\\\([a-zA-Z_0-9]+\\\\)')) \
     && !(has(self.separator) && self.separator.matches('\\\\$\\\\([a-zA-Z_0-9]+\\\\)')) \
     && !(has(self.replacement) && self.replacement.matches('\\\\$\\\\([a-zA-Z_0-9]+\\\\)'))";

const HAS_TARGET: &str = concat!(
    "has(self.targetLabel) || \
     !(",
    action!(),
    " in ['replace', 'hashmod', 'lowercase', 'uppercase', 'keepequal', 'dropequal'])",
);

const MODULUS: &str = concat!("(", action!(), " == 'hashmod') == has(self.modulus)");

const CASE: &str = concat!("!(", action!(), " in ['lowercase', 'uppercase']) || !has(self.replacement)");

const EQUAL: &str = concat!(
    "!(",
    action!(),
    " in ['keepequal', 'dropequal']) || \
     !has(self.regex) && !has(self.separator) && !has(self.replacement)",
);

const NAMES: &str = concat!(
    "!(",
    action!(),
    " in ['labeldrop', 'labelkeep']) || has(self.regex) && self.regex != '' && !has(self.sourceLabels) \
     && !has(self.separator) && !has(self.targetLabel) && !has(self.replacement)",
);

const MAPPED: &str = concat!(
    action!(),
    " != 'labelmap' || !has(self.replacement) \
     || self.replacement.matches('^([a-zA-Z_]|[$]([{][a-zA-Z0-9_]+[}]|[a-zA-Z0-9_]+))+[a-zA-Z0-9_]*$')",
);

/// A relabeling of the Prometheus Operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (COMPILES, "expected a regular expression that RE2 compiles as regex"),
    validation = (NO_VARIABLES, "$(NAME) stands for an environment variable of the config reloader; write [$] for a $ before ("),
    validation = (HAS_TARGET, "expected a targetLabel: the action writes or compares one"),
    validation = (MODULUS, "expected a modulus of at least 1 for the action hashmod, and none for others"),
    validation = (CASE, "lowercase and uppercase take no replacement"),
    validation = (EQUAL, "keepequal and dropequal take sourceLabels and targetLabel, and nothing else"),
    validation = (NAMES, "labeldrop and labelkeep take a regex, and nothing else"),
    validation = (MAPPED, "expected a label's name as replacement of labelmap, in which $1 and ${1} may stand")
)]
pub struct Relabeling {
    /// Labels whose values, joined, are matched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "source_labels_schema")]
    pub source_labels: Vec<String>,
    /// What joins the values; `;` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub separator: Option<String>,
    /// The label that is written: a letter or `_`, then letters, digits and `_`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = LABEL_NAME))]
    pub target_label: Option<String>,
    /// The regular expression, which has to match the whole; `(.*)` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub regex: Option<String>,
    /// Modulus of the hash of the values, for `hashmod`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub modulus: Option<i64>,
    /// What is written; `$1` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub replacement: Option<String>,
    /// What is done, in small letters or as `KeepEqual`. `replace`, if absent: the replacement is written to the target label
    /// where the expression matches. `keep`, `drop`: the sample or target stays, or goes, where it matches; `keepequal`,
    /// `dropequal`: where the values equal that of the target label. `hashmod`: the modulus of a hash is written;
    /// `lowercase`, `uppercase`: the values in such letters are. `labelmap`, `labeldrop`, `labelkeep`: labels whose names match
    /// are copied, go, or stay alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ACTIONS))]
    pub action: Option<String>,
}

fn source_labels_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "items": {"type": "string", "maxLength": 128, "pattern": LABEL_NAME},
    })
}
