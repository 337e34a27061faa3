//! The volumes of a sidecar: what it trusts, what it keeps, the tokens it asks for. Pure.
//!
//! The Secret and the ConfigMap are optional, so that a pod starts whether or not they are there; both reach the sidecar
//! when they come. What is kept has no size limit: a kubelet evicts the whole pod for that, and the sidecar's own limits
//! say how much it may be. The pod's limits of what it writes count it all the same, see `ephemeral_storage`.
//!
//! The pod's service account is not the sidecar's: Kubernetes mounts its token into every container that has nothing in
//! that place, so there is something in it.
//!
//! *Never:* the pod's other volumes.

use crds::sidecar::{Sidecar, Storage};
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, KeyToPath, SecretVolumeSource, Volume, VolumeMount,
};
use protocol::trust::CONFIG_MAP_NAME;

/// Where `sidegate-trust` is mounted.
pub const TRUST_DIR: &str = "/etc/sidegate/trust";

/// The folder that is kept, a part of the volume: the sidecar makes it for itself alone.
pub const STORAGE_DIR: &str = "/var/lib/sidegate/groups";

/// The file with tokens.
pub const TOKEN_FILE: &str = "/etc/sidegate/tokens/tokens";

/// The volume that is kept for as long as the pod lives. A volume of that name that the pod has is used instead.
pub const STORAGE_VOLUME: &str = "sidegate-storage";

/// The annotation by which the cluster autoscaler learns which volumes of a pod are no reason to keep its node.
pub const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";

const STORAGE_MOUNT: &str = "/var/lib/sidegate";

/// Where Kubernetes puts the token of the pod's service account.
const SERVICE_ACCOUNT_MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

const TOKENS_VOLUME: &str = "sidegate-tokens";

const TOKENS_MOUNT: &str = "/etc/sidegate/tokens";

/// The key of the Secret.
const TOKENS_KEY: &str = "tokens";

/// A volume and where it is mounted.
#[derive(Clone, Debug, PartialEq)]
pub struct Mounted {
    /// The volume.
    pub volume: Volume,
    /// Where the sidecar finds it.
    pub mount: VolumeMount,
}

/// The volumes of a sidecar, in order.
#[must_use]
pub fn volumes(sidecar: &Sidecar) -> Vec<Mounted> {
    let mut volumes = vec![trust()];
    if let Some(medium) = storage_medium(sidecar) {
        volumes.push(storage(medium));
    }
    if let Some(auth) = &sidecar.auth {
        volumes.push(tokens(&auth.secret_name));
    }
    volumes
}

/// Where a sidecar finds its volumes, and what keeps the service account's token out.
#[must_use]
pub fn mounts(volumes: &[Mounted]) -> Vec<VolumeMount> {
    let instead_of_token = mount(CONFIG_MAP_NAME, SERVICE_ACCOUNT_MOUNT, true);
    volumes.iter().map(|mounted| mounted.mount.clone()).chain([instead_of_token]).collect()
}

/// What the storage is on, as Kubernetes spells it; `None` where there is none.
#[must_use]
pub fn storage_medium(sidecar: &Sidecar) -> Option<&'static str> {
    match sidecar.storage.unwrap_or_default() {
        Storage::Disk => Some(""),
        Storage::Memory => Some("Memory"),
        Storage::None => None,
    }
}

fn trust() -> Mounted {
    let config_map =
        ConfigMapVolumeSource { name: CONFIG_MAP_NAME.to_owned(), optional: Some(true), ..Default::default() };
    let volume = Volume { name: CONFIG_MAP_NAME.to_owned(), config_map: Some(config_map), ..Volume::default() };
    Mounted { mount: mount(CONFIG_MAP_NAME, TRUST_DIR, true), volume }
}

fn storage(medium: &str) -> Mounted {
    let medium = Some(medium.to_owned()).filter(|medium| !medium.is_empty());
    let empty_dir = EmptyDirVolumeSource { medium, size_limit: None };
    let volume = Volume { name: STORAGE_VOLUME.to_owned(), empty_dir: Some(empty_dir), ..Volume::default() };
    Mounted { mount: mount(STORAGE_VOLUME, STORAGE_MOUNT, false), volume }
}

fn tokens(secret_name: &str) -> Mounted {
    let item = KeyToPath { key: TOKENS_KEY.to_owned(), path: TOKENS_KEY.to_owned(), mode: None };
    let secret = SecretVolumeSource {
        secret_name: Some(secret_name.to_owned()),
        items: Some(vec![item]),
        optional: Some(true),
        default_mode: None,
    };
    let volume = Volume { name: TOKENS_VOLUME.to_owned(), secret: Some(secret), ..Volume::default() };
    Mounted { mount: mount(TOKENS_VOLUME, TOKENS_MOUNT, true), volume }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(read_only).filter(|read_only| *read_only),
        ..VolumeMount::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(fields: Value) -> Vec<Value> {
        let sidecar: Sidecar = serde_json::from_value(fields).unwrap();
        volumes(&sidecar).iter().map(|mounted| serde_json::to_value(&mounted.volume).unwrap()).collect()
    }

    #[test]
    fn a_sidecar_keeps_what_was_pushed_in_the_pod_unless_told_otherwise() {
        let trust = json!({"name": "sidegate-trust", "configMap": {"name": "sidegate-trust", "optional": true}});
        assert_eq!(found(json!({})), [trust.clone(), json!({"name": "sidegate-storage", "emptyDir": {}})]);
        assert_eq!(
            found(json!({"storage": "Memory"})),
            [trust.clone(), json!({"name": "sidegate-storage", "emptyDir": {"medium": "Memory"}})]
        );
        assert_eq!(found(json!({"storage": "None"})), [trust]);
    }

    #[test]
    fn the_tokens_are_one_key_of_a_secret_that_may_come_later() {
        let secret = json!({"name": "sidegate-tokens", "secret": {
            "secretName": "push-tokens", "optional": true, "items": [{"key": "tokens", "path": "tokens"}],
        }});
        assert_eq!(found(json!({"storage": "None", "auth": {"secretName": "push-tokens"}}))[1], secret);
    }

    #[test]
    fn the_token_of_the_service_account_finds_its_place_taken() {
        let all = volumes(&Sidecar::default());
        let mounts = mounts(&all);
        let last = mounts.last().unwrap();
        assert_eq!(last.mount_path, "/var/run/secrets/kubernetes.io/serviceaccount");
        assert!(all.iter().any(|mounted| mounted.volume.name == last.name));
        assert_eq!(last.read_only, Some(true));
    }

    #[test]
    fn every_file_is_in_a_mounted_volume() {
        let sidecar: Sidecar = serde_json::from_value(json!({"auth": {"secretName": "a"}})).unwrap();
        let mounts: Vec<_> = volumes(&sidecar).into_iter().map(|mounted| mounted.mount.mount_path).collect();
        for (file, mount) in [TRUST_DIR, STORAGE_DIR, TOKEN_FILE].iter().zip(mounts) {
            assert!(file.starts_with(&mount), "{file} is not in {mount}");
        }
    }
}
