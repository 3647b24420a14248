//! What goes to standard output: bytes as they are, and a newline only for people.

use std::io::{self, IsTerminal, Write};

/// Standard output; it is unbuffered, so that every write of a large value is one.
pub(crate) struct Printer {
    out: io::StdoutLock<'static>,
    terminal: bool,
}

impl Printer {
    pub(crate) fn new() -> Self {
        let out = io::stdout().lock();
        Self { terminal: out.is_terminal(), out }
    }

    /// A value, byte for byte; on a terminal with a newline after it.
    pub(crate) fn value(&mut self, value: &[u8]) -> io::Result<()> {
        self.out.write_all(value)?;
        if self.terminal {
            self.out.write_all(b"\n")?;
        }
        self.out.flush()
    }

    /// Key and value of one of several.
    pub(crate) fn pair(&mut self, key: &[u8], separator: &[u8], value: &[u8]) -> io::Result<()> {
        self.out.write_all(&[key, separator, value, b"\n"].concat())
    }

    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}
