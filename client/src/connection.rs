//! One socket, and what the client knows about its fitness.
//!
//! The socket stays in blocking mode, with a receive timeout. `send_now` and `receive_now` do not wait
//! (`MSG_DONTWAIT`), `receive` waits in the kernel, `wait` polls for both directions: so a single request costs one
//! send and one receive, and a pipeline can write and read at the same time. The receive timeout is only set anew when
//! it is far from what a call has left; a call that finds it too short goes on waiting by `wait`.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crabcache_protocol::native::{Command, ParseError, Status, VERSION};
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::sockopt::{
    Timeout, set_socket_recv_buffer_size, set_socket_send_buffer_size, set_socket_timeout,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrUnix, SocketType, connect, recv,
    send, sendmsg, socket,
};

use crate::call::Call;
use crate::clock::Moment;
use crate::config::{Addr, Config};
use crate::error::{Broken, CommandError, Error, ProtocolError};
use crate::exchange::{Exchange, Pending};
use crate::reply::ReplyRef;

/// How the client calls itself. The line end makes a server that reads lines, of RESP or memcached, answer with an error
/// instead of waiting for more (but Redis itself, which looks for it only as far as the first zero byte).
const NAME: &str = concat!("crabcache-client/", env!("CARGO_PKG_VERSION"), "\r\n");
/// Bytes asked of the socket at a time; more while a large reply is coming in.
const READ_LEN: usize = 64 * 1024;
/// The shortest receive timeout: sockets count in milliseconds, and take none for no limit.
const TIMEOUT_MIN: Duration = Duration::from_millis(1);
/// A larger buffer is not kept once its content has gone.
const BUFFER_KEPT_MAX: usize = 256 * 1024;

#[cfg(not(target_vendor = "apple"))]
const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
#[cfg(target_vendor = "apple")] // there the standard library sets SO_NOSIGPIPE
const SEND: SendFlags = SendFlags::DONTWAIT;

/// A connection to the server.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    /// Receive timeout of the socket.
    timeout: Option<Duration>,
    /// False from the begin of an exchange to its clean end, so that whatever ends it early leaves it unfit.
    pub(crate) fit: bool,
    /// When it will be too old to be lent.
    pub(crate) old_from: Moment,
    pub(crate) last_used: Moment,
    /// When the server last answered.
    pub(crate) last_seen: Moment,
    /// The number of the next request.
    pub(crate) opaque: u16,
    pub(crate) inbox: Inbox,
    /// Buffers that exchanges borrow; what is in them in between means nothing.
    pub(crate) outbox: Vec<u8>,
    pub(crate) pending: VecDeque<Pending>,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) reply_len_max: usize,
    pub(crate) window_bytes: usize,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Bytes that have arrived: `bytes[start..]` are not used yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) bytes: Vec<u8>,
    pub(crate) start: usize,
}

impl Connection {
    /// Connects, and says HELLO unless that is switched off.
    pub(crate) fn open(config: &Config, timeout: Duration) -> Result<Self, Error> {
        let mut call = Call::begin(Some(timeout));
        let socket = Socket::connect(config, call.deadline)?;
        if let Some(bytes) = config.socket_buffer_bytes {
            set_socket_send_buffer_size(&socket, bytes)
                .and_then(|()| set_socket_recv_buffer_size(&socket, bytes))
                .map_err(|errno| Error::Connect(errno.kind()))?;
        }
        call.look();
        let mut connection = Self {
            socket,
            timeout: None,
            fit: true,
            old_from: call.now.after(config.age_limit),
            last_used: call.now,
            last_seen: call.now,
            opaque: 0,
            inbox: Inbox::default(),
            outbox: Vec::new(),
            pending: VecDeque::new(),
            bytes_out: 0,
            bytes_in: 0,
            reply_len_max: config.reply_len_max,
            window_bytes: config.window_bytes,
        };
        if config.hello {
            connection.hello(&call)?;
        }
        Ok(connection)
    }

    fn hello(&mut self, call: &Call) -> Result<(), Error> {
        let hello = Command::Hello { version_min: VERSION, version_max: VERSION, client: NAME.as_bytes() };
        let mut answer = Ok(());
        let mut exchange = Exchange::new(std::iter::once(hello));
        let driven = exchange.drive(self, call, &mut |_, reply| {
            answer = match reply {
                Ok(ReplyRef::Hello(hello)) if hello.version == VERSION => Ok(()),
                Ok(_) => Err(Error::Handshake(Broken::Protocol(ProtocolError::Body))),
                Err(refused) => Err(refused_hello(refused)),
            };
        });
        match driven {
            Ok(()) => answer,
            Err(Broken::Protocol(ProtocolError::Parse(ParseError::Magic { found }))) => {
                Err(Error::NotNative(found))
            }
            Err(broken) => Err(Error::Handshake(broken)),
        }
    }

    /// Whether the server still answers.
    pub(crate) fn is_healthy(&mut self, timeout: Duration) -> bool {
        let mut pong = false;
        let mut exchange = Exchange::new(std::iter::once(Command::Ping { payload: b"" }));
        let driven = exchange.drive(self, &Call::begin(Some(timeout)), &mut |_, reply| {
            pong = matches!(reply, Ok(ReplyRef::Pong(b"")));
        });
        driven.is_ok() && pong && self.fit
    }

    /// Whether the server has neither closed the connection nor said something that nobody asked for.
    pub(crate) fn is_quiet(&mut self) -> bool {
        matches!(self.receive_now(0), Ok(None))
    }

    /// Sees to it that `receive` waits for no longer than this, and for at least half of it.
    pub(crate) fn bound_receive(&mut self, left: Option<Duration>) -> Result<(), Broken> {
        let is_near = match (self.timeout, left) {
            (Some(timeout), Some(left)) => timeout <= left.max(TIMEOUT_MIN) && timeout >= left / 2,
            (None, None) => true,
            _ => false,
        };
        if !is_near {
            // In the middle, so that calls with a little more or less left do not set it again.
            let timeout = left.map(|left| (left / 4 * 3).max(TIMEOUT_MIN));
            self.socket.set_read_timeout(timeout).map_err(|error| Broken::Io(error.kind()))?;
            self.timeout = timeout;
        }
        Ok(())
    }

    /// Sends as much as the socket takes at once; none if it takes nothing.
    pub(crate) fn send_now(&mut self, parts: &[IoSlice<'_>]) -> Result<Option<usize>, Broken> {
        let sent = unless_blocked(match parts {
            [one] => send(&self.socket, one, SEND),
            many => sendmsg(&self.socket, many, &mut SendAncillaryBuffer::default(), SEND),
        })?;
        self.bytes_out += sent.unwrap_or(0) as u64;
        Ok(sent)
    }

    /// Takes what has arrived; none if nothing has. `more` is a hint how many bytes are still missing.
    pub(crate) fn receive_now(&mut self, more: usize) -> Result<Option<usize>, Broken> {
        self.receive_with(RecvFlags::DONTWAIT, more)
    }

    /// Waits for bytes; none if the receive timeout passed, or a signal came.
    pub(crate) fn receive(&mut self, more: usize) -> Result<Option<usize>, Broken> {
        self.receive_with(RecvFlags::empty(), more)
    }

    fn receive_with(&mut self, flags: RecvFlags, more: usize) -> Result<Option<usize>, Broken> {
        self.inbox.make_room(more);
        let socket = &self.socket;
        let bytes = &mut self.inbox.bytes;
        match unless_blocked(recv(socket, spare_capacity(bytes), flags).map(|(_, n)| n))? {
            Some(0) => Err(Broken::Closed),
            received => {
                self.bytes_in += received.unwrap_or(0) as u64;
                Ok(received)
            }
        }
    }

    /// Waits until the socket can be read, or, if `write` is set, written. False if the time is up.
    pub(crate) fn wait(&self, write: bool, timeout: Option<Duration>) -> Result<bool, Broken> {
        let interest = if write { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        // Rounded up, lest a wait that is nearly over becomes a spin.
        let timeout = timeout.map(|left| left + Duration::from_micros(1));
        let timespec = timeout.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::new(&self.socket, interest)], timespec.as_ref()) {
            Ok(0) => Ok(false),
            Ok(_) | Err(Errno::INTR) => Ok(true), // the caller looks at its clock
            Err(errno) => Err(errno.into()),
        }
    }

    /// Gives large buffers back.
    pub(crate) fn trim(&mut self) {
        if self.inbox.bytes.capacity() > BUFFER_KEPT_MAX {
            self.inbox = Inbox::default();
        }
        if self.outbox.capacity() > BUFFER_KEPT_MAX {
            self.outbox = Vec::new();
        }
        if self.pending.capacity() > 1024 {
            self.pending = VecDeque::new();
        }
    }
}

impl Inbox {
    /// What has arrived and is not used yet.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Sees to spare capacity. Memory follows what has arrived, not what a server declares: at most it doubles.
    fn make_room(&mut self, more: usize) {
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
        let unread = self.bytes.len() - self.start;
        let wanted = more.clamp(READ_LEN, READ_LEN.max(unread));
        if self.bytes.capacity() - self.bytes.len() >= READ_LEN / 2 {
            return;
        }
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.reserve(wanted);
    }
}

impl Socket {
    fn connect(config: &Config, deadline: Moment) -> Result<Self, Error> {
        let failed = |error: io::Error| match Errno::from_io_error(&error) {
            Some(Errno::MFILE | Errno::NFILE) => Error::TooManyFiles,
            _ => Error::Connect(error.kind()),
        };
        let host_port = match &config.addr {
            Addr::Unix(path) => return connect_unix(path, deadline).map(Self::Unix).map_err(failed),
            Addr::Tcp(host_port) => host_port,
        };
        let mut failure = Error::Connect(io::ErrorKind::AddrNotAvailable);
        let addresses = config.lookup.addresses(host_port, deadline)?;
        let mut untried = addresses.len() as u32;
        for addr in addresses {
            // One that says nothing leaves the others their part of the time.
            let left = deadline.since(Moment::now()) / untried;
            untried -= 1;
            match TcpStream::connect_timeout(&addr, left.max(TIMEOUT_MIN)) {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(failed)?;
                    return Ok(Self::Tcp(stream));
                }
                Err(error) => failure = failed(error),
            }
        }
        Err(failure)
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(timeout),
            Self::Unix(stream) => stream.set_read_timeout(timeout),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

/// Waits no longer than this for a server that is slow to accept.
fn connect_unix(path: &Path, deadline: Moment) -> io::Result<UnixStream> {
    let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    let address = SocketAddrUnix::new(path)?;
    loop {
        let left = deadline.since(Moment::now()).max(TIMEOUT_MIN);
        set_socket_timeout(&socket, Timeout::Send, Some(left))?;
        match connect(&socket, &address) {
            Ok(()) => return Ok(socket.into()),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// What a refusal of HELLO says about the connection.
fn refused_hello(refused: CommandError) -> Error {
    Error::Refused(match refused {
        CommandError::TooLarge => Status::TooLarge,
        CommandError::KeyTooLong => Status::KeyTooLong,
        CommandError::TryAgain => Status::TryAgain,
        CommandError::NotANumber => Status::NotANumber,
        CommandError::Overflow => Status::Overflow,
        CommandError::UnknownOperation => Status::UnknownOperation,
        CommandError::AuthRequired => Status::AuthRequired,
        CommandError::BadRequest => Status::BadRequest,
        CommandError::UnsupportedVersion => Status::UnsupportedVersion,
        CommandError::Busy => Status::Busy,
        CommandError::ShuttingDown => Status::ShuttingDown,
        CommandError::NotSent(broken) | CommandError::Unanswered(broken) => return Error::Handshake(broken),
    })
}

/// "Would block" becomes none, and so does a signal: whoever waits looks at the clock then.
fn unless_blocked(called: Result<usize, Errno>) -> Result<Option<usize>, Broken> {
    match called {
        Ok(n) => Ok(Some(n)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
