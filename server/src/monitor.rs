//! Clients that are shown every request (MONITOR).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock;
use crate::connection::client::Client;
use crate::mail::{Text, What};
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
    let lines = Text::new(What::Shown, &lines.into(), clients.len());
    for client in clients {
        shared.push(&client, &lines);
    }
}

/// Adds the line of a request.
pub(crate) fn line<'w>(out: &mut Vec<u8>, peer: &str, database: u8, words: impl Iterator<Item = &'w [u8]>) {
    let micros = clock::micros();
    let head = format!("+{}.{:06} [{database} {peer}]", micros / 1_000_000, micros % 1_000_000);
    out.extend_from_slice(head.as_bytes());
    for word in words {
        out.extend_from_slice(b" \"");
        for &byte in word {
            match byte {
                b'\\' | b'"' => out.extend([b'\\', byte]),
                b'\n' => out.extend(b"\\n"),
                b'\r' => out.extend(b"\\r"),
                b'\t' => out.extend(b"\\t"),
                0x07 => out.extend(b"\\a"),
                0x08 => out.extend(b"\\b"),
                b' '..=b'~' => out.push(byte),
                other => {
                    let [high, low] = [other >> 4, other & 15].map(|digit| DIGITS[usize::from(digit)]);
                    out.extend([b'\\', b'x', high, low]);
                }
            }
        }
        out.push(b'"');
    }
    out.extend_from_slice(b"\r\n");
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

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
