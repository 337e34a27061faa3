//! Container images out of static binaries, as OCI archives, without a container engine.
//!
//! One layer, one manifest; every file belongs to root and has a fixed date, so that the same files make the same
//! image.
//!
//! *Never:* what a program in an image does; where the archive goes.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

/// An image to be packed.
#[derive(Clone, Debug)]
pub struct Image {
    /// The name that pods call it by: `localhost/sidegate:dev`.
    pub name: String,
    /// What runs if a pod names no command.
    pub entrypoint: Vec<String>,
    /// Path in the image, without leading `/`, and the file on this machine.
    pub files: Vec<(String, PathBuf)>,
    /// Path in the image, without leading `/`, and what it points to.
    pub links: Vec<(String, String)>,
}

/// A part of an archive, known by its digest.
struct Blob {
    media_type: &'static str,
    /// `sha256:` and the hash in hexadecimal.
    digest: String,
    content: Vec<u8>,
}

// === impl Image ===

impl Image {
    /// An image of one program in `/bin`, which is also its entrypoint.
    #[must_use]
    pub fn of_program(name: &str, program: &str, file: &Path) -> Self {
        Self {
            name: name.to_owned(),
            entrypoint: vec![format!("/bin/{program}")],
            files: vec![(format!("bin/{program}"), file.to_owned())],
            links: Vec::new(),
        }
    }

    /// busybox with the applets that tests and the demo use.
    #[must_use]
    pub fn of_busybox(name: &str, file: &Path) -> Self {
        let mut image = Self::of_program(name, "busybox", file);
        let applets = ["sh", "sleep", "wget", "date", "cat", "echo", "seq", "test", "true", "false", "nc", "kill"];
        image.links = applets.iter().map(|applet| (format!("bin/{applet}"), "busybox".to_owned())).collect();
        image.entrypoint = vec!["/bin/sh".to_owned()];
        image
    }

    /// Adds all files of a folder, below a path in the image.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn add_folder(&mut self, path: &str, folder: &Path) -> anyhow::Result<()> {
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let path = format!("{path}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                self.add_folder(&path, &entry.path())?;
            } else {
                self.files.push((path, entry.path()));
            }
        }
        Ok(())
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// When a file cannot be read or the archive cannot be written.
    pub fn write(&self, archive: &Path) -> anyhow::Result<()> {
        let layer = Blob::new("application/vnd.oci.image.layer.v1.tar", self.layer()?);
        let config = Blob::of_json(
            "application/vnd.oci.image.config.v1+json",
            &json!({
                "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
                "os": "linux",
                "config": {"Entrypoint": self.entrypoint, "Env": ["PATH=/bin"]},
                "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
            }),
        );
        let manifest = Blob::of_json(
            "application/vnd.oci.image.manifest.v1+json",
            &json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": config.descriptor(&json!({})),
                "layers": [layer.descriptor(&json!({}))],
            }),
        );
        let names = json!({"io.containerd.image.name": self.name, "org.opencontainers.image.ref.name": self.name});
        let index = json!({"schemaVersion": 2, "manifests": [manifest.descriptor(&names)]}).to_string();

        let out = File::create(archive).with_context(|| archive.display().to_string())?;
        let mut out = Builder::new(BufWriter::new(out));
        append(&mut out, "oci-layout", br#"{"imageLayoutVersion": "1.0.0"}"#, 0o644)?;
        append(&mut out, "index.json", index.as_bytes(), 0o644)?;
        for blob in [&layer, &config, &manifest] {
            append(&mut out, &format!("blobs/{}", blob.digest.replace(':', "/")), &blob.content, 0o644)?;
        }
        out.into_inner()?.into_inner().map_err(|error| error.into_error())?.sync_data()?;
        Ok(())
    }

    fn layer(&self) -> anyhow::Result<Vec<u8>> {
        let mut layer = Builder::new(Vec::new());
        let paths = self.files.iter().map(|(path, _)| path).chain(self.links.iter().map(|(path, _)| path));
        let folders: BTreeSet<&Path> = paths.flat_map(|path| Path::new(path).ancestors().skip(1)).collect();
        for folder in folders.into_iter().filter(|folder| *folder != Path::new("")) {
            append_folder(&mut layer, folder, 0o755)?;
        }
        append_folder(&mut layer, Path::new("tmp"), 0o1777)?;
        for (path, file) in &self.files {
            let content = fs::read(file).with_context(|| file.display().to_string())?;
            append(&mut layer, path, &content, 0o755)?;
        }
        for (path, target) in &self.links {
            let mut header = header(EntryType::Symlink, 0, 0o777);
            layer.append_link(&mut header, path, target)?;
        }
        Ok(layer.into_inner()?)
    }
}

fn append(out: &mut Builder<impl std::io::Write>, path: &str, content: &[u8], mode: u32) -> anyhow::Result<()> {
    let mut header = header(EntryType::Regular, content.len() as u64, mode);
    Ok(out.append_data(&mut header, path, content)?)
}

fn append_folder(out: &mut Builder<Vec<u8>>, path: &Path, mode: u32) -> anyhow::Result<()> {
    let mut header = header(EntryType::Directory, 0, mode);
    Ok(out.append_data(&mut header, path, &[][..])?)
}

fn header(kind: EntryType, size: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(0);
    header
}

// === impl Blob ===

impl Blob {
    fn new(media_type: &'static str, content: Vec<u8>) -> Self {
        let digest = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Self { media_type, digest: format!("sha256:{digest}"), content }
    }

    fn of_json(media_type: &'static str, content: &Value) -> Self {
        Self::new(media_type, content.to_string().into_bytes())
    }

    fn descriptor(&self, annotations: &Value) -> Value {
        json!({
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.content.len(),
            "annotations": annotations,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn an_archive_names_every_blob_by_its_digest() {
        let folder = std::env::temp_dir().join(format!("sidegate-image-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (program, archive) = (folder.join("program"), folder.join("image.tar"));
        fs::write(&program, "content").unwrap();
        Image::of_busybox("localhost/test:dev", &program).write(&archive).unwrap();

        let mut blobs = 0;
        let mut names = String::new();
        for entry in tar::Archive::new(File::open(&archive).unwrap()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            if let Some(name) = path.strip_prefix("blobs/sha256/") {
                assert_eq!(format!("sha256:{name}"), Blob::new("", content.clone()).digest);
                blobs += 1;
            }
            if path == "index.json" {
                names = String::from_utf8(content).unwrap();
            }
        }
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(blobs, 3);
        assert!(names.contains("\"io.containerd.image.name\":\"localhost/test:dev\""), "{names}");
    }
}
