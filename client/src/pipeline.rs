//! [`Pipeline`]: commands in, a result for each out, in one round trip if they fit.

use std::time::Duration;

use crabcache_protocol::native::{Command, End, Keys, TouchCondition, Ttl};

use crate::Result;
use crate::client::{Client, PutOptions, after};
use crate::error::CommandError;
use crate::reply::{Reply, ReplyRef};

/// Room for so many commands is made with the first one.
const RESERVED: usize = 64;

/// A list of commands. They borrow keys and values, which are copied at most once, into the send buffer.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = crabcache_client::Client::connect("127.0.0.1:7001")?;
/// # let words: Vec<String> = Vec::new();
/// let mut pipeline = client.pipeline();
/// for word in &words {
///     pipeline.incr(word, 1);
/// }
/// for result in pipeline.execute()? {
///     println!("{:?}", result?);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Pipeline<'c, 'a> {
    client: &'c Client,
    commands: Vec<Command<'a>>,
}

impl<'c, 'a> Pipeline<'c, 'a> {
    pub(crate) const fn new(client: &'c Client) -> Self {
        Self { client, commands: Vec::new() }
    }

    /// How many commands there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Adds any command.
    pub fn command(&mut self, command: Command<'a>) -> &mut Self {
        if self.commands.is_empty() {
            self.commands.reserve(RESERVED);
        }
        self.commands.push(command);
        self
    }

    /// Answers [`Reply::Value`] or [`Reply::Miss`].
    pub fn get<K: AsRef<[u8]> + ?Sized>(&mut self, key: &'a K) -> &mut Self {
        self.command(Command::Get { key: key.as_ref(), meta: false })
    }

    /// Answers [`Reply::Item`] or [`Reply::Miss`].
    pub fn get_item<K: AsRef<[u8]> + ?Sized>(&mut self, key: &'a K) -> &mut Self {
        self.command(Command::Get { key: key.as_ref(), meta: true })
    }

    /// Answers [`Reply::Values`]. The server bounds the number of keys of one MGET.
    pub fn mget(&mut self, keys: &'a [&'a [u8]]) -> &mut Self {
        self.command(Command::MultiGet { keys: Keys::from_slice(keys), meta: false })
    }

    /// Answers [`Reply::Done`].
    pub fn put<K, V>(&mut self, key: &'a K, value: &'a V) -> &mut Self
    where
        K: AsRef<[u8]> + ?Sized,
        V: AsRef<[u8]> + ?Sized,
    {
        self.put_with(key, value, PutOptions::new())
    }

    /// Answers [`Reply::Done`], [`Reply::NotStored`] or, where the key had to be present, [`Reply::Miss`].
    pub fn put_with<K, V>(&mut self, key: &'a K, value: &'a V, options: PutOptions) -> &mut Self
    where
        K: AsRef<[u8]> + ?Sized,
        V: AsRef<[u8]> + ?Sized,
    {
        self.command(Command::Put(options.put(key.as_ref(), value.as_ref())))
    }

    /// Answers [`Reply::Done`] or [`Reply::Miss`].
    pub fn del<K: AsRef<[u8]> + ?Sized>(&mut self, key: &'a K) -> &mut Self {
        self.command(Command::Delete { key: key.as_ref(), version: None })
    }

    /// Answers [`Reply::Done`] or [`Reply::Miss`].
    pub fn touch<K: AsRef<[u8]> + ?Sized>(&mut self, key: &'a K, ttl: Option<Duration>) -> &mut Self {
        let ttl = ttl.map_or(Ttl::Never, after);
        self.command(Command::Touch { key: key.as_ref(), ttl, condition: TouchCondition::Always })
    }

    /// Answers [`Reply::Number`]; an absent key counts as 0.
    pub fn incr<K: AsRef<[u8]> + ?Sized>(&mut self, key: &'a K, delta: i64) -> &mut Self {
        self.command(Command::Increment { key: key.as_ref(), delta, initial: Some(delta), ttl: Ttl::Keep })
    }

    /// Answers [`Reply::Length`]; an absent key counts as empty.
    pub fn append<K, V>(&mut self, key: &'a K, bytes: &'a V) -> &mut Self
    where
        K: AsRef<[u8]> + ?Sized,
        V: AsRef<[u8]> + ?Sized,
    {
        let (key, bytes) = (key.as_ref(), bytes.as_ref());
        self.command(Command::Concat { key, bytes, end: End::Back, create: true })
    }

    /// Answers [`Reply::Length`]; an absent key counts as empty.
    pub fn prepend<K, V>(&mut self, key: &'a K, bytes: &'a V) -> &mut Self
    where
        K: AsRef<[u8]> + ?Sized,
        V: AsRef<[u8]> + ?Sized,
    {
        let (key, bytes) = (key.as_ref(), bytes.as_ref());
        self.command(Command::Concat { key, bytes, end: End::Front, create: true })
    }

    /// Answers [`Reply::Stats`].
    pub fn stats(&mut self) -> &mut Self {
        self.command(Command::Stats)
    }

    /// Answers [`Reply::Done`].
    pub fn flush(&mut self) -> &mut Self {
        self.command(Command::Flush)
    }

    /// Answers [`Reply::Pong`].
    pub fn ping(&mut self) -> &mut Self {
        self.command(Command::Ping { payload: b"" })
    }

    /// Runs the commands and empties the list. The results are in the order of the commands, one for each; a command
    /// that fails takes nothing from the others. If the connection breaks, the answers that came are kept, and the
    /// other commands have [`CommandError::Unanswered`] or [`CommandError::NotSent`].
    ///
    /// # Errors
    /// If there is no connection; then nothing was carried out.
    pub fn execute(&mut self) -> Result<Vec<std::result::Result<Reply, CommandError>>> {
        let mut results = Vec::with_capacity(self.len());
        self.execute_with(|_, result| results.push(result.map(|reply| reply.to_reply())))?;
        Ok(results)
    }

    /// As [`Pipeline::execute`], but hands each result to `answer` with the index of its command, as it comes in, so
    /// that they need not be kept. Time spent in `answer` is time in which nothing is read from the server; and a call
    /// to the same client from within it takes another connection.
    ///
    /// # Errors
    /// If there is no connection; then nothing was carried out, and `answer` was not called.
    pub fn execute_with<F>(&mut self, answer: F) -> Result<()>
    where
        F: FnMut(usize, std::result::Result<ReplyRef<'_>, CommandError>),
    {
        if self.commands.is_empty() {
            return Ok(());
        }
        // Kept for its memory, and empty even where `answer` panics.
        let mut commands = std::mem::take(&mut self.commands);
        let done = self.client.run(&commands, answer);
        commands.clear();
        self.commands = commands;
        done
    }
}
