//! One connection of RESP, opened when it is needed and again after it broke.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crabcache_protocol::resp::reply::{self, Progress, Reply};
use crabcache_protocol::resp::write;
use crabcache_protocol::{Limits, Parsed};

use super::address::{Address, Place};
use crate::failure::Failure;
use crate::interrupt::SLICE;

/// What a reply may have; memory follows what has arrived.
const LIMITS: Limits =
    Limits { key_len_max: usize::MAX, value_len_max: 1 << 30, args_max: 1 << 30, line_len_max: 1 << 20 };
const READ_LEN: usize = 64 * 1024;

/// A connection to one server.
pub(crate) struct Connection {
    pub(crate) address: Address,
    timeout: Duration,
    stream: Option<Stream>,
    inbox: Vec<u8>,
    /// Length of the reply at the head of the inbox that was handed out.
    taken: usize,
    progress: Progress,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Connection {
    pub(crate) fn new(address: Address, timeout: Duration) -> Self {
        Self { address, timeout, stream: None, inbox: Vec::new(), taken: 0, progress: Progress::default() }
    }

    /// Sends a command and waits for its reply; an error that the server replies is one.
    pub(crate) fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<Reply<'_>, Failure> {
        self.send(words)?;
        self.answer()
    }

    /// Waits for the next reply; an error that the server replies is one.
    pub(crate) fn answer(&mut self) -> Result<Reply<'_>, Failure> {
        let until = Instant::now() + self.timeout;
        while !self.has_reply(until.saturating_duration_since(Instant::now()))? {
            if Instant::now() >= until {
                self.close();
                return Err(Failure::Unreachable("no answer in time".to_owned()));
            }
        }
        match self.reply()? {
            Reply::Error(text) => Err(Failure::Refused(String::from_utf8_lossy(text).into_owned())),
            reply => Ok(reply),
        }
    }

    /// Another connection to the same server.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.address.clone(), self.timeout)
    }

    /// Sends a command; replies are to be taken one by one.
    pub(crate) fn send<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<(), Failure> {
        let mut request = Vec::new();
        write_command(&mut request, words);
        self.send_bytes(&request)
    }

    /// Sends whole commands.
    pub(crate) fn send_bytes(&mut self, request: &[u8]) -> Result<(), Failure> {
        if self.stream.as_mut().is_some_and(|stream| !stream.is_quiet()) {
            self.close(); // the server was restarted, or closes idle connections
        }
        if self.stream.is_none() {
            self.open()?;
        }
        self.write(request)
    }

    /// Sends whole commands, if it is open, without a look whether it still is.
    pub(crate) fn write(&mut self, request: &[u8]) -> Result<(), Failure> {
        let Some(stream) = &mut self.stream else {
            return Err(Failure::Unreachable("not connected".to_owned()));
        };
        stream.write_all(request).map_err(|error| self.broken(&error))
    }

    /// Waits until a whole reply is here, for a moment at most; false if it is not.
    pub(crate) fn has_reply(&mut self, wait: Duration) -> Result<bool, Failure> {
        self.inbox.drain(..std::mem::take(&mut self.taken));
        loop {
            match reply::parse(&self.inbox, &LIMITS, &mut self.progress) {
                Ok(Parsed::Complete { consumed, .. }) => {
                    self.taken = consumed;
                    return Ok(true);
                }
                Ok(Parsed::Incomplete { .. }) => {}
                Err(error) => {
                    self.close();
                    return Err(Failure::Refused(format!("the server does not speak RESP: {error}")));
                }
            }
            if !self.receive(wait)? {
                return Ok(false);
            }
        }
    }

    /// The reply that is here.
    pub(crate) fn reply(&self) -> Result<Reply<'_>, Failure> {
        match reply::parse(&self.inbox[..self.taken], &LIMITS, &mut Progress::default()) {
            Ok(Parsed::Complete { value, .. }) => Ok(value),
            _ => Err(Failure::Refused("there is no reply".to_owned())),
        }
    }

    /// Whatever is under way is forgotten.
    pub(crate) fn close(&mut self) {
        (self.stream, self.taken, self.progress) = (None, 0, Progress::default());
        self.inbox.clear();
    }

    fn open(&mut self) -> Result<(), Failure> {
        self.close();
        self.stream = Some(Stream::connect(&self.address.place, self.timeout)?);
        let introduced = self.introduce();
        if introduced.is_err() {
            self.close();
        }
        introduced
    }

    /// Says who asks, and for which database.
    fn introduce(&mut self) -> Result<(), Failure> {
        let Address { user, password, database, .. } = self.address.clone();
        if let Some(password) = password {
            let words: Vec<_> =
                [Some(b"AUTH".to_vec()), user, Some(password)].into_iter().flatten().collect();
            self.call(&words)?;
        }
        if let Some(database) = database {
            self.call(&["SELECT", &database.to_string()])?;
        }
        Ok(())
    }

    /// False if nothing came in time.
    fn receive(&mut self, wait: Duration) -> Result<bool, Failure> {
        let Some(stream) = &mut self.stream else { return Ok(false) };
        let start = self.inbox.len();
        self.inbox.resize(start + READ_LEN, 0);
        let received = stream.read(&mut self.inbox[start..], wait.clamp(Duration::from_millis(1), SLICE));
        self.inbox.truncate(start + *received.as_ref().unwrap_or(&0));
        match received {
            Ok(0) => Err(self.broken(&io::ErrorKind::ConnectionAborted.into())),
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(false)
            }
            Err(error) => Err(self.broken(&error)),
        }
    }

    fn broken(&mut self, error: &io::Error) -> Failure {
        self.close();
        Failure::Unreachable(match error.kind() {
            io::ErrorKind::ConnectionAborted => "the server closed the connection".to_owned(),
            _ => format!("the connection broke: {error}"),
        })
    }
}

/// Appends a command.
pub(crate) fn write_command<W: AsRef<[u8]>>(request: &mut Vec<u8>, words: &[W]) {
    write::array(request, words.len());
    for word in words {
        write::bulk(request, word.as_ref());
    }
}

/// The system's look-up of a name has no end of its own: a thread waits for it, and is left behind if that takes too long.
fn look_up(
    host_port: &str,
    timeout: Duration,
    resolve: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host_port.parse() {
        return Ok(vec![address]);
    }
    let ((sender, found), host_port) = (channel(), host_port.to_owned());
    thread::Builder::new().spawn(move || sender.send(resolve(&host_port)))?;
    found.recv_timeout(timeout).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

impl Stream {
    fn connect(place: &Place, timeout: Duration) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::Unreachable(format!("cannot connect: {error}"));
        let host_port = match place {
            Place::Unix(path) => return UnixStream::connect(path).map(Self::Unix).map_err(failed),
            Place::Tcp(host_port) => host_port,
        };
        let resolve = |host_port: &str| host_port.to_socket_addrs().map(Iterator::collect);
        let addresses = look_up(host_port, timeout, resolve)
            .map_err(|error| Failure::Unreachable(format!("cannot look up the host: {error}")))?;
        let mut failure = io::ErrorKind::AddrNotAvailable.into();
        for address in addresses {
            match TcpStream::connect_timeout(&address, timeout.max(Duration::from_millis(1))) {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(failed)?;
                    return Ok(Self::Tcp(stream));
                }
                Err(error) => failure = error,
            }
        }
        Err(failed(failure))
    }

    /// Whether the server has neither closed the connection nor said something that nobody asked for.
    fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        // The shortest timeout would be a tick of the system's clock.
        let nothing = self.set_nonblocking(true).and_then(|()| match self {
            Self::Tcp(stream) => stream.read(&mut byte),
            Self::Unix(stream) => stream.read(&mut byte),
        });
        self.set_nonblocking(false).is_ok()
            && matches!(nothing, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nonblocking(on),
            Self::Unix(stream) => stream.set_nonblocking(on),
        }
    }

    fn read(&mut self, into: &mut [u8], wait: Duration) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(Some(wait))?;
                stream.read(into)
            }
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(wait))?;
                stream.read(into)
            }
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_up_ends_in_time() {
        let (never, forever) = channel::<()>();
        let hangs = move |_: &str| {
            let _ = forever.recv();
            Ok(Vec::new())
        };
        let late = look_up("name:1", Duration::from_millis(5), hangs).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        drop(never);
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let found = look_up("name:1", Duration::from_mins(1), move |_| Ok(vec![address])).unwrap();
        assert_eq!(found, [address]);
        let unasked = look_up("127.0.0.1:1", Duration::ZERO, |_| Ok(Vec::new())).unwrap();
        assert_eq!(unasked, [address]);
    }
}
