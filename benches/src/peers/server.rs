//! Servers as processes: started on a free port of loopback, ended by their process number, whatever happens.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::PeersError;
use super::peer::{Peer, Terms};
use crate::load::address::Address;
use crate::process;

/// For how long a server may take until it listens.
const START_MAX: Duration = Duration::from_secs(30);
/// How often the guard looks.
const LOOK: Duration = Duration::from_millis(50);
/// Signals on which all servers are ended.
const SIGNALS: [i32; 2] = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    /// What it is.
    pub peer: Peer,
    /// Where it listens.
    pub address: Address,
    /// Its process.
    pub pid: u32,
    /// What it has resident while it holds nothing, in bytes.
    pub empty_rss: u64,
    /// What it says.
    log: File,
    /// Its number among the children.
    number: usize,
}

/// All servers that were started. When it goes, they are ended; before that when their time is over, or when somebody wants this program
/// to end.
#[derive(Debug)]
pub struct Servers {
    children: Arc<Mutex<Vec<Child>>>,
    state: Arc<State>,
    guard: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    /// The guard is not needed any more.
    done: AtomicBool,
    /// A signal came.
    interrupted: Arc<AtomicBool>,
    /// The time was over.
    late: AtomicBool,
}

impl Servers {
    /// None so far; all of them end after `limit` at the latest.
    pub fn new(limit: Duration) -> io::Result<Self> {
        let (state, children) = (Arc::new(State::default()), Arc::default());
        for signal in SIGNALS {
            signal_hook::flag::register(signal, Arc::clone(&state.interrupted))?;
        }
        let until = Instant::now() + limit;
        let guard = {
            let (state, children) = (Arc::clone(&state), Arc::clone(&children));
            thread::spawn(move || state.guard(until, &children))
        };
        Ok(Self { children, state, guard: Some(guard) })
    }

    /// Why servers went that should not have, if this program ended them.
    #[must_use]
    pub fn ended(&self) -> Option<PeersError> {
        if self.state.interrupted.load(Ordering::Relaxed) {
            return Some(PeersError::Interrupted);
        }
        self.state.late.load(Ordering::Relaxed).then_some(PeersError::Late)
    }

    /// Starts one, on this CPU if there is one to choose, and waits until it listens.
    pub fn start(&mut self, peer: &Peer, terms: Terms, cpu: Option<usize>) -> Result<Server, PeersError> {
        let failed = |why: String| PeersError::Start { name: peer.name.clone(), why };
        let log = scratch(terms.port)?;
        let address = format!("127.0.0.1:{}", terms.port);
        let mut command = Command::new(&peer.program);
        command
            .args(peer.arguments(terms))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?);
        let child = on_cpu(cpu, || command.spawn())?
            .map_err(|error| failed(format!("{}: {error}", peer.program.display())))?;
        let pid = child.id();
        let number = {
            let mut children = lock(&self.children);
            children.push(child);
            children.len() - 1
        };
        let begun = Instant::now();
        while TcpStream::connect(&address).is_err() {
            let ended = lock(&self.children)[number].try_wait()?;
            if ended.is_some() || begun.elapsed() > START_MAX {
                let state = ended.map_or("does not listen".to_owned(), |status| status.to_string());
                return Err(failed(format!("{state}: {}", read(log)?.trim())));
            }
            thread::sleep(Duration::from_millis(20));
        }
        // What it does at its start should be over.
        thread::sleep(Duration::from_millis(200));
        let empty_rss = process::rss_of(pid).unwrap_or(0);
        Ok(Server { peer: peer.clone(), address: Address::Tcp(address), pid, empty_rss, log, number })
    }

    /// Asks one to end, waits until it has, and tells all that it said.
    pub fn stop(&mut self, server: Server) -> Result<String, PeersError> {
        {
            let mut children = lock(&self.children);
            let child = &mut children[server.number];
            // Nobody has waited for it yet, so the number is its own.
            if child.try_wait()?.is_none() {
                kill_process(Pid::from_child(child), Signal::TERM).map_err(io::Error::from)?;
            }
        }
        while lock(&self.children)[server.number].try_wait()?.is_none() {
            thread::sleep(Duration::from_millis(20));
        }
        self.ended().map_or_else(|| Ok(read(server.log)?), Err)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.state.done.store(true, Ordering::Relaxed);
        if let Some(guard) = self.guard.take() {
            // It only looks and sleeps.
            let _ = guard.join();
        }
        kill(&self.children);
    }
}

impl State {
    fn guard(&self, until: Instant, children: &Mutex<Vec<Child>>) {
        while !self.done.load(Ordering::Relaxed) {
            let late = Instant::now() >= until;
            if late || self.interrupted.load(Ordering::Relaxed) {
                self.late.store(late, Ordering::Relaxed);
                kill(children);
                return;
            }
            thread::sleep(LOOK);
        }
    }
}

fn lock(children: &Mutex<Vec<Child>>) -> MutexGuard<'_, Vec<Child>> {
    children.lock().unwrap_or_else(PoisonError::into_inner)
}

fn kill(children: &Mutex<Vec<Child>>) {
    for child in &mut *lock(children) {
        // Gone already, or ended now; it is waited for, so its number is nobody else's meanwhile.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A port of loopback that nobody listens on.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Lets this thread, and the threads and processes that it starts from now on, run on one CPU only; or on all that it may, if
/// none is chosen.
pub fn pin(cpu: Option<usize>) -> io::Result<()> {
    if let Some(cpu) = cpu {
        let mut set = CpuSet::new();
        let refused = |error: io::Error| {
            let text = format!("CPU {cpu} cannot be used ({error}): choose others, or --no-pinning");
            io::Error::new(error.kind(), text)
        };
        if cpu >= CpuSet::MAX_CPU {
            return Err(refused(io::ErrorKind::InvalidInput.into()));
        }
        set.set(cpu);
        sched_setaffinity(None, &set).map_err(|errno| refused(errno.into()))?;
    }
    Ok(())
}

/// Does something on a CPU, in a thread of its own, so that this one stays where it is.
fn on_cpu<T: Send>(cpu: Option<usize>, act: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let acting = scope.spawn(move || {
            pin(cpu)?;
            Ok(act())
        });
        acting.join().expect("starting a process does not panic")
    })
}

/// All that is in a file.
fn read(mut log: File) -> io::Result<String> {
    let mut said = Vec::new();
    log.rewind()?;
    log.read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// A file that is gone once it is closed.
fn scratch(port: u16) -> io::Result<File> {
    let path = env::temp_dir().join(format!("crabcache-bench-{}-{port}.log", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::request::Protocol;

    /// A program that is no server, but lives for a while.
    fn peer(command: &str) -> Peer {
        let arguments = vec!["-c".to_owned(), command.to_owned()];
        Peer { name: "x".to_owned(), program: "/bin/sh".into(), arguments, protocol: Protocol::Resp }
    }

    fn terms() -> Terms {
        Terms { port: free_port().unwrap(), mib: 1, key_len: 1, value_len: 1 }
    }

    #[test]
    fn a_server_that_ends_at_once_says_why() {
        let mut servers = Servers::new(Duration::from_mins(1)).unwrap();
        let error = servers.start(&peer("echo no port {port} >&2; exit 3"), terms(), None).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("no port ") && text.contains("exit status: 3"), "{text}");
        let missing = Peer { program: "/nowhere/server".into(), ..peer("") };
        let text = servers.start(&missing, terms(), None).unwrap_err().to_string();
        assert!(text.starts_with("x did not start: /nowhere/server: "), "{text}");
    }

    #[test]
    fn when_the_time_is_over_they_are_ended() {
        let mut servers = Servers::new(Duration::from_millis(300)).unwrap();
        let error = servers.start(&peer("exec sleep 60"), terms(), None).unwrap_err();
        assert!(error.to_string().contains("signal"), "{error}");
        assert!(matches!(servers.ended(), Some(PeersError::Late)));
    }

    #[test]
    fn who_is_asked_to_end_may_say_something() {
        let mut servers = Servers::new(Duration::from_mins(1)).unwrap();
        let terms = terms();
        let _listener = TcpListener::bind(("127.0.0.1", terms.port)).unwrap();
        let script = "trap 'echo done; exit' TERM; while :; do sleep 0.05; done";
        let server = servers.start(&peer(script), terms, None).unwrap();
        let pid = server.pid;
        assert_eq!(servers.stop(server).unwrap(), "done\n");
        assert_eq!(process::rss_of(pid), None);
    }

    #[test]
    fn with_the_last_holder_they_go() {
        let mut servers = Servers::new(Duration::from_mins(1)).unwrap();
        let terms = terms();
        // The listener is this test's; the process only has to live.
        let _listener = TcpListener::bind(("127.0.0.1", terms.port)).unwrap();
        let server = servers.start(&peer("exec sleep 60"), terms, Some(0)).unwrap();
        assert!(process::rss_of(server.pid).is_some() && server.empty_rss > 0);
        drop(servers);
        assert_eq!(process::rss_of(server.pid), None);
    }
}
