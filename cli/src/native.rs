//! A `CrabCache` server, through the client.

use std::time::Duration;

use crabcache_client::Client;

use crate::args::{CONNECTIONS_MAX, Options};
use crate::commands;
use crate::console::Console;
use crate::failure::Failure;
use crate::known::{self, Known};
use crate::session::{Target, typed};
use crate::tips::with_tip;

/// After a failure to connect nothing is tried for so long: a person is slower.
const BACKOFF: Duration = Duration::from_millis(1);

/// A server that speaks the native protocol.
pub(crate) struct Native {
    pub(crate) client: Client,
    addr: String,
    /// Its commands were given; they stay the same.
    is_known: bool,
}

impl Native {
    pub(crate) fn new(options: &Options) -> Result<Self, Failure> {
        let client = Client::builder()
            .addr(&options.addr)
            .connections_max(CONNECTIONS_MAX.into())
            .connect_timeout(options.timeout)
            .request_timeout(Some(options.timeout))
            .backoff(BACKOFF, BACKOFF)
            .build()?;
        Ok(Self { client, addr: options.addr.clone(), is_known: false })
    }
}

impl Target for Native {
    fn run(&mut self, console: &mut Console, words: &[Vec<u8>]) -> Result<bool, Failure> {
        let command = typed(words).map_err(|error| with_tip(error, &self.addr))?;
        commands::run(&self.client, console, command)
    }

    fn addr(&self) -> String {
        self.addr.clone()
    }

    fn greeting(&mut self) -> Result<String, Failure> {
        Ok(self.client.hello()?.server)
    }

    fn known(&mut self) -> Option<Vec<Known>> {
        (!std::mem::replace(&mut self.is_known, true)).then(known::ours)
    }
}
