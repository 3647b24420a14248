//! Clients that are shown every request (MONITOR).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock;
use crate::connection::client::Client;
use crate::mail::Text;
use crate::shared::Shared;

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Monitors {
    count: AtomicUsize,
    clients: Mutex<Vec<Arc<Client>>>,
}

impl Monitors {
    /// Whether there are any.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<Arc<Client>>) -> T) -> T {
        // The list is whole between any two calls.
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let done = work(&mut clients);
        self.count.store(clients.len(), Ordering::Relaxed);
        done
    }
}

/// A client is one of them, as long as this lives.
#[derive(Debug)]
pub(crate) struct Monitoring {
    monitors: Arc<Monitors>,
    client: Arc<Client>,
}

impl Monitoring {
    pub(crate) fn new(monitors: &Arc<Monitors>, client: &Arc<Client>) -> Self {
        monitors.with(|clients| clients.push(Arc::clone(client)));
        Self { monitors: Arc::clone(monitors), client: Arc::clone(client) }
    }
}

impl Drop for Monitoring {
    fn drop(&mut self) {
        self.monitors.with(|clients| clients.retain(|other| !Arc::ptr_eq(other, &self.client)));
    }
}

/// Shows lines to all of them.
pub(crate) fn show(shared: &Shared<'_>, lines: &[u8]) {
    let clients = shared.monitors.with(|clients| clients.clone());
    let lines = Text::new(Vec::new(), &lines.into(), clients.len());
    for client in clients {
        shared.push(&client, &lines);
    }
}

/// Adds the line of a request.
pub(crate) fn line<'w>(out: &mut Vec<u8>, peer: &str, database: u8, words: impl Iterator<Item = &'w [u8]>) {
    let micros = clock::micros();
    let mut line = format!("+{}.{:06} [{database} {peer}]", micros / 1_000_000, micros % 1_000_000);
    for word in words {
        line.push_str(" \"");
        for byte in word {
            // Writing to a String cannot fail.
            let _ = match byte {
                b'\\' | b'"' => write!(line, "\\{}", char::from(*byte)),
                b'\n' => line.write_str("\\n"),
                b'\r' => line.write_str("\\r"),
                b'\t' => line.write_str("\\t"),
                0x07 => line.write_str("\\a"),
                0x08 => line.write_str("\\b"),
                b' '..=b'~' => line.write_char(char::from(*byte)),
                other => write!(line, "\\x{other:02x}"),
            };
        }
        line.push('"');
    }
    line.push_str("\r\n");
    out.extend_from_slice(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted() {
        let mut out = Vec::new();
        line(&mut out, "1.2.3.4:5", 3, [&b"SET"[..], b"a\"\\\n\x00\xff", b""].into_iter());
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with(" [3 1.2.3.4:5] \"SET\" \"a\\\"\\\\\\n\\x00\\xff\" \"\"\r\n"), "{text}");
        assert!(text.starts_with('+') && text.as_bytes()[11] == b'.');
    }
}
