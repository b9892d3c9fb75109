//! Links the plugin with packed relative relocations where the system's loader knows them.
//!
//! The program has more than a hundred thousand of them; packed they take a fiftieth of the room, which every process of
//! ours (operator, Job, plugin) would otherwise read and keep in memory.

use std::env::var;
use std::process::Command;

/// The first glibc whose loader unpacks them.
const SINCE: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let glibc = var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux")
        && var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu");
    let here = var("HOST").is_ok() && var("HOST") == var("TARGET");
    if glibc && here && version().is_some_and(|found| found >= SINCE) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Of this system's glibc, as `getconf` tells it: `glibc 2.41`.
fn version() -> Option<(u32, u32)> {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    let minor = minor.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
