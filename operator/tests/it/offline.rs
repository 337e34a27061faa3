//! `sidegate-operator inject` as a program: files, standard input, both outputs and the exit code.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde::Deserialize as _;
use serde_json::Value;

const JOB: &str = "\
# nightly
apiVersion: batch/v1
kind: Job
metadata: {name: backup}
spec:
  template:
    metadata: {labels: {app: etl}, annotations: {sidegate.dev/inject: \"true\"}}
    spec:
      restartPolicy: Never
      containers: [{name: app, image: busybox}]
";

const HOST: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: host, annotations: {sidegate.dev/inject: \"true\"}}
spec: {hostNetwork: true, containers: [{name: app, image: busybox}]}   # as it is
";

const SERVICE: &str = "{apiVersion: v1, kind: Service,   metadata: {name: web}}\n";

const GROUP: &str = "\
apiVersion: sidegate.dev/v1alpha1
kind: PushGroup
metadata: {name: nightly, namespace: data}
spec: {selector: {matchLabels: {app: etl}}}
";

const LIMITS: &str = "\
apiVersion: v1
kind: LimitRange
metadata: {name: bounds, namespace: data}
spec: {limits: [{type: Container, default: {cpu: 1, memory: 1Gi}}]}
";

/// What a run leaves.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    code: Option<i32>,
    out: String,
    errors: String,
}

/// A folder of files that goes with its test.
struct Folder(PathBuf);

/// Runs `inject` to its end. What is put in fits into a pipe.
fn inject(args: &[&str], input: &str) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate-operator"));
    command.arg("inject").args(args).arg("--sidecar.image=sidegate:1");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that fails at once reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), out: text(output.stdout), errors: text(output.stderr) }
}

/// The objects that came out.
fn objects(manifests: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(manifests).map(|document| Value::deserialize(document).unwrap()).collect()
}

#[test]
fn a_file_comes_out_with_sidecars_and_standard_error_tells_of_each_workload() {
    let folder = Folder::new("file");
    let file = folder.file("all.yaml", format!("{SERVICE}---\n{JOB}---\n{HOST}"));
    let run = inject(&["-f", &file], "");
    assert_eq!(
        run.errors,
        "job/backup: injected, no PushGroup\n\
         job/backup: no PushGroup of the namespace selects this pod: nobody scrapes its sidecar\n\
         pod/host: no sidecar: the pod uses the node's network\n"
    );
    assert_eq!(run.code, Some(0));
    // What gets none passes as it came.
    assert!(run.out.starts_with(&format!("{SERVICE}---\n# nightly\n")), "{}", run.out);
    assert!(run.out.ends_with(&format!("---\n{HOST}")), "{}", run.out);
    let job = &objects(&run.out)[1];
    assert_eq!(job["spec"]["template"]["spec"]["initContainers"][0]["image"], "sidegate:1");

    let again = folder.file("again.yaml", run.out.clone());
    let again = inject(&["--filename", &again], "");
    assert_eq!((again.code, again.out), (Some(0), run.out));
    assert!(again.errors.starts_with("job/backup: left alone: it has the sidecar\n"), "{}", again.errors);
}

#[test]
fn a_dash_is_standard_input() {
    let folder = Folder::new("dash");
    let file = folder.file("job.yaml", JOB);
    let run = inject(&["-f", "-"], JOB);
    assert!(run.out.contains("sidegate:1"), "{run:?}");
    assert_eq!(run, inject(&["-f", &file], ""));
}

#[test]
fn what_is_given_with_it_is_known_and_does_not_come_out() {
    let folder = Folder::new("with");
    let (group, limits) = (folder.file("group.yaml", GROUP), folder.file("limits.yaml", LIMITS));
    let run = inject(&["-f", "-", "-n", "data", "--with", &group, "--with", &limits], JOB);
    assert_eq!((run.code, run.errors.as_str()), (Some(0), "job/backup: injected, PushGroup nightly\n"));
    let all = objects(&run.out);
    assert_eq!(all.len(), 1, "{}", run.out);
    // The app will have the defaults of the namespace, and its pod will be Guaranteed.
    let resources = &all[0]["spec"]["template"]["spec"]["initContainers"][0]["resources"];
    assert_eq!(resources["requests"], resources["limits"]);
    assert_eq!(resources["limits"]["cpu"], "100m");

    let piped = inject(&["-f", &folder.file("job.yaml", JOB), "-n", "data", "--with", "-"], GROUP);
    assert_eq!(piped.errors, "job/backup: injected, PushGroup nightly\n");
}

#[test]
fn where_anything_is_wrong_nothing_comes_out_and_the_exit_code_is_1() {
    let folder = Folder::new("wrong");
    let job = folder.file("job.yaml", JOB);
    let broken = folder.file("broken.yaml", format!("{JOB}---\na: [\n"));
    let latin = folder.file("latin.yaml", b"a: \xe9\n");
    let bad = folder.file("bad.yaml", GROUP.replace("selector", "staleAfter: soon, selector"));
    let missing = folder.0.join("missing.yaml").display().to_string();
    let check = |args: &[&str], expected: &str| {
        let run = inject(args, "");
        assert_eq!((run.code, run.out.as_str()), (Some(1), ""), "{args:?}: {}", run.errors);
        assert!(run.errors.contains(expected), "{args:?}: {}", run.errors);
    };
    check(&["-f", &broken], &format!("{broken}: document 2: "));
    check(&["-f", &missing], &format!("{missing}: "));
    check(&["-f", &latin], &format!("{latin}: "));
    check(&["-f", &job, "--with", &missing], &format!("{missing}: "));
    check(&["-f", &job, "--with", &bad], &format!("{bad}: document 1: pushgroup/nightly: "));
}

// === impl Folder ===

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("sidegate-inject-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let file = self.0.join(name);
        fs::write(&file, content).unwrap();
        file.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
