//! The program on a cluster below the floor: it says why, and ends.
//!
//! *Never:* which versions those are; that is tested beside the code.

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// As Kubernetes 1.32 tells its version.
const VERSION: &str = r#"{"major": "1", "minor": "32", "gitVersion": "v1.32.9", "gitCommit": "0", "gitTreeState": "clean",
  "buildDate": "2025-01-01T00:00:00Z", "goVersion": "go1.23.0", "compiler": "gc", "platform": "linux/amd64"}"#;

const SENTENCE: &str =
    "expected Kubernetes 1.33 or newer, found v1.32.9: sidecars of pods are not reliable there; upgrade the cluster";

/// Tells its version, and has no part in anything else.
fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut request = BufReader::new(stream.try_clone()?).lines();
    let first = request.next().transpose()?.unwrap_or_default();
    while request.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let (status, body) = match first.as_str() {
        "GET /version HTTP/1.1" => ("200 OK", VERSION),
        _ => ("503 Service Unavailable", "{}"),
    };
    let head = format!("Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close", body.len());
    write!(stream, "HTTP/1.1 {status}\r\n{head}\r\n\r\n{body}")
}

#[test]
fn the_program_ends_with_a_sentence_on_a_cluster_below_the_floor() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    thread::spawn(move || {
        server.incoming().flatten().for_each(|stream| drop(thread::spawn(move || answer(stream))));
    });
    let kubeconfig = env::temp_dir().join(format!("sidegate-floor-{}", std::process::id()));
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: old, contexts: [{{name: old, context: {{cluster: old, user: me}}}}], \
         clusters: [{{name: old, cluster: {{server: \"http://{address}\"}}}}], users: [{{name: me, user: {{token: t}}}}]}}"
    );
    fs::write(&kubeconfig, text).unwrap();

    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate-operator"));
    command.env("KUBECONFIG", &kubeconfig).env_remove("KUBERNETES_SERVICE_HOST");
    command.args(["--namespace=here", "--sidecar.image=sidegate:1"]);
    command.args(["--webhook.listen-address=127.0.0.1:0", "--admin.listen-address=127.0.0.1:0"]);
    let mut operator = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let errors = operator.stderr.take().unwrap();
    let errors = thread::spawn(move || io::read_to_string(errors).unwrap());
    let ended = e2e::wait::blocking("the operator to end", Duration::from_secs(60), || Ok(operator.try_wait()?));
    // Whether it ended or not.
    let _ = operator.kill();
    let errors = errors.join().unwrap();
    fs::remove_file(&kubeconfig).unwrap();
    assert_eq!(ended.unwrap().code(), Some(1), "{errors}");
    assert!(errors.lines().any(|line| line == format!("Error: {SENTENCE}")), "{errors}");
}
