//! DELETE at the scrape port of a real process, signed with a real key.

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use ed25519_dalek::{Signer, SigningKey};
use protocol::{
    signed_request::{SignatureHeader, SignedRequest},
    trust::{OPERATOR_KEYS_FILE, print_operator_keys},
};

use crate::gateway::{Gateway, request};

/// A mounted folder with one key, gone with the value.
struct Trust {
    dir: PathBuf,
    key: SigningKey,
}

impl Trust {
    fn new(test: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("sidegate-signed-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let key = SigningKey::from_bytes(&[7; 32]);
        std::fs::write(dir.join(OPERATOR_KEYS_FILE), print_operator_keys(&[key.verifying_key().to_bytes()])).unwrap();
        Self { dir, key }
    }

    fn sign(&self, path: &str, target: &str, push_time: &str, nonce: u8) -> [String; 2] {
        self.sign_for(path, target, push_time, None, nonce)
    }

    fn sign_for(
        &self,
        path: &str,
        target: &str,
        push_time: &str,
        failure_time: Option<&str>,
        nonce: u8,
    ) -> [String; 2] {
        #[expect(clippy::disallowed_methods, reason = "the process under test goes by this clock")]
        let signed_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let nonce = [nonce; 16];
        let signed = SignedRequest { method: "DELETE", path, target, push_time, failure_time, signed_at, nonce };
        let signature = self.key.sign(&signed.message()).to_bytes();
        let header = SignatureHeader { signed_at, nonce, signature };
        [format!("sidegate-signature: {header}"), format!("sidegate-if-push-time: {push_time}")]
    }
}

impl Drop for Trust {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.dir).unwrap();
    }
}

fn delete(page: SocketAddr, path: &str, headers: &[String; 2]) -> (u16, String) {
    let headers = headers.each_ref().map(String::as_str);
    request(page, "DELETE", path, &headers, "")
}

fn push_time(page: SocketAddr) -> String {
    let (_, text) = request(page, "GET", "/metrics?name[]=push_time_seconds", &["sidegate-operator-read: 1"], "");
    text.lines().last().unwrap().rsplit_once(' ').unwrap().1.to_owned()
}

#[test]
fn the_operator_deletes_what_it_has_seen_and_nobody_else_anything() {
    let trust = Trust::new("all");
    let dir = format!("--trust.dir={}", trust.dir.display());
    let (_gateway, push, page) = Gateway::sidecar(&[&dir, "--pod.uid=uid-1"]);
    // A path that is not spelled as the operator would is signed as sent.
    let path = "/metrics/job@base64/L3Zhcg==/a/%62";
    assert_eq!(request(push, "PUT", path, &[], "x 1\n").0, 200);
    let seen = push_time(page);

    let check = |headers: &[String; 2], status: u16, start: &str| {
        let (found, sentence) = delete(page, path, headers);
        assert!(found == status && sentence.starts_with(start), "{found} {sentence}");
    };
    assert_eq!(request(page, "DELETE", path, &[], "").0, 401);
    let [signature, if_push_time] = trust.sign(path, "uid-1", &seen, 1);
    assert_eq!(request(page, "DELETE", path, &[&if_push_time], "").0, 401);
    assert_eq!(request(page, "DELETE", path, &[&signature], "").0, 400);
    check(&trust.sign(path, "uid-2", &seen, 2), 401, "expected a signature of the operator over this very request");
    check(&trust.sign("/metrics/job/other", "uid-1", &seen, 3), 401, "expected a signature of the operator");

    assert_eq!(request(push, "PUT", path, &[], "x 2\n").0, 200);
    check(&trust.sign(path, "uid-1", &seen, 4), 412, "expected a group last pushed at");
    check(&trust.sign(path, "uid-1", &seen, 4), 401, "expected a signature that was not used before");
    check(&trust.sign(path, "uid-1", &push_time(page), 5), 202, "");
    let (_, text) = request(page, "GET", "/metrics", &[], "");
    assert!(!text.contains("job="), "{text}");
    for (outcome, count) in
        [("accepted", 1), ("bad_signature", 2), ("pushed_since", 1), ("replayed", 1), ("unsigned", 2)]
    {
        let line = format!("\nsidegate_signed_deletes_total{{outcome=\"{outcome}\"}} {count}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
}

#[test]
fn at_push_time_zero_the_operator_says_the_failure_time_it_has_seen() {
    let trust = Trust::new("zero");
    let dir = format!("--trust.dir={}", trust.dir.display());
    let (_gateway, push, page) = Gateway::sidecar(&[&dir, "--pod.uid=uid-1"]);
    let path = "/metrics/job/j";
    let refused = || {
        assert_eq!(request(push, "PUT", path, &[], "x 1 5\n").0, 400);
        let (_, text) = request(page, "GET", "/metrics?name[]=push_failure_time_seconds", &[], "");
        text.lines().last().unwrap().rsplit_once(' ').unwrap().1.to_owned()
    };
    let check = |signed_for: Option<&str>, sent: Option<&str>, nonce: u8, status: u16, start: &str| {
        let [signature, if_push_time] = trust.sign_for(path, "uid-1", "0", signed_for, nonce);
        let if_failure_time = sent.map(|time| format!("sidegate-if-push-failure-time: {time}"));
        let headers: Vec<_> = [signature, if_push_time].into_iter().chain(if_failure_time).collect();
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        let (found, sentence) = request(page, "DELETE", path, &headers, "");
        assert!(found == status && sentence.starts_with(start), "{found} {sentence}");
    };
    let (seen, now) = (refused(), refused());
    let beside = "expected `sidegate-if-push-failure-time` beside a signed `sidegate-if-push-time` of 0, found none";
    check(None, None, 1, 400, beside);
    check(Some(&seen), Some(&now), 2, 401, "expected a signature of the operator over this very request");
    check(None, Some(&now), 3, 401, "expected a signature of the operator over this very request");
    check(Some(&seen), Some(&seen), 4, 412, "expected a group last refused a push at");
    check(Some(&now), Some(&now), 5, 202, "");
}

#[test]
fn without_a_pod_no_signature_is_accepted() {
    let trust = Trust::new("no-pod");
    let dir = format!("--trust.dir={}", trust.dir.display());
    let (_gateway, push, page) = Gateway::sidecar(&[&dir]);
    assert_eq!(request(push, "PUT", "/metrics/job/j", &[], "").0, 200);
    let headers = trust.sign("/metrics/job/j", "", &push_time(page), 1);
    let (status, sentence) = delete(page, "/metrics/job/j", &headers);
    assert!(status == 401 && sentence.contains("--pod.uid"), "{status} {sentence}");
}
