//! The committed references of fields, flags and annotations are what the code says: `cargo reference` makes them anew.

use std::{fs, path::Path};

use crds::status::{condition, reason};
use operator::injection::overrides::ANNOTATIONS;

mod tables;

#[test]
fn the_committed_references_are_made_from_the_code() {
    for (path, text) in tables::files().unwrap() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        let committed = fs::read_to_string(&file).unwrap_or_default();
        assert!(committed == text, "{path} is old: run `cargo reference`");
    }
}

#[test]
fn the_references_have_every_field_condition_and_flag() {
    let files = tables::files().unwrap();
    let has = |path: &str, word: &str| {
        let text = files.iter().find(|(file, _)| file.ends_with(path)).map(|(_, text)| text.as_str());
        assert!(text.unwrap().contains(word), "{path}: {word}");
    };
    for field in
        ["spec.rules[].match", "spec.sidecar.limits.bodyBytes", "spec.sidecar.auth.secretName", "status.groups"]
    {
        has("pushgroup.md", &format!("| `{field}` | "));
    }
    for (condition, _) in condition::ALL {
        has("pushgroup.md", &format!("| `{condition}` | "));
    }
    for (reason, what) in reason::ALL {
        has("pushgroup.md", &format!(" | `{reason}` | {} |", what.trim()));
    }
    for flag in protocol::flags::ALL {
        has("flags.md", &format!("| `{flag}="));
    }
    for annotation in ANNOTATIONS {
        has("README.md", &format!("| `{}` | ", annotation.name));
    }
    has("flags.md", "## sidegate-operator");
    has("flags.md", "| `--sidecar.image=IMAGE` | `SIDEGATE_OPERATOR_SIDECAR_IMAGE` |");
}
