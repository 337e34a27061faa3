//! The flags that say which pod the process is in → what the store makes of labels that say otherwise.
//!
//! *Never:* labels.

use protocol::flags;

use super::{
    reader::{self, Reader},
    word,
};
use crate::{
    args::{IdentityArgs, PodArgs},
    store::Identity,
};

/// Without a name or a namespace there is nothing to hold that label against.
pub(super) fn read(reader: &mut Reader, pod: &PodArgs, args: &IdentityArgs) -> Option<Identity> {
    let rule = reader.read(flags::IDENTITY_LABELS, &args.identity_labels, word::identity_rule);
    let truth = |value: &Option<String>| reader::given(value.clone()).map(Into::into);
    Some(Identity { pod: truth(&pod.pod_name), namespace: truth(&pod.pod_namespace), rule: rule? })
}
