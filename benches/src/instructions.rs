//! How many instructions does a request take in the server, outside the kernel? Valgrind counts them, always the same for the
//! same requests, however busy the machine is.
//!
//! ```text
//! the server under callgrind: start, store all items, end              -> base
//! the same, and then so many GETs (or SETs) at depth 64, end           -> total      (total - base) / requests
//! ```
//! Valgrind knows no AVX-512: what is counted is the AVX2 level.

use std::path::Path;
use std::time::Duration;

use crate::draw::{Distribution, Sampler};
use crate::load::player::{Part, Player};
use crate::load::request::Protocol;
use crate::load::script::{Items, Mix, Script};
use crate::load::sizes::Sizes;
use crate::load::{LoadError, Stop, store};
use crate::peers::PeersError;
use crate::peers::peer::{Peer, Terms};
use crate::peers::server::{Server, Servers, free_port};

const ITEMS: u32 = 20_000;
const KEY_LEN: u32 = 11;
const VALUE_LEN: u32 = 32;
const CONNECTIONS: u32 = 50;
const DEPTH: u32 = 64;

/// Instructions per request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Instructions {
    /// Of a GET of an item that is there.
    pub get: f64,
    /// Of a SET of an item that is there.
    pub set: f64,
}

/// Why nothing was counted.
#[derive(Debug, thiserror::Error)]
pub enum InstructionsError {
    /// The server did not start under valgrind, or was ended.
    #[error(transparent)]
    Server(#[from] PeersError),
    /// The server did not answer as it should.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Valgrind ended differently.
    #[error("valgrind did not say how many instructions it counted: {said}")]
    Silent {
        /// What it said instead.
        said: String,
    },
}

/// Counts them for the server at this path, over so many requests of each kind in this protocol. Ends after `limit`.
///
/// # Panics
/// Never: the keys are long enough.
pub fn measure(
    server: &Path,
    protocol: Protocol,
    requests: u64,
    limit: Duration,
) -> Result<Instructions, InstructionsError> {
    let valgrind = "--tool=callgrind --callgrind-out-file=/dev/null";
    let flags = "--listen 127.0.0.1:{port} --workers 1 --memory {mib}mb";
    let words = |text: &'static str| text.split(' ').map(str::to_owned);
    let path = server.to_string_lossy().into_owned();
    let peer = Peer {
        name: "valgrind".to_owned(),
        program: "valgrind".into(),
        arguments: words(valgrind).chain([path]).chain(words(flags)).collect(),
        protocol,
    };
    let items =
        Items::new(ITEMS, Sizes::fixed(KEY_LEN), Sizes::fixed(VALUE_LEN)).expect("11 digits are enough");
    let mut servers = Servers::new(limit).map_err(PeersError::from)?;
    let base = count(&mut servers, &peer, &items, None)?;
    let mut each = |sets, gets| {
        let total = count(&mut servers, &peer, &items, Some((Mix::Ratio { sets, gets }, requests)))?;
        Ok::<_, InstructionsError>((total - base) / requests as f64)
    };
    Ok(Instructions { get: each(0, 1)?, set: each(1, 0)? })
}

/// All instructions of a server that stores the items, answers these requests and ends.
fn count(
    servers: &mut Servers,
    peer: &Peer,
    items: &Items,
    requests: Option<(Mix, u64)>,
) -> Result<f64, InstructionsError> {
    let terms = Terms {
        port: free_port().map_err(PeersError::from)?,
        mib: 64,
        key_len: KEY_LEN,
        value_len: VALUE_LEN,
    };
    let server = servers.start(peer, terms, None)?;
    load(&server, peer.protocol, items, requests)
        .map_err(|error| servers.ended().map_or(error.into(), InstructionsError::from))?;
    let said = servers.stop(server)?;
    collected(&said).ok_or(InstructionsError::Silent { said })
}

fn load(
    server: &Server,
    protocol: Protocol,
    items: &Items,
    requests: Option<(Mix, u64)>,
) -> Result<(), LoadError> {
    let mut player = Player::connect(&server.address, CONNECTIONS)?;
    store(&mut player, protocol, items, 0..items.count)?;
    if let Some((mix, requests)) = requests {
        let sampler = Sampler::new(Distribution::Uniform, items.count);
        let script = Script::drawn(protocol, items, &sampler, mix, 1, requests);
        let stop = Stop::Requests(requests);
        let part =
            Part { script: &script, goes_on: false, depth: DEPTH, stop, rate: None, verify: Some(items) };
        let tally = player.play(&part)?;
        if tally.hits + tally.done != requests || tally.wrong > 0 {
            let text = format!(
                "of {requests} requests {} found nothing, {} were refused",
                tally.misses, tally.errors
            );
            return Err(std::io::Error::other(text).into());
        }
    }
    Ok(())
}

/// `==123== Collected : 456`: the last number of this line.
pub(crate) fn collected(said: &str) -> Option<f64> {
    let line = said.lines().find(|line| line.contains("Collected :"))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_valgrind_says_is_understood() {
        let said = "==7== \n==7== Events    : Ir\n==7== Collected : 123456789\n==7== \n";
        assert_eq!(collected(said), Some(123_456_789.0));
        assert_eq!(collected("valgrind: failed"), None);
    }
}
