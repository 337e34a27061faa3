//! `kubectl` and `helm` against one cluster, as a user calls them.
//!
//! *Never:* what is applied.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
};

use anyhow::{Context as _, bail};

use crate::parts::Parts;

/// The two programs and the cluster they talk to.
#[derive(Clone, Debug)]
pub struct Kubectl {
    kubectl: PathBuf,
    helm: PathBuf,
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
}

// === impl Kubectl ===

impl Kubectl {
    /// Both programs, with a kubeconfig file or the user's own, and a context or the current one.
    #[must_use]
    pub fn new(kubectl: PathBuf, helm: PathBuf, kubeconfig: Option<&Path>, context: Option<&str>) -> Self {
        Self { kubectl, helm, kubeconfig: kubeconfig.map(Path::to_owned), context: context.map(str::to_owned) }
    }

    /// Both programs as the parts have them, for the cluster of a kubeconfig file.
    ///
    /// # Errors
    /// When a program is missing.
    pub fn of_parts(parts: &Parts, kubeconfig: &Path) -> anyhow::Result<Self> {
        Ok(Self::new(parts.program("kubectl")?, parts.program("helm")?, Some(kubeconfig), None))
    }

    /// `kubectl ARGUMENTS`; its standard output.
    ///
    /// # Errors
    /// When it fails, with its standard error.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        told(&format!("kubectl {}", arguments.join(" ")), output(self.kubectl().args(arguments), "")?)
    }

    /// `kubectl apply --server-side -f -` of a manifest.
    ///
    /// # Errors
    /// When it fails, with its standard error.
    pub fn apply(&self, namespace: &str, manifest: &str) -> anyhow::Result<String> {
        told("kubectl apply", self.try_apply(namespace, manifest)?)
    }

    /// The same, whatever comes of it.
    ///
    /// # Errors
    /// When kubectl cannot be run.
    pub fn try_apply(&self, namespace: &str, manifest: &str) -> anyhow::Result<Output> {
        let arguments = ["--namespace", namespace, "apply", "--server-side", "--filename", "-"];
        output(self.kubectl().args(arguments), manifest)
    }

    /// `kubectl apply --server-side -f FOLDER`.
    ///
    /// # Errors
    /// When it fails, with its standard error.
    pub fn apply_folder(&self, folder: &Path) -> anyhow::Result<String> {
        let folder = folder.to_str().context("expected a folder with a name in UTF-8")?;
        self.run(&["apply", "--server-side", "--filename", folder])
    }

    /// `helm ARGUMENTS`; its standard output.
    ///
    /// # Errors
    /// When it fails, with its standard error.
    pub fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut helm = Command::new(&self.helm);
        if let Some(kubeconfig) = &self.kubeconfig {
            helm.env("KUBECONFIG", kubeconfig);
        }
        if let Some(context) = &self.context {
            helm.args(["--kube-context", context]);
        }
        told(&format!("helm {}", arguments.join(" ")), output(helm.args(arguments), "")?)
    }

    /// The command with its kubeconfig and context, for more arguments.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        if let Some(kubeconfig) = &self.kubeconfig {
            command.arg("--kubeconfig").arg(kubeconfig);
        }
        if let Some(context) = &self.context {
            command.args(["--context", context]);
        }
        command
    }

    /// How a person calls it: the command line up to the sub-command.
    #[must_use]
    pub fn spelled(&self) -> String {
        let command = self.kubectl();
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}

fn output(command: &mut Command, input: &str) -> anyhow::Result<Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("{:?}", command.get_program()))?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    let input = input.to_owned();
    let writer = thread::spawn(move || std::io::Write::write_all(&mut stdin, input.as_bytes()));
    let output = child.wait_with_output()?;
    let _ = writer.join();
    Ok(output)
}

fn told(what: &str, output: Output) -> anyhow::Result<String> {
    if !output.status.success() {
        bail!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}
