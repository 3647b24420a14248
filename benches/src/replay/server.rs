//! A replay over the native protocol: each window is one pipeline of the client.

use std::time::Duration;

use crabcache_client::{Client, Command, CommandError, HelloInfo, Put, ReplyRef};

use super::{Action, Answer, ReplayError, Step, Target};
use crate::bytes::{Filler, Keys};

/// A server that does not answer for so long is taken for dead.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to a server.
#[derive(Debug)]
pub struct ServerTarget<'f> {
    client: Client,
    keys: Keys,
    filler: &'f Filler,
    key_bytes: Vec<u8>,
}

impl<'f> ServerTarget<'f> {
    /// Connects.
    pub fn connect(addr: &str, keys: Keys, filler: &'f Filler) -> Result<Self, ReplayError> {
        let client = Client::builder().addr(addr).request_timeout(Some(TIMEOUT)).connect()?;
        Ok(Self { client, keys, filler, key_bytes: Vec::new() })
    }

    /// What the server says of itself.
    pub fn hello(&self) -> Result<HelloInfo, ReplayError> {
        Ok(self.client.hello()?)
    }

    /// The server's figures.
    pub fn stats(&self) -> Result<Vec<(String, String)>, ReplayError> {
        Ok(self.client.stats()?)
    }
}

impl Target for ServerTarget<'_> {
    fn run(&mut self, _now_ms: u64, steps: &[Step], answers: &mut Vec<Answer>) -> Result<(), ReplayError> {
        let (keys, filler) = (self.keys, self.filler);
        self.key_bytes.resize(steps.len() * keys.len(), 0);
        for (step, key) in steps.iter().zip(self.key_bytes.chunks_exact_mut(keys.len())) {
            keys.write(u64::from(step.key), key);
        }
        let commands = steps
            .iter()
            .zip(self.key_bytes.chunks_exact(keys.len()))
            .map(|(step, key)| command(step, key, filler));
        let mut failure = None;
        self.client.run(commands, |index, reply| match answer(&steps[index], reply, filler) {
            Ok(answer) => answers.push(answer),
            Err(error) => {
                failure.get_or_insert(error);
            }
        })?;
        failure.map_or(Ok(()), Err)
    }

    fn is_local(&self) -> bool {
        false
    }
}

fn command<'a>(step: &Step, key: &'a [u8], filler: &'a Filler) -> Command<'a> {
    match step.action {
        Action::Get => Command::Get { key, meta: false },
        Action::Put { .. } => {
            Command::Put(Put { key, value: filler.value(step.key, step.size), ..Put::default() })
        }
        Action::Delete => Command::Delete { key, version: None },
    }
}

fn answer(
    step: &Step,
    reply: Result<ReplyRef<'_>, CommandError>,
    filler: &Filler,
) -> Result<Answer, ReplayError> {
    Ok(match (step.action, reply) {
        (Action::Get, Ok(ReplyRef::Value(value))) => {
            Answer::Hit { size: value.len() as u32, intact: filler.is_value(step.key, value) }
        }
        (Action::Get | Action::Delete, Ok(ReplyRef::Miss)) => Answer::Miss,
        (Action::Put { .. } | Action::Delete, Ok(ReplyRef::Done)) => Answer::Done,
        (Action::Put { .. }, Err(CommandError::TooLarge)) => Answer::TooLarge,
        (Action::Put { .. } | Action::Delete, Err(CommandError::TryAgain)) => Answer::TryAgain,
        (_, Err(error)) => return Err(error.into()),
        (_, Ok(reply)) => return Err(ReplayError::Unexpected(format!("{step:?}: {reply:?}"))),
    })
}
