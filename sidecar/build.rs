//! Tells the linker to keep the places that are relocated at the start as a bitmap: a fortieth of the room, and that room
//! is mapped in every pod.
//!
//! *Never:* code.

#![allow(clippy::print_stdout, reason = "this is how a build script talks")]

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let has = |variable, expected| env::var(variable).is_ok_and(|found| found == expected);
    // Both GNU's linker and LLVM's know it; others may not.
    if has("CARGO_CFG_TARGET_OS", "linux") && has("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
