//! `stats --watch`: a look at the server again and again.

use std::io::Write;
use std::time::Instant;

use rustix::termios::tcgetwinsize;

use crate::args::Pace;
use crate::console::{Console, stats_json};
use crate::dashboard::{Dashboard, header, line};
use crate::failure::{Context, Failure};
use crate::figures::{Figures, Look};

/// To the first line, and everything below it gone.
pub(crate) const CLEAR: &str = "\x1b[H\x1b[J";
/// Where the terminal does not tell.
const SIZE: (usize, usize) = (80, 24);

/// Calls until so many calls are made, the interval apart, or Ctrl-C.
pub(crate) fn repeat(
    console: &mut Console,
    pace: &Pace,
    mut each: impl FnMut(&mut Console) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut left = pace.count.unwrap_or(u64::MAX);
    while left > 0 {
        let at = Instant::now();
        each(console)?;
        left -= 1;
        if left > 0 && !console.interrupt.sleep_until(at + pace.interval) {
            break;
        }
    }
    Ok(())
}

/// On a terminal a table in place of the last one, else a line for each look. A server that goes away is waited for.
pub(crate) fn watch(
    console: &mut Console,
    pace: &Pace,
    addr: &str,
    mut stats: impl FnMut() -> Result<Vec<(String, String)>, Failure>,
) -> Result<(), Failure> {
    let mut last: Option<Look> = None;
    let mut dashboard = Dashboard::default();
    repeat(console, pace, |console| {
        let begun = Instant::now();
        let stats = match stats() {
            Ok(stats) => stats,
            Err(failure) if failure.is_unreachable() && last.is_some() => {
                let context = Context { addr: addr.to_owned(), json: console.json, ..Context::default() };
                failure.report(&context);
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        let look = Look { at: begun, took: begun.elapsed(), stats };
        let figures = Figures::of(last.as_ref(), &look);
        if console.json {
            console.answer(|| stats_json(&look.stats), None)?;
        } else if console.terminal {
            dashboard.add(figures);
            write!(console.out, "{CLEAR}{}", dashboard.table(&look, size(console)))?;
        } else {
            if last.is_none() {
                writeln!(console.out, "{}", header())?;
            }
            writeln!(console.out, "{}", line(&figures))?;
        }
        console.out.flush()?;
        last = Some(look);
        Ok(())
    })
}

/// Columns and rows of the terminal.
pub(crate) fn size(console: &Console) -> (usize, usize) {
    match tcgetwinsize(&console.out) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        Ok(_) | Err(_) => SIZE,
    }
}
