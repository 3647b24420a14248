//! [`Scan`]: the keys with a prefix, a part with each round trip.

use std::vec;

use crabcache_protocol::native::Command;

use crate::Result;
use crate::client::Client;
use crate::reply::ReplyRef;

/// Keys that the server is to look at for one part.
const PART: u32 = 1000;

/// Keys, one after the other. A key that is there all the time comes at least once; others may come. Ends after an
/// error.
#[derive(Debug)]
pub struct Scan<'c> {
    client: &'c Client,
    prefix: Vec<u8>,
    keys: vec::IntoIter<Vec<u8>>,
    /// Where to go on; none at the end.
    cursor: Option<u64>,
}

impl Client {
    /// The keys that begin with these bytes; all keys if there are none.
    pub fn scan(&self, prefix: impl AsRef<[u8]>) -> Scan<'_> {
        let prefix = prefix.as_ref().to_vec();
        Scan { client: self, prefix, keys: Vec::new().into_iter(), cursor: Some(0) }
    }
}

impl Scan<'_> {
    /// Asks for the next part.
    fn advance(&mut self, cursor: u64) -> Result<()> {
        let command = Command::Scan { prefix: &self.prefix, cursor, count: PART };
        let (cursor, keys) = self.client.one(command, |reply| match reply {
            ReplyRef::Keys { cursor, keys } => {
                Some((cursor, keys.iter().map(<[u8]>::to_vec).collect::<Vec<_>>()))
            }
            _ => None,
        })?;
        self.keys = keys.into_iter();
        self.cursor = (cursor != 0).then_some(cursor);
        Ok(())
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(key) = self.keys.next() {
                return Some(Ok(key));
            }
            let cursor = self.cursor.take()?;
            if let Err(error) = self.advance(cursor) {
                return Some(Err(error));
            }
        }
    }
}
