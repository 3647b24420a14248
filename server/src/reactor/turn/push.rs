//! What other clients cause a client to be sent, once its worker has come to it (`mail.rs`).

use std::io::IoSlice;
use std::sync::Arc;

use super::Turn;
use super::scatter::{after, once};
use crate::connection::Phase;
use crate::connection::client::Client;
use crate::mail::{self, Text};
use crate::reactor::sized;
use crate::stats::Counters;

/// A text that has so many bytes is sent at once, as far as the socket takes it; others go together.
const PUSHED_AT_ONCE: usize = sized(16 << 10);

impl Turn<'_> {
    /// Adds a text to what a client is sent. If too much waits for it already, it goes.
    pub(crate) fn push(&mut self, client: &Arc<Client>, text: &Text, counters: &Counters) {
        let Some(key) = self.find(client) else { return };
        let connection = &mut self.connections[key];
        if connection.phase != Phase::Open {
            return;
        }
        let mut sent = 0;
        if text.len() >= PUSHED_AT_ONCE {
            let sending = connection.flush().and_then(|()| {
                let parts = text.parts().map(IoSlice::new);
                if connection.output.is_empty() {
                    once(|| connection.stream.send_parts(&parts))
                } else {
                    Ok(0)
                }
            });
            let Ok(taken) = sending else { return self.gone.push(key) };
            counters.bytes_out.add(taken as u64);
            sent = taken;
        }
        if connection.output.is_empty() || sent > 0 {
            // It takes what it is sent; from here on it may rest for a while.
            connection.moved = self.now;
        }
        // One text may be as long as it is: the client has had no time to take it.
        if !connection.output.is_empty() && connection.output.len() + text.len() > mail::WAITING_MAX {
            return self.overrun(client, counters);
        }
        if sent < text.len() {
            after(text.parts().into_iter(), sent).for_each(|part| connection.output.push(part));
        }
        self.budget.charge(connection);
        self.enqueue(key);
        while self.budget.is_far_exceeded() && self.close_largest(counters) {}
    }

    /// Lets a client go for which too much waits.
    #[cold]
    pub(crate) fn overrun(&mut self, client: &Arc<Client>, counters: &Counters) {
        let Some(key) = self.find(client) else { return };
        if self.connections[key].phase == Phase::Open {
            counters.memory_closes.add(1);
            self.abandon(key);
        }
    }
}
