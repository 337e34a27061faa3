//! `cargo reference`: writes the references of fields and flags into the chart.
//!
//! An example and no binary, since only tests and examples of the operator may know the sidecar.
//!
//! *Never:* what is in them.

use std::{fs, path::Path};

#[path = "../tests/it/reference/tables.rs"]
mod tables;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (path, text) in tables::files()? {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        fs::create_dir_all(file.parent().ok_or("a file is in a folder")?)?;
        fs::write(file, text)?;
    }
    Ok(())
}
