//! Who takes part: programs that are found, and how each is started so that it can be compared.
//!
//! All get one thread, no persistence, and memory enough that nothing is evicted.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::load::request::Protocol;

/// A server that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// What it is called in tables.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments, with `{port}`, `{mib}`, `{key}` and `{value}` where it is told a port, MiB of memory, bytes of keys and
    /// values.
    pub arguments: Vec<String>,
    /// What it is spoken to in.
    pub protocol: Protocol,
}

/// What a peer is told when it is started.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Where to listen, on loopback.
    pub port: u16,
    /// Memory for its items, in MiB.
    pub mib: u64,
    /// Bytes of keys.
    pub key_len: u32,
    /// Bytes of values.
    pub value_len: u32,
}

/// A server that this program knows how to start.
#[derive(Clone, Copy, Debug)]
struct Known {
    name: &'static str,
    program: &'static str,
    arguments: &'static str,
    protocol: Protocol,
}

/// The project's own server.
pub const OURS: &str = "crabcache";
/// The reactor that stores nothing.
pub const FLOOR: &str = "floor";

const KNOWN: [Known; 5] = [
    Known {
        name: OURS,
        program: "crabcache-server",
        arguments: "--listen 127.0.0.1:{port} --workers 1 --memory {mib}mb",
        protocol: Protocol::Resp,
    },
    Known {
        name: "redis",
        program: "redis-server",
        arguments: "--bind 127.0.0.1 --port {port} --save  --appendonly no",
        protocol: Protocol::Resp,
    },
    Known {
        name: "valkey",
        program: "valkey-server",
        arguments: "--bind 127.0.0.1 --port {port} --save  --appendonly no --io-threads 1",
        protocol: Protocol::Resp,
    },
    Known {
        name: "memcached",
        program: "memcached",
        arguments: "-l 127.0.0.1 -p {port} -U 0 -t 1 -m {mib} -u nobody",
        protocol: Protocol::Memcache,
    },
    Known {
        name: "pogocache",
        program: "pogocache",
        arguments: "-h 127.0.0.1 -p {port} --threads 1",
        protocol: Protocol::Resp,
    },
];

/// `--peer`: a known server at a path, or any server by its command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given(Peer);

/// A text that tells no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected NAME=PATH with NAME one of crabcache, redis, valkey, memcached, pogocache, or \
     NAME[:PROTOCOL]=COMMAND with {{port}} in it"
)]
pub struct BadPeer;

impl FromStr for Given {
    type Err = BadPeer;

    fn from_str(text: &str) -> Result<Self, BadPeer> {
        let (name, program) =
            text.split_once('=').filter(|(_, program)| !program.is_empty()).ok_or(BadPeer)?;
        if program.contains("{port}") {
            let (name, protocol) = name.split_once(':').unwrap_or((name, "resp"));
            let protocol = protocol.parse().map_err(|_| BadPeer)?;
            let mut words = program.split_whitespace();
            let program = words.next().ok_or(BadPeer)?.into();
            let arguments = words.map(str::to_owned).collect();
            return Ok(Self(Peer { name: name.to_owned(), program, arguments, protocol }));
        }
        let known = KNOWN.iter().find(|known| known.name == name).ok_or(BadPeer)?;
        Ok(Self(known.peer(program.into())))
    }
}

impl Known {
    fn peer(&self, program: PathBuf) -> Peer {
        // Two blanks stand around an argument without bytes.
        let arguments = self.arguments.split(' ').map(str::to_owned).collect();
        Peer { name: self.name.to_owned(), program, arguments, protocol: self.protocol }
    }
}

impl Peer {
    /// Its arguments under these terms.
    pub fn arguments(&self, terms: Terms) -> impl Iterator<Item = OsString> {
        let Terms { port, mib, key_len, value_len } = terms;
        self.arguments.iter().map(move |argument| {
            let argument = argument.replace("{port}", &port.to_string()).replace("{mib}", &mib.to_string());
            argument.replace("{key}", &key_len.to_string()).replace("{value}", &value_len.to_string()).into()
        })
    }
}

/// The floor, which is this program.
#[must_use]
pub fn floor(this: &Path) -> Peer {
    let arguments = "floor --listen 127.0.0.1:{port} --key {key} --value {value}";
    let arguments = arguments.split(' ').map(str::to_owned).collect();
    Peer { name: FLOOR.to_owned(), program: this.to_owned(), arguments, protocol: Protocol::Resp }
}

/// Those of the known servers that are there, ours first, and the names of those that are not. Ours is looked for beside
/// `this` program, then, like the others, in the directories of PATH. What is given comes instead of what would be found.
#[must_use]
pub fn find(given: &[Given], this: &Path) -> (Vec<Peer>, Vec<&'static str>) {
    let (mut found, mut absent) = (Vec::new(), Vec::new());
    for known in &KNOWN {
        let here = given.iter().find(|given| given.0.name == known.name).map(|given| given.0.clone());
        let beside = (known.name == OURS).then(|| this.with_file_name(known.program));
        let program = beside.into_iter().chain(on_path(known.program)).find(|program| program.is_file());
        match here.or_else(|| program.map(|program| known.peer(program))) {
            Some(peer) => found.push(peer),
            None => absent.push(known.name),
        }
    }
    let others = given.iter().filter(|given| KNOWN.iter().all(|known| known.name != given.0.name));
    found.extend(others.map(|given| given.0.clone()));
    (found, absent)
}

fn on_path(program: &str) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|directory| directory.join(program)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { port: 7, mib: 64, key_len: 11, value_len: 32 };

    #[test]
    fn peers_as_people_give_them() {
        let Given(redis) = "redis=/opt/redis-server".parse().unwrap();
        assert_eq!((redis.program.to_str(), redis.protocol), (Some("/opt/redis-server"), Protocol::Resp));
        let arguments: Vec<_> = redis.arguments(TERMS).collect();
        assert_eq!(arguments, ["--bind", "127.0.0.1", "--port", "7", "--save", "", "--appendonly", "no"]);
        let Given(other) = "mine:memcache=/bin/mine -p {port} -m {mib}".parse().unwrap();
        assert_eq!((other.name.as_str(), other.protocol), ("mine", Protocol::Memcache));
        assert_eq!(other.arguments(TERMS).collect::<Vec<_>>(), ["-p", "7", "-m", "64"]);
        for bad in ["", "redis", "redis=", "mine=/bin/mine", "mine:http=x {port}"] {
            assert_eq!(bad.parse::<Given>(), Err(BadPeer), "{bad}");
        }
    }

    #[test]
    fn what_is_given_comes_instead_and_what_is_not_there_is_told() {
        let this = Path::new("/nowhere/crabcache-bench");
        let given = ["redis=/x/redis", "mine=/bin/mine {port}"].map(|text| text.parse().unwrap());
        let (found, absent) = find(&given, this);
        assert!(found.iter().any(|peer| peer.program == Path::new("/x/redis")));
        assert_eq!(found.last().map(|peer| peer.name.as_str()), Some("mine"));
        assert_eq!(found.len() + absent.len(), KNOWN.len() + 1);
    }
}
