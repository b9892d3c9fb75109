//! Links the plugin with packed relative relocations where linker and loader of this system know them.
//!
//! The program has more than a hundred thousand of them; packed they take a fiftieth of the room, which every process of
//! ours (operator, Job, plugin) would otherwise read and keep in memory.

use std::env::{var, var_os};
use std::path::Path;
use std::process::{Command, Stdio};

const PACKED: &str = "-Wl,-z,pack-relative-relocs";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let glibc = var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux")
        && var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu");
    let here = var("HOST").is_ok() && var("HOST") == var("TARGET");
    if glibc && here && works() == Some(true) {
        println!("cargo::rustc-link-arg-bins={PACKED}");
    }
}

/// Whether a program that is linked like ours, and so, runs: some linkers do not know the option, some older ones forget to
/// tell the loader of it, and loaders before glibc 2.36 do not know it.
fn works() -> Option<bool> {
    let dir = var_os("OUT_DIR")?;
    let (source, program) = (Path::new(&dir).join("probe.rs"), Path::new(&dir).join("probe"));
    std::fs::write(&source, "fn main() {}").ok()?;
    let mut rustc = Command::new(var_os("RUSTC")?);
    rustc.arg(&source).arg("-o").arg(&program);
    if let Some(linker) = var_os("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={}", linker.to_str()?));
    }
    let flags = var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    rustc.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    rustc.arg("-C").arg(format!("link-arg={PACKED}"));
    let run = |mut command: Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status().ok();
    Some(run(rustc)?.success() && run(Command::new(program))?.success())
}
