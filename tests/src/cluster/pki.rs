//! Certificates and keys of the cluster, good for two days, and the kubeconfigs that hold them.
//!
//! *Never:* who is allowed what.

use std::{fs, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;

use super::NODE_ADDRESS;

/// Writes the CA, the API server's pair, the administrator's pair and the key of service-account tokens.
pub(super) fn write(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::default();
    ca.distinguished_name = name(&[(DnType::CommonName, "sidegate-cluster")]);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    fs::write(folder.join("ca.crt"), ca.self_signed(&ca_key)?.pem())?;
    let issuer = Issuer::new(ca, ca_key);

    let names = ["127.0.0.1", "10.96.0.1", NODE_ADDRESS, "localhost", "kubernetes", "kubernetes.default.svc"];
    let mut server = CertificateParams::new(names.map(str::to_owned).to_vec())?;
    server.distinguished_name = name(&[(DnType::CommonName, "kube-apiserver")]);
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    issue(folder, "apiserver", &server, &issuer)?;

    let mut admin = CertificateParams::default();
    admin.distinguished_name = name(&[(DnType::OrganizationName, "system:masters"), (DnType::CommonName, "admin")]);
    admin.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    issue(folder, "admin", &admin, &issuer)?;

    let tokens = KeyPair::generate()?;
    fs::write(folder.join("tokens.key"), tokens.serialize_pem())?;
    fs::write(folder.join("tokens.pub"), tokens.public_key_pem())?;
    Ok(())
}

/// A kubeconfig of the administrator, as JSON, which is YAML.
pub(super) fn kubeconfig(state: &Path, server: &str) -> anyhow::Result<String> {
    let pki = state.join("pki");
    let file = |name: &str| fs::read(pki.join(name)).map(k8s_openapi::ByteString);
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "sidegate",
            "cluster": {"server": server, "certificate-authority-data": file("ca.crt")?},
        }],
        "users": [{
            "name": "admin",
            "user": {"client-certificate-data": file("admin.crt")?, "client-key-data": file("admin.key")?},
        }],
        "contexts": [{"name": "sidegate", "context": {"cluster": "sidegate", "user": "admin"}}],
        "current-context": "sidegate",
    })
    .to_string())
}

fn issue(folder: &Path, file: &str, params: &CertificateParams, issuer: &Issuer<'_, KeyPair>) -> anyhow::Result<()> {
    let key = KeyPair::generate()?;
    fs::write(folder.join(format!("{file}.crt")), params.signed_by(&key, issuer)?.pem())?;
    fs::write(folder.join(format!("{file}.key")), key.serialize_pem())?;
    Ok(())
}

fn name(parts: &[(DnType, &str)]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for (kind, value) in parts {
        name.push(kind.clone(), *value);
    }
    name
}
