//! Which commit this program is built from: figures say nothing without it, and when they are taken the sources may have
//! moved on.

use std::process::Command;

/// What the program and the server that it measures are built from.
const SOURCES: [&str; 5] =
    ["src", "../engine/src", "../server/src", "../server/protocol/src", "../client/src"];

fn main() {
    println!("cargo::rustc-env=CRABCACHE_BENCH_COMMIT={}", commit().unwrap_or_else(|| "unknown".to_owned()));
    for path in SOURCES {
        println!("cargo::rerun-if-changed={path}");
    }
    // A commit changes no source.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
}

fn commit() -> Option<String> {
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
    Some(if changed { commit + "+" } else { commit })
}

/// What git prints in this directory; none where it, or a repository, is not there.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
