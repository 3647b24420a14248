//! Servers for the tests: a small one in memory that speaks the protocol in full, and one that follows a script.
#![allow(dead_code)] // each test file uses a part

pub(crate) mod cache;
pub(crate) mod process;
pub(crate) mod proxy;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crabcache_client::{Builder, Client, Condition, End, Put, Status, Ttl};
use crabcache_protocol::native::reply::{self, Hello, ListWriter};
use crabcache_protocol::native::{Command, Meta, ParseError, Request, request};
use crabcache_protocol::{Limits, Parsed};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, listen, socket};

pub(crate) const LIMITS: Limits =
    Limits { key_len_max: 250, value_len_max: 1 << 20, args_max: 200, line_len_max: 100 };

/// What a test server keeps.
#[derive(Default)]
pub(crate) struct Store {
    items: HashMap<Vec<u8>, Stored>,
    version: u64,
    /// Longest body of MGET; the rest is answered with `TryAgain`.
    pub(crate) mget_body_max: usize,
}

struct Stored {
    value: Vec<u8>,
    flags: u32,
    version: u64,
    until: Option<Instant>,
}

/// A server with a thread for each connection.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) accepted: Arc<AtomicUsize>,
    pub(crate) store: Arc<Mutex<Store>>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    stop: Arc<AtomicBool>,
    acceptor: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// The well-behaved one.
    pub(crate) fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap())
    }

    pub(crate) fn start_at(addr: SocketAddr) -> Self {
        let store = Arc::new(Mutex::new(Store { mget_body_max: usize::MAX, ..Store::default() }));
        let theirs = Arc::clone(&store);
        Self::serve(TcpListener::bind(addr).unwrap(), store, move |stream, _| serve_client(&stream, &theirs))
    }

    /// One that does what the script does; it is told the number of the connection, from 0 on.
    pub(crate) fn script(script: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        Self::script_on(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    pub(crate) fn script_on(
        listener: TcpListener,
        script: impl Fn(TcpStream, usize) + Send + Sync + 'static,
    ) -> Self {
        Self::serve(listener, Arc::default(), script)
    }

    fn serve(
        listener: TcpListener,
        store: Arc<Mutex<Store>>,
        script: impl Fn(TcpStream, usize) + Send + Sync + 'static,
    ) -> Self {
        let addr = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let streams = Arc::new(Mutex::new(Vec::new()));
        let (count, stopped, clients) = (Arc::clone(&accepted), Arc::clone(&stop), Arc::clone(&streams));
        let script = Arc::new(script);
        let acceptor = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                // One test leaves this process without files for a moment.
                let Ok(stream) = stream else { continue };
                clients.lock().unwrap().push(stream.try_clone().unwrap());
                let number = count.fetch_add(1, Ordering::SeqCst);
                let script = Arc::clone(&script);
                thread::spawn(move || {
                    let handle = stream.try_clone().unwrap();
                    script(stream, number);
                    let _ = handle.shutdown(Shutdown::Both);
                });
            }
        });
        Self { addr, accepted, store, streams, stop, acceptor: Some(acceptor) }
    }

    pub(crate) fn builder(&self) -> Builder {
        Client::builder()
            .addr(self.addr.to_string())
            .backoff(Duration::from_millis(40), Duration::from_millis(80))
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().connect().unwrap()
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Closes all connections, and goes on listening.
    pub(crate) fn hang_up(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Stops; the address is free afterwards.
    pub(crate) fn stop(&mut self) {
        if let Some(acceptor) = self.acceptor.take() {
            self.stop.store(true, Ordering::SeqCst);
            let _ = TcpStream::connect(self.addr);
            acceptor.join().unwrap();
            self.hang_up();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Serves those who connect to a Unix socket, one after the other; its path, of which the name is a part.
pub(crate) fn serve_unix(name: &str, mut serve: impl FnMut(&UnixStream) + Send + 'static) -> PathBuf {
    let path = socket_path(name);
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || listener.incoming().for_each(|stream| serve(&stream.unwrap())));
    path
}

/// A Unix socket on which nobody accepts, and that has no room for more who connect.
pub(crate) struct FullQueue {
    path: PathBuf,
    _sockets: [OwnedFd; 2],
}

impl FullQueue {
    /// The name is a part of its path.
    pub(crate) fn new(name: &str) -> Self {
        let path = socket_path(name);
        let address = SocketAddrUnix::new(&path).unwrap();
        let sockets = [(); 2].map(|()| socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap());
        bind(&sockets[0], &address).unwrap();
        listen(&sockets[0], 0).unwrap();
        connect(&sockets[1], &address).unwrap();
        Self { path, _sockets: sockets }
    }

    pub(crate) fn addr(&self) -> String {
        format!("unix://{}", self.path.display())
    }
}

impl Drop for FullQueue {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Where nothing is.
fn socket_path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("crabcache-client-{}-{name}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

/// Reads, answers, until the client goes. It reads nothing before all answers so far are sent.
pub(crate) fn serve_client<S>(stream: &S, store: &Mutex<Store>)
where
    for<'s> &'s S: Read + Write,
{
    let (mut stream, mut input, mut output) = (stream, Vec::new(), Vec::new());
    let mut chunk = vec![0; 64 * 1024];
    let mut skip = 0;
    loop {
        let n = match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(n) => n,
        };
        let skipped = n.min(skip);
        skip -= skipped;
        input.extend_from_slice(&chunk[skipped..n]);
        let (used, fault) = answer_all(&input, &mut skip, store, &mut output);
        input.drain(..used);
        if stream.write_all(&output).is_err() || fault.is_some() {
            return;
        }
        output.clear();
    }
}

fn answer_all(
    input: &[u8],
    skip: &mut usize,
    store: &Mutex<Store>,
    out: &mut Vec<u8>,
) -> (usize, Option<ParseError>) {
    let mut at = 0;
    loop {
        let skipped = (*skip).min(input.len() - at);
        at += skipped;
        *skip -= skipped;
        match request::parse(&input[at..], &LIMITS) {
            Ok(Parsed::Complete { value, consumed }) => {
                at += consumed;
                if let Command::Refused { skip: rest, .. } = value.command {
                    *skip = rest as usize;
                }
                store.lock().unwrap().answer(&value, out);
            }
            Ok(Parsed::Incomplete { .. }) => return (at, None),
            Err(error) => {
                reply::status(out, error.opaque(), error.status());
                return (at, Some(error));
            }
        }
    }
}

impl Store {
    fn find(&mut self, key: &[u8]) -> Option<&mut Stored> {
        if self.items.get(key)?.until.is_some_and(|until| until <= Instant::now()) {
            self.items.remove(key);
        }
        self.items.get_mut(key)
    }

    fn put(&mut self, key: &[u8], value: Vec<u8>, flags: u32, until: Option<Instant>) {
        self.version += 1;
        self.items.insert(key.to_vec(), Stored { value, flags, version: self.version, until });
    }

    fn answer(&mut self, request: &Request<'_>, out: &mut Vec<u8>) {
        let opaque = request.opaque;
        let status = match request.command {
            Command::Hello { .. } => {
                let hello = Hello {
                    version: 1,
                    key_len_max: 250,
                    value_len_max: 1 << 20,
                    features: 0,
                    server: b"test/1",
                };
                return reply::hello(out, opaque, &hello);
            }
            Command::Ping { payload } => return reply::value(out, opaque, payload),
            Command::Stats => {
                return reply::value(out, opaque, format!("items={}\n", self.items.len()).as_bytes());
            }
            Command::Flush => {
                self.items.clear();
                Status::Ok
            }
            Command::Get { key, meta } => match self.find(key) {
                None => Status::Miss,
                Some(item) if meta => return reply::value_with_meta(out, opaque, &item.meta(), &item.value),
                Some(item) => return reply::value(out, opaque, &item.value),
            },
            Command::Put(put) => self.answer_put(&put),
            Command::Delete { key, version } => match self.find(key) {
                None => Status::Miss,
                Some(item) if version.is_some_and(|version| version != item.version) => Status::NotStored,
                Some(_) => {
                    self.items.remove(key);
                    Status::Ok
                }
            },
            Command::Touch { key, ttl, .. } => match self.find(key) {
                None => Status::Miss,
                Some(item) => {
                    item.until = until(ttl, item.until);
                    Status::Ok
                }
            },
            Command::Increment { key, delta, initial, .. } => match self.count(key, delta, initial) {
                Ok(number) => return reply::number(out, opaque, number),
                Err(status) => status,
            },
            Command::Concat { key, bytes, end, create } => match self.find(key) {
                None if !create => Status::Miss,
                found => {
                    let mut value = found.map(|item| item.value.clone()).unwrap_or_default();
                    let at = if end == End::Back { value.len() } else { 0 };
                    value.splice(at..at, bytes.iter().copied());
                    let len = value.len();
                    self.put(key, value, 0, None);
                    return reply::length(out, opaque, len as u64);
                }
            },
            Command::MultiGet { keys, meta } => {
                let writer = ListWriter::begin(out, opaque);
                for key in keys {
                    match self.find(key) {
                        None => writer.without(out, Status::Miss),
                        Some(item) => {
                            let about = meta.then(|| item.meta());
                            let value = item.value.clone();
                            if writer.body_len(out) + value.len() > self.mget_body_max {
                                writer.without(out, Status::TryAgain);
                            } else {
                                writer.hit(out, about.as_ref(), &value);
                            }
                        }
                    }
                }
                return writer.finish(out);
            }
            Command::Refused { status, .. } => status,
            _ => Status::UnknownOperation,
        };
        if !request.is_silent(status) {
            reply::status(out, opaque, status);
        }
    }

    fn answer_put(&mut self, put: &Put<'_>) -> Status {
        let (version, old) = match self.find(put.key) {
            None => (None, None),
            Some(item) => (Some(item.version), item.until),
        };
        match (put.condition, version) {
            (Condition::Absent, Some(_)) => return Status::NotStored,
            (Condition::Present | Condition::Version(_), None) => return Status::Miss,
            (Condition::Version(wanted), Some(version)) if wanted != version => return Status::NotStored,
            _ => {}
        }
        self.put(put.key, put.value.to_vec(), put.flags, until(put.ttl, old));
        Status::Ok
    }

    fn count(&mut self, key: &[u8], delta: i64, initial: Option<i64>) -> Result<i64, Status> {
        let number = match self.find(key) {
            None => initial.ok_or(Status::Miss)?,
            Some(item) => {
                let old = std::str::from_utf8(&item.value).ok().and_then(|text| text.parse::<i64>().ok());
                old.ok_or(Status::NotANumber)?.checked_add(delta).ok_or(Status::Overflow)?
            }
        };
        self.put(key, number.to_string().into_bytes(), 0, None);
        Ok(number)
    }
}

impl Stored {
    fn meta(&self) -> Meta {
        let ttl_ms =
            self.until.map(|until| until.saturating_duration_since(Instant::now()).as_millis() as u64);
        Meta { version: self.version, flags: self.flags, ttl_ms }
    }
}

fn until(ttl: Ttl, old: Option<Instant>) -> Option<Instant> {
    match ttl {
        Ttl::Never => None,
        Ttl::Keep => old,
        Ttl::After(ms) => Some(Instant::now() + Duration::from_millis(ms)),
    }
}

/// Reads whole requests until there are `count` of them; the opaque numbers.
pub(crate) fn read_requests(mut stream: &TcpStream, count: usize) -> Vec<u16> {
    let (mut input, mut opaques) = (Vec::new(), Vec::new());
    while opaques.len() < count {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => break,
            Ok(n) => input.extend_from_slice(&chunk[..n]),
        }
        while let Ok(Parsed::Complete { value, consumed }) = request::parse(&input, &LIMITS) {
            opaques.push(value.opaque);
            input.drain(..consumed);
        }
    }
    opaques
}
