//! Where a session's history is kept, and what is not.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use crabcache_protocol::resp::inline;

/// `$XDG_STATE_HOME/crabcache/history`, in a directory that only its owner may enter; none without a home.
pub(crate) fn path() -> io::Result<Option<PathBuf>> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let Some(state) = state.or_else(|| Some(std::env::home_dir()?.join(".local/state"))) else {
        return Ok(None);
    };
    let directory = state.join("crabcache");
    DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
    Ok(Some(directory.join("history")))
}

/// Whether a line has a password, or begins with a blank, as one does that is not to be kept.
pub(crate) fn is_secret(line: &str) -> bool {
    let words = inline::words(line.as_bytes()).unwrap_or_default();
    let word = |at: usize| words.get(at).map(|word| word.to_ascii_lowercase()).unwrap_or_default();
    let is = |at: usize, name: &[u8]| word(at) == name;
    line.starts_with(' ')
        || is(0, b"auth")
        || is(0, b"migrate")
        || is(0, b"acl") && is(1, b"setuser")
        || is(0, b"hello") && (1..words.len()).any(|at| is(at, b"auth"))
        || is(0, b"config")
            && is(1, b"set")
            && (2..words.len()).any(|at| is(at, b"requirepass") || is(at, b"masterauth"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_kept() {
        for line in [
            "AUTH me secret",
            "hello 3 AUTH me secret",
            "config set maxmemory 1 requirepass x",
            "acl setuser a >b",
            " get k",
        ] {
            assert!(is_secret(line), "{line}");
        }
        for line in ["get auth", "hello 3", "config get requirepass", "set k \"unclosed"] {
            assert!(!is_secret(line), "{line}");
        }
    }
}
