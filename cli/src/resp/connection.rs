//! One connection of RESP, opened when it is needed and again after it broke.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crabcache_client::Error;
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
    /// What was said since it was opened by which the server knows this session: SELECT, AUTH, HELLO, the last of each. It is said
    /// again where the connection had to be opened anew.
    session: Vec<Vec<Vec<u8>>>,
    /// A transaction was begun.
    in_transaction: bool,
    /// The server wanted a password before it selected the database.
    is_unselected: bool,
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
        Self {
            address,
            timeout,
            stream: None,
            session: Vec::new(),
            in_transaction: false,
            is_unselected: false,
            inbox: Vec::new(),
            taken: 0,
            progress: Progress::default(),
        }
    }

    /// Notes what a command that succeeded means for the session.
    pub(crate) fn note(&mut self, words: &[Vec<u8>]) -> Result<(), Failure> {
        let Some(name) = words.first() else { return Ok(()) };
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if is("SELECT") || is("AUTH") || is("HELLO") {
            self.session.retain(|said| !said[0].eq_ignore_ascii_case(name));
            self.session.push(words.to_vec());
            if !self.in_transaction {
                self.select_late()?;
            }
        } else if is("RESET") {
            self.session.clear();
            self.address.database = None;
            self.in_transaction = false;
        } else if is("MULTI") {
            self.in_transaction = true;
        } else if is("EXEC") || is("DISCARD") {
            self.in_transaction = false;
        }
        Ok(())
    }

    /// Its address, with the database that was selected last.
    pub(crate) fn here(&self) -> Address {
        let selected = self.session.iter().find(|said| said[0].eq_ignore_ascii_case(b"SELECT"));
        let number = selected.and_then(|said| str::from_utf8(said.get(1)?).ok()?.parse().ok());
        Address { database: number.or(self.address.database), ..self.address.clone() }
    }

    pub(crate) const fn is_in_transaction(&self) -> bool {
        self.in_transaction
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
            Reply::Error(text) => Err(refused(text)),
            reply => Ok(reply),
        }
    }

    /// Another connection to the same server, for the same session.
    pub(crate) fn another(&self) -> Self {
        Self { session: self.session.clone(), ..Self::new(self.address.clone(), self.timeout) }
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
            if std::mem::take(&mut self.in_transaction) {
                return Err(Failure::Unreachable(
                    "the connection was lost, and the transaction with it".to_owned(),
                ));
            }
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
                    return Err(Failure::Unreachable(format!("the server does not speak RESP: {error}")));
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
        self.is_unselected = false;
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
        self.select(database)?;
        for words in self.session.clone() {
            self.call(&words)?;
        }
        if !self.session.is_empty() {
            self.select_late()?;
        }
        Ok(())
    }

    /// A password that is wanted before may still be said.
    fn select(&mut self, database: Option<u32>) -> Result<(), Failure> {
        let Some(database) = database else { return Ok(()) };
        match self.call(&["SELECT", &database.to_string()]) {
            Err(Failure::Refused(text)) if text.starts_with("NOAUTH") => self.is_unselected = true,
            selected => drop(selected?),
        }
        Ok(())
    }

    /// Selects the database where it could not be done before.
    fn select_late(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.is_unselected) { self.select(self.here().database) } else { Ok(()) }
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
        match error.kind() {
            io::ErrorKind::ConnectionAborted => Error::Closed.into(),
            io::ErrorKind::WouldBlock => {
                Failure::Unreachable("the server did not take the command in time".to_owned())
            }
            kind => Error::Io(kind).into(),
        }
    }
}

/// An error that the server replies. One that has its most clients does so in place of the first answer, and hangs up.
pub(crate) fn refused(text: &[u8]) -> Failure {
    let full = text.starts_with(b"ERR max number of clients");
    let text = String::from_utf8_lossy(text).into_owned();
    if full { Failure::Unreachable(text) } else { Failure::Refused(text) }
}

/// Appends a command.
pub(crate) fn write_command<W: AsRef<[u8]>>(request: &mut Vec<u8>, words: &[W]) {
    write::array(request, words.len());
    for word in words {
        write::bulk(request, word.as_ref());
    }
}

/// The addresses of `host:port`.
fn look_up(
    host_port: &str,
    timeout: Duration,
    resolve: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host_port.parse() {
        return Ok(vec![address]);
    }
    let host_port = host_port.to_owned();
    in_time(timeout, move || resolve(&host_port))
}

/// What has no end of its own, such as the system's look-up of a name: a thread waits for it, and is left behind if that takes
/// too long.
fn in_time<T: Send + 'static>(
    timeout: Duration,
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (sender, done) = channel();
    thread::Builder::new().spawn(move || sender.send(act()))?;
    done.recv_timeout(timeout).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

impl Stream {
    fn connect(place: &Place, timeout: Duration) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::from(Error::Connect(error.kind()));
        let host_port = match place {
            Place::Unix(path) => {
                let path = path.clone();
                let stream = in_time(timeout, || UnixStream::connect(path)).map_err(failed)?;
                stream.set_write_timeout(Some(timeout)).map_err(failed)?;
                return Ok(Self::Unix(stream));
            }
            Place::Tcp(host_port) => host_port,
        };
        let resolve = |host_port: &str| host_port.to_socket_addrs().map(Iterator::collect);
        let addresses =
            look_up(host_port, timeout, resolve).map_err(|error| Error::Lookup(error.to_string()))?;
        let mut failure = io::ErrorKind::AddrNotAvailable.into();
        let (until, mut untried) = (Instant::now() + timeout, addresses.len() as u32);
        for address in addresses {
            // One that says nothing leaves the others their part of the time.
            let left = until.saturating_duration_since(Instant::now()) / untried;
            untried -= 1;
            match TcpStream::connect_timeout(&address, left.max(Duration::from_millis(1))) {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(failed)?;
                    stream.set_write_timeout(Some(timeout)).map_err(failed)?;
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
    use std::net::TcpListener;
    use std::sync::mpsc::Receiver;

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

    fn address(listener: &TcpListener, database: &str) -> Address {
        let text = format!("redis://{}{database}", listener.local_addr().unwrap());
        let Some(Ok(address)) = Address::parse(&text) else { panic!("{text}") };
        address
    }

    /// Serves clients one after the other: waits for each request, which it has to contain, and answers it.
    fn serve(clients: Vec<Vec<(&'static str, &'static str)>>) -> (Connection, Receiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = address(&listener, "/5");
        let (gone, left) = channel();
        thread::spawn(move || {
            for script in clients {
                let (mut client, _) = listener.accept().unwrap();
                for (request, answer) in script {
                    let mut received = Vec::new();
                    while !String::from_utf8_lossy(&received).contains(request) {
                        let mut chunk = [0; 1000];
                        let len = client.read(&mut chunk).unwrap();
                        assert!(len > 0, "{request} did not come");
                        received.extend_from_slice(&chunk[..len]);
                    }
                    client.write_all(answer.as_bytes()).unwrap();
                }
                drop(client);
                gone.send(()).unwrap();
            }
        });
        (Connection::new(address, Duration::from_secs(10)), left)
    }

    fn say(connection: &mut Connection, line: &str) -> Result<String, String> {
        let words: Vec<_> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let reply =
            connection.call(&words).map(|reply| format!("{reply:?}")).map_err(|error| error.text())?;
        connection.note(&words).map_err(|error| error.text())?;
        Ok(reply)
    }

    #[test]
    fn a_session_goes_on_after_its_connection_was_lost() {
        let first = vec![("SELECT\r\n$1\r\n5", "+OK\r\n"), ("3", "+OK\r\n")];
        let second =
            vec![("\r\n5", "+OK\r\n"), ("\r\n3", "+OK\r\n"), ("GET", "$1\r\nv\r\n"), ("reset", "+RESET\r\n")];
        let (mut connection, left) = serve(vec![first, second]);
        say(&mut connection, "select 3").unwrap();
        assert_eq!(connection.here().database, Some(3));
        left.recv().unwrap();
        assert!(say(&mut connection, "GET k").unwrap().contains("Bulk"));
        say(&mut connection, "reset").unwrap();
        assert_eq!(connection.here().database, None);
    }

    #[test]
    fn a_database_is_selected_once_the_password_was_said() {
        let no = "-NOAUTH no\r\n";
        let first = vec![("\r\n5", no), ("AUTH", "+OK\r\n"), ("\r\n5", "+OK\r\n"), ("PING", "+PONG\r\n")];
        let second = vec![("\r\n5", no), ("AUTH", "+OK\r\n"), ("\r\n5", "+OK\r\n"), ("GET", "+v\r\n")];
        let (mut connection, left) = serve(vec![first, second]);
        say(&mut connection, "AUTH sesame").unwrap();
        say(&mut connection, "PING").unwrap();
        left.recv().unwrap();
        assert!(say(&mut connection, "GET k").unwrap().contains("Simple"));
    }

    #[test]
    fn a_lost_transaction_is_told() {
        let first = vec![("5", "+OK\r\n"), ("MULTI", "+OK\r\n")];
        let second = vec![("5", "+OK\r\n"), ("GET", "$1\r\nv\r\n")];
        let (mut connection, left) = serve(vec![first, second]);
        say(&mut connection, "MULTI").unwrap();
        left.recv().unwrap();
        let lost = say(&mut connection, "SET k v").unwrap_err();
        assert!(lost.contains("transaction"), "{lost}");
        assert!(say(&mut connection, "GET k").is_ok());
    }

    #[test]
    fn a_server_that_takes_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut connection = Connection::new(address(&listener, ""), Duration::from_millis(100));
        let large = vec![b'x'; 64 << 20];
        let refused = connection.call(&[b"SET".to_vec(), b"k".to_vec(), large]).unwrap_err().text();
        assert!(refused.contains("in time"), "{refused}");
    }
}
