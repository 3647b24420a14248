//! A server in this process on a port of the system's choice, and clients that say exactly what they expect.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::missing_panics_doc)]

pub mod program;
pub mod siege;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub use crabcache_server::Config;
use crabcache_server::{Endpoint, Listen, Running, Server};

/// A server that stops when the test ends.
pub struct Started {
    running: Option<Running>,
    pub address: SocketAddr,
    /// Those of further listeners.
    pub others: Vec<SocketAddr>,
}

impl Started {
    pub fn stop(mut self) {
        let running = self.running.take().expect("it runs");
        running.stop();
        running.join().expect("it ends well");
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
            let ended = running.join();
            if !std::thread::panicking() {
                ended.expect("it ends well");
            }
        }
    }
}

pub fn config() -> Config {
    Config {
        listen: vec!["127.0.0.1:0".parse().expect("an address")],
        memory_bytes: 16 << 20,
        workers: 2,
        ..Config::default()
    }
}

pub fn start_with(config: Config) -> Started {
    let running = Server::start(config).expect("it starts");
    let mut addresses: Vec<SocketAddr> = running.addresses().iter().map(tcp).collect();
    let others = addresses.split_off(1);
    Started { running: Some(running), address: addresses[0], others }
}

pub fn start() -> Started {
    start_with(config())
}

pub fn tcp(listen: &Listen) -> SocketAddr {
    match listen.endpoint {
        Endpoint::Tcp(address) => address,
        Endpoint::Unix(_) => panic!("not a TCP address"),
    }
}

/// A client.
pub struct Client(pub TcpStream);

impl Client {
    pub fn new(server: &Started) -> Self {
        Self::to(server.address)
    }

    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("it accepts");
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("an option");
        stream.set_write_timeout(Some(Duration::from_secs(10))).expect("an option");
        Self(stream)
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).expect("it is read");
    }

    /// Reads exactly these bytes.
    #[track_caller]
    pub fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut got = vec![0; expected.len()];
        let mut filled = 0;
        while filled < got.len() {
            let before = filled;
            match self.0.read(&mut got[filled..]) {
                Ok(0) => break,
                Ok(len) => filled += len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => panic!("{error} after {:?}", text(&got[..filled])),
            }
            if got[before..filled] != expected[before..filled] {
                break;
            }
        }
        got.truncate(filled);
        let (len, wanted) = (got.len(), expected.len());
        assert!(got == expected, "got {len} of {wanted} bytes, {:?}, not {:?}", text(&got), text(expected));
    }

    /// The same for a long answer: takes some of it at once, whatever it takes to find memory for all.
    #[track_caller]
    pub fn expect_in_pieces(&mut self, expected: impl AsRef<[u8]>) {
        expected.as_ref().chunks(64 << 10).for_each(|piece| self.expect(piece));
    }

    /// Sends, and reads exactly what is expected.
    #[track_caller]
    pub fn check(&mut self, request: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) {
        self.send(request);
        self.expect(expected);
    }

    /// A RESP command of words, and its exact answer.
    #[track_caller]
    pub fn resp(&mut self, words: &str, expected: &str) {
        self.check(resp(&words.split(' ').map(str::as_bytes).collect::<Vec<_>>()), expected);
    }

    /// Reads a line, without its end.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            match self.0.read(&mut byte).expect("an answer") {
                0 => panic!("closed after {:?}", text(&line)),
                _ if byte[0] == b'\n' => break,
                _ => line.push(byte[0]),
            }
        }
        text(&line).trim_end_matches('\r').to_owned()
    }

    /// Reads a RESP bulk string or nil; gives the line of an error.
    #[track_caller]
    pub fn value(&mut self) -> Result<Option<Vec<u8>>, String> {
        let line = self.line();
        if line == "$-1" {
            return Ok(None);
        }
        let Some(len) = line.strip_prefix('$').and_then(|len| len.parse::<usize>().ok()) else {
            return Err(line);
        };
        let mut bytes = vec![0; len + 2];
        self.0.read_exact(&mut bytes).expect("a value");
        bytes.truncate(len);
        Ok(Some(bytes))
    }

    /// Reads a RESP bulk string.
    #[track_caller]
    pub fn bulk(&mut self) -> Vec<u8> {
        let line = self.line();
        let len: usize =
            line.strip_prefix('$').and_then(|len| len.parse().ok()).unwrap_or_else(|| panic!("{line}"));
        let mut bytes = vec![0; len + 2];
        self.0.read_exact(&mut bytes).expect("a value");
        assert!(bytes.ends_with(b"\r\n"));
        bytes.truncate(len);
        bytes
    }

    /// The first line of whatever comes, or what came before the server closed.
    pub fn rest_or_line(&mut self) -> String {
        let mut buffer = [0; 64];
        let len = self.0.read(&mut buffer).unwrap_or(0);
        text(&buffer[..len]).lines().next().unwrap_or_default().to_owned()
    }

    /// Reads until the server closes; a reset counts as closing.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.0.read(&mut buffer) {
                Ok(0) => return rest,
                Ok(len) => rest.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return rest,
                Err(error) => panic!("{error} instead of an end, after {:?}", text(&rest)),
            }
        }
    }
}

/// A connection that takes few bytes of what it is sent unless it is read.
pub fn deaf(address: SocketAddr) -> socket2::Socket {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("an option");
    socket.connect(&address.into()).expect("it accepts");
    socket
}

/// A RESP command.
pub fn resp(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

pub fn text(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(300)];
    String::from_utf8_lossy(shown).into_owned()
}
