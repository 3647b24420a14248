//! Lines from a file or pipe.

use std::io::{self, BufRead, StdinLock};

use super::{Line, Lines, Target};

/// Standard input.
pub(crate) struct Piped(StdinLock<'static>);

impl Piped {
    pub(crate) fn new() -> Self {
        Self(io::stdin().lock())
    }
}

impl Lines for Piped {
    fn next_line(&mut self, _: &mut dyn Target) -> io::Result<Line> {
        let mut line = Vec::new();
        Ok(if self.0.read_until(b'\n', &mut line)? == 0 { Line::End } else { Line::Text(line) })
    }
}
