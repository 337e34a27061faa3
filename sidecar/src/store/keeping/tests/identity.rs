//! Labels that name another pod, before a restart and after it.

use super::*;
use crate::store::{Identity, IdentityRule};

fn rules(rule: IdentityRule) -> Rules {
    Rules { identity: Identity { pod: Some("web-0".into()), namespace: None, rule }, ..Rules::default() }
}

/// Labels that were renamed, in the key and not, with names that were taken and names that were free.
fn fill(store: &Store) {
    for (second, change) in [
        replace("a/pod/db-1", "x 1\ny{exported_pod=\"taken\"} 2\nz{pod=\"lost to the key\"} 3\n"),
        replace("b", "x{pod=\"db-1\"} 1\nx{pod=\"web-0\"} 2\ny{pod=\"db-1\",exported_pod=\"taken\"} 3\n"),
        replace("c/exported_pod/taken/pod/db-1", "x 1\n"),
        replace("d/pod/", "x 1\n"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(store.submit(change, UnixSeconds(100.0 + second as f64)), Verdict::Done);
    }
}

#[test]
fn a_restart_from_the_log_or_a_checkpoint_renames_once() {
    let kept = Scratch::new();
    let store = kept.open_with(rules(IdentityRule::Rename));
    fill(&store);
    let before = seen(&store);
    assert!(
        before.0.contains("\ny{exported_exported_pod=\"db-1\",exported_pod=\"taken\",instance=\"\",job=\"a\"} 2\n")
    );
    drop(store);
    let store = kept.open_with(rules(IdentityRule::Rename));
    assert_eq!(seen(&store), before);
    store.write_checkpoint();
    drop(store);
    assert_eq!(seen(&kept.open_with(rules(IdentityRule::Rename))), before);
}

#[test]
fn what_was_accepted_under_another_rule_is_there_still_and_is_renamed() {
    let kept = Scratch::new();
    let store = kept.open_with(rules(IdentityRule::Allow));
    fill(&store);
    assert!(seen(&store).0.contains("\nx{instance=\"\",job=\"a\",pod=\"db-1\"} 1\n"));
    drop(store);
    let page = seen(&kept.open_with(rules(IdentityRule::Refuse))).0;
    assert!(page.contains("\nx{exported_pod=\"db-1\",instance=\"\",job=\"a\"} 1\n"), "{page}");
    assert!(page.contains("\npush_time_seconds{exported_pod=\"db-1\",instance=\"\",job=\"a\"} 100\n"), "{page}");
}
