//! The control group of a cluster, in every hierarchy of the machine (version 1) or in the one there is (version 2).
//!
//! Two kubelets at one root would end each other's pods.
//!
//! *Never:* limits.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

const ROOT: &str = "/sys/fs/cgroup";

/// Makes the group.
pub(super) fn create(name: &str) -> anyhow::Result<()> {
    for root in hierarchies() {
        hand_down_controllers(&root);
        let group = root.join(name);
        fs::create_dir_all(&group).with_context(|| group.display().to_string())?;
        hand_down_controllers(&group);
    }
    Ok(())
}

/// Whether the group is still there in some hierarchy.
pub(super) fn exists(name: &str) -> bool {
    hierarchies().iter().any(|root| root.join(name).exists())
}

/// Removes the group and all below it that has no process left.
pub(super) fn remove(name: &str) {
    for root in hierarchies() {
        remove_tree(&root.join(name));
    }
}

fn remove_tree(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

fn hierarchies() -> Vec<PathBuf> {
    let is_group = |folder: &Path| folder.join("cgroup.procs").exists();
    if is_group(Path::new(ROOT)) {
        return vec![PathBuf::from(ROOT)];
    }
    let folders = fs::read_dir(ROOT).into_iter().flatten().flatten().map(|entry| entry.path());
    folders.filter(|folder| !folder.is_symlink() && is_group(folder)).collect()
}

/// Version 2 only: lets groups below use the controllers. A controller that cannot be handed down stays away.
fn hand_down_controllers(group: &Path) {
    let available = fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default();
    for controller in available.split_whitespace() {
        let _ = fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}
