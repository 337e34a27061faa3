//! How the operator gets in: credentials, prefixes, TLS.

use std::path::Path;

use anyhow::ensure;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use operator::{
    certs::{
        issue::{Lifetimes, issue_authority, issue_identity},
        x509::write_pem,
    },
    clock::Clock,
    gc::report::GatewayState,
};
use serde_json::json;

use crate::world::{Collecting, Folder, Gateway, key};

/// Of the password `open sesame`.
const HASH: &str = "$2b$05$lzDRyMz8X54/CODcohxF0.WXq0rrf5oGuA13fDEbYCmZYZJhDEGMK";

pub(crate) fn a_user_and_a_password_get_in_below_a_prefix(program: &Path) -> anyhow::Result<()> {
    let folder = Folder::create()?;
    let config = folder.file("web.yaml", &format!("basic_auth_users: {{Aladdin: '{HASH}'}}\n"))?;
    let config = format!("--web.config.file={config}");
    let mut gateway = Gateway::start(program, &[&config, "--web.route-prefix=/a/pg"])?;
    let good = STANDARD.encode("Aladdin:open sesame");
    gateway.authorization = Some(format!("Basic {good}"));
    gateway.push(&key(&[("job", "old")])?)?;
    let gateway_spec = json!({"url": format!("{}/", gateway.url()), "auth": {"secretName": "pg"}});
    let spec = json!({"gateway": gateway_spec, "staleAfter": "1s"});

    let wrong = json!({"username": STANDARD.encode("Aladdin"), "password": STANDARD.encode("open wheat")});
    let collecting = Collecting::start(spec.clone(), &wrong)?;
    let (reason, message) = collecting.until("a refusal", |report| match &report.gateway {
        Some(GatewayState::Unreachable { reason, message }) => Some((*reason, message.clone())),
        _ => None,
    })?;
    ensure!(reason == "Unauthorized" && message.ends_with("found status 401"), "{reason}: {message}");
    ensure!(!message.contains("wheat"), "{message}");
    drop(collecting);

    let right = json!({"username": STANDARD.encode("Aladdin\n"), "password": STANDARD.encode("open sesame\n")});
    let collecting = Collecting::start(spec, &right)?;
    collecting.until("the group to be gone", |report| {
        (report.gateway == Some(GatewayState::Done) && report.groups == 0).then_some(())
    })?;
    ensure!(gateway.labels()?.is_empty());
    Ok(())
}

pub(crate) fn a_gateway_over_tls_is_trusted_by_the_secrets_ca_alone(program: &Path) -> anyhow::Result<()> {
    let folder = Folder::create()?;
    let storage = format!("--persistence.file={}", folder.0.join("groups").display());
    // What pushes here speaks no TLS: the groups come from a file.
    let mut plain = Gateway::start(program, &[&storage])?;
    plain.push(&key(&[("job", "old")])?)?;
    plain.end()?;

    let (lifetimes, now) = (Lifetimes::default(), Clock::system().now());
    let authority = issue_authority(lifetimes, now)?;
    let identity = issue_identity(&authority, &["localhost".to_owned(), "127.0.0.1".to_owned()], lifetimes, now)?;
    let bundle = write_pem(&[authority.certificate]);
    folder.file("tls.crt", &identity.certificate)?;
    folder.file("tls.key", &identity.key)?;
    let config = folder.file("web.yaml", "tls_server_config: {cert_file: tls.crt, key_file: tls.key}\n")?;
    let gateway = Gateway::start(program, &[&storage, &format!("--web.config.file={config}")])?;
    let port = gateway.address.port();
    for host in ["127.0.0.1", "localhost"] {
        let gateway_spec = json!({"url": format!("https://{host}:{port}"), "auth": {"secretName": "pg"}});
        let spec = json!({"gateway": gateway_spec, "staleAfter": "1s", "dryRun": host == "127.0.0.1"});

        // Nobody signed it whom the system trusts, nor did another CA of ours.
        let other = write_pem(&[issue_authority(lifetimes, now)?.certificate]);
        for data in [json!({"token": "eA=="}), json!({"ca.crt": STANDARD.encode(other)})] {
            let collecting = Collecting::start(spec.clone(), &data)?;
            let message = collecting.until("no trust", |report| match &report.gateway {
                Some(GatewayState::Unreachable { message, .. }) => Some(message.clone()),
                _ => None,
            })?;
            ensure!(message.contains("TLS: invalid peer certificate"), "{message}");
        }
        let collecting = Collecting::start(spec, &json!({"ca.crt": STANDARD.encode(&bundle)}))?;
        let left = u64::from(host == "127.0.0.1");
        collecting.until("the group to be seen, and then gone", |report| {
            (report.gateway == Some(GatewayState::Done) && report.groups == left).then_some(())
        })?;
    }
    Ok(())
}
