//! The sub-command at its edge: files and standard input in, standard output and standard error out.
//!
//! Standard output gets all of the manifests or nothing.
//!
//! *Never:* what is in a manifest.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use super::{Given, OfflineError, known::Known, learn, run};
use crate::{args::InjectArgs, config::SidecarImage};

/// The name of standard input.
const STDIN: &str = "-";

/// Why the command fails.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A file cannot be read, or is not UTF-8.
    #[error("{}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A manifest is wrong.
    #[error("{}: {error}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: OfflineError,
    },
    /// Nobody reads what comes out.
    #[error("cannot write the manifests: {0}")]
    Write(#[source] io::Error),
}

/// Carries out `inject`.
///
/// # Errors
/// When a file cannot be read, a manifest is wrong, or the result cannot be written.
pub fn carry_out(args: &InjectArgs, image: &SidecarImage) -> Result<(), CommandError> {
    let given = Given { image, namespace: &args.namespace };
    let wrong = |path: &Path| {
        let path = path.to_owned();
        |error| CommandError::Manifest { path, error }
    };
    let mut known = Known::default();
    for path in &args.with {
        learn(&mut known, &read(path)?, given).map_err(wrong(path))?;
    }
    let done = run(&read(&args.filename)?, known, given).map_err(wrong(&args.filename))?;
    for remark in &done.remarks {
        // Whoever closed standard error does not want to know.
        let _ = writeln!(io::stderr(), "{remark}");
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(done.manifests.as_bytes()).and_then(|()| stdout.flush()).map_err(CommandError::Write)
}

fn read(path: &Path) -> Result<String, CommandError> {
    let mut text = String::new();
    let read = if path == Path::new(STDIN) {
        io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    read.map_err(|error| CommandError::Read { path: path.to_owned(), error })
}
