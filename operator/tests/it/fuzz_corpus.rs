//! The laws of the fuzz targets, on what the fuzzer starts from and on every input that once broke one of them.
//!
//! *Never:* new inputs; the fuzzer makes those.

use std::{fs, path::Path};

use crate::laws::LAWS;

/// A finding stays a file: the test reads whatever is there.
#[test]
fn seeds_and_findings_keep_the_laws() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (name, law) in LAWS {
        let folders = [fuzz.join("seeds").join(name), fuzz.join("findings").join(name)];
        let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
        let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        assert!(!files.is_empty(), "expected files in {}, found none", folders[0].display());
        for file in files {
            println!("{}", file.display());
            law(&fs::read(&file).unwrap());
        }
    }
}
