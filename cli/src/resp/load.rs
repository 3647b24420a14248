//! `bench` over RESP.

use super::connection::{Connection, write_command};
use crate::bench::{Loaded, Operation};
use crate::failure::Failure;

/// So many bytes of requests are sent before replies are taken: any socket has room for them, so that a server that waits until
/// its replies are taken has read them.
const WINDOW: usize = 64 * 1024;

impl Loaded for Connection {
    fn ask(&mut self, operation: Operation<'_>, keys: &[&str]) -> Result<(), Failure> {
        let (mut requests, mut count) = (Vec::new(), 0);
        for key in keys {
            let key = key.as_bytes();
            match operation {
                Operation::Put(value) => write_command(&mut requests, &[b"SET", key, value]),
                Operation::Get => write_command(&mut requests, &[b"GET", key]),
                Operation::Delete => write_command(&mut requests, &[b"DEL", key]),
            }
            count += 1;
            if requests.len() >= WINDOW {
                self.exchange(&requests, count)?;
                requests.clear();
                count = 0;
            }
        }
        self.exchange(&requests, count)
    }
}

impl Connection {
    /// Another connection to the same server, which has answered.
    pub(super) fn connected(&self) -> Result<Self, Failure> {
        let mut another = self.another();
        another.call(&["PING"])?;
        Ok(another)
    }

    fn exchange(&mut self, requests: &[u8], count: u32) -> Result<(), Failure> {
        if count > 0 {
            self.write(requests)?;
        }
        for _ in 0..count {
            self.answer()?;
        }
        Ok(())
    }
}
