//! [`Cluster`]: which of its servers has a key, and how several are asked at the same time.

use std::thread;
use std::time::Duration;

use crate::Result;
use crate::client::{Client, PutOptions};
use crate::config::Builder;
use crate::error::Error;
use crate::reply::Value;

/// Clients of several servers, each with a pool of its own. Cheap to clone.
///
/// ```no_run
/// use crabcache_client::{Client, Cluster};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::new(&Client::builder(), [("cache1:7001", 1.0), ("cache2:7001", 2.0)])?;
/// cluster.put("greeting", "hello")?; // to the one that has this key
/// assert_eq!(cluster.get("greeting")?.as_deref(), Some(&b"hello"[..]));
/// # Ok(())
/// # }
/// ```
///
/// The servers know nothing of each other. Each key has its place on one of them, by weighted rendezvous hashing, which
/// all clients that are given the same names and weights agree on:
///
/// ```text
/// mix(x)            splitmix64: x += 0x9E3779B97F4A7C15; x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
///                   x = (x ^ x >> 27) * 0x94D049BB133111EB; x ^ x >> 31
/// hash(bytes)       FNV-1a, 64 bits
/// u(key, node)      ((mix(hash(key) ^ mix(hash(name of the node))) >> 11) + 0.5) / 2^53
/// score(key, node)  weight / -ln u
/// ```
///
/// The highest score has the key. If a node is added, only the keys move that it gets; if one is taken out, only those
/// that it had. A node that fails keeps its keys: they fail, with [`Error::Node`], which names it, at once while it is
/// down; and they cost the others nothing.
#[derive(Clone, Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
struct Node {
    name: String,
    weight: f64,
    /// `mix(hash(name))`
    seed: u64,
    client: Client,
}

impl Node {
    /// An error that is about the node, and not about the command alone, with its name.
    fn named(&self, error: Error) -> Error {
        if error.keeps_connection() {
            return error;
        }
        Error::Node { name: self.name.clone(), error: Box::new(error) }
    }
}

impl Cluster {
    /// A cluster of these addresses, each with its weight: a node of weight 2 has twice the keys of one of weight 1. The
    /// address is the name that is hashed, so all clients have to write it in the same way. Nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::Address`] for one that cannot be understood, [`Error::Cluster`] for one that comes twice, a weight that is
    /// not above 0, or none at all.
    pub fn new<'n>(settings: &Builder, nodes: impl IntoIterator<Item = (&'n str, f64)>) -> Result<Self> {
        let mut cluster = Self { nodes: Vec::new() };
        for (name, weight) in nodes {
            if cluster.nodes.iter().any(|node| node.name == name) {
                return Err(Error::Cluster(format!("node {name} is named twice")));
            }
            if !weight.is_finite() || weight <= 0.0 {
                return Err(Error::Cluster(format!(
                    "the weight {weight} of node {name} is no number above 0"
                )));
            }
            let client = settings.clone().addr(name).build()?;
            cluster.nodes.push(Node {
                name: name.to_owned(),
                weight,
                seed: mix(hash(name.as_bytes())),
                client,
            });
        }
        if cluster.nodes.is_empty() { Err(Error::Cluster("no nodes".to_owned())) } else { Ok(cluster) }
    }

    /// The client of the node that has the key: for all calls that are not here, such as [`Client::pipeline`] with the keys of
    /// one node. Its errors do not name the node.
    #[must_use]
    pub fn node_of(&self, key: impl AsRef<[u8]>) -> &Client {
        &self.nodes[self.index_of(key.as_ref())].client
    }

    /// What a call to the node that has the key answers.
    fn ask<T>(&self, key: impl AsRef<[u8]>, call: impl FnOnce(&Client) -> Result<T>) -> Result<T> {
        let node = &self.nodes[self.index_of(key.as_ref())];
        call(&node.client).map_err(|error| node.named(error))
    }

    /// All nodes, by their names.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &Client)> {
        self.nodes.iter().map(|node| (node.name.as_str(), &node.client))
    }

    /// [`Client::get`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.ask(&key, |client| client.get(&key))
    }

    /// [`Client::put`].
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.ask(&key, |client| client.put(&key, value))
    }

    /// [`Client::put_with`].
    pub fn put_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: PutOptions,
    ) -> Result<bool> {
        self.ask(&key, |client| client.put_with(&key, value, options))
    }

    /// [`Client::del`].
    pub fn del(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.ask(&key, |client| client.del(&key))
    }

    /// [`Client::get_or_put_with`].
    pub fn get_or_put_with<V: Into<Value>>(
        &self,
        key: impl AsRef<[u8]>,
        ttl: Option<Duration>,
        compute: impl FnOnce() -> V,
    ) -> Result<Value> {
        self.ask(&key, |client| client.get_or_put_with(&key, ttl, compute))
    }

    /// [`Client::get_many`], from all nodes at the same time. Each key has a result of its own, so that a node that
    /// fails takes nothing from the others.
    pub fn get_many<K: AsRef<[u8]> + Sync>(&self, keys: &[K]) -> Vec<Result<Option<Value>>> {
        self.on_each(keys, AsRef::as_ref, |client, keys| {
            Ok(client.get_many(keys)?.into_iter().map(Ok).collect())
        })
    }

    /// [`Client::put_many`], to all nodes at the same time, with a result for each pair.
    pub fn put_many<K, V>(&self, pairs: &[(K, V)], ttl: Option<Duration>) -> Vec<Result<()>>
    where
        K: AsRef<[u8]> + Sync,
        V: AsRef<[u8]> + Sync,
    {
        self.on_each(
            pairs,
            |(key, _)| key.as_ref(),
            |client, pairs| {
                let pairs: Vec<(&[u8], &[u8])> =
                    pairs.iter().map(|(key, value)| (key.as_ref(), value.as_ref())).collect();
                let stored = client.put_many(&pairs, ttl)?;
                Ok(stored.into_iter().map(|result| result.map_err(Error::from)).collect())
            },
        )
    }

    /// Hands each node its items, in threads if there are several nodes to ask; the results in the order of the items.
    fn on_each<T, R, F>(&self, items: &[T], key: impl Fn(&T) -> &[u8], run: F) -> Vec<Result<R>>
    where
        T: Sync,
        R: Send,
        F: Fn(&Client, &[&T]) -> Result<Vec<Result<R>>> + Sync,
    {
        let mut shares = vec![(Vec::new(), Vec::new()); self.nodes.len()];
        for (index, item) in items.iter().enumerate() {
            let (indices, share) = &mut shares[self.index_of(key(item))];
            indices.push(index);
            share.push(item);
        }
        let mut asked: Vec<_> =
            self.nodes.iter().zip(&shares).filter(|(_, (_, share))| !share.is_empty()).collect();
        let last = asked.pop();
        let ask = &|(node, (indices, share)): (&Node, &(Vec<usize>, Vec<&T>))| {
            let answers = run(&node.client, share);
            let answers = answers.unwrap_or_else(|error| share.iter().map(|_| Err(error.clone())).collect());
            let answers = answers.into_iter().map(|answer| answer.map_err(|error| node.named(error)));
            indices.iter().copied().zip(answers).collect::<Vec<_>>()
        };
        let mut results: Vec<(usize, Result<R>)> = thread::scope(|scope| {
            let (mut threads, mut own) = (Vec::new(), Vec::from_iter(last));
            for node in asked {
                match thread::Builder::new().spawn_scoped(scope, move || ask(node)) {
                    Ok(thread) => threads.push(thread),
                    Err(_) => own.push(node), // the system gives no more of them
                }
            }
            let own = own.into_iter().flat_map(ask);
            own.chain(threads.into_iter().flat_map(|thread| thread.join().expect("asking does not panic")))
                .collect()
        });
        results.sort_unstable_by_key(|&(index, _)| index);
        results.into_iter().map(|(_, result)| result).collect()
    }

    fn index_of(&self, key: &[u8]) -> usize {
        let key = hash(key);
        let scores = self.nodes.iter().map(|node| score(key, node.seed, node.weight));
        scores.enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(index, _)| index)
    }
}

fn score(key: u64, seed: u64, weight: f64) -> f64 {
    let u = ((mix(key ^ seed) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    weight / -u.ln()
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, step)
}

/// The finalizer of splitmix64.
const fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(nodes: &[(&str, f64)]) -> Cluster {
        Cluster::new(&Client::builder(), nodes.iter().copied()).unwrap()
    }

    fn owners(cluster: &Cluster) -> Vec<&str> {
        (0..40_000)
            .map(|i| cluster.nodes[cluster.index_of(format!("key{i}").as_bytes())].name.as_str())
            .collect()
    }

    #[test]
    fn keys_are_shared_by_weight() {
        let cluster = cluster(&[("a:1", 1.0), ("b:1", 1.0), ("c:1", 2.0)]);
        let owners = owners(&cluster);
        for (name, share) in [("a:1", 0.25), ("b:1", 0.25), ("c:1", 0.5)] {
            let found = owners.iter().filter(|&&owner| owner == name).count() as f64 / owners.len() as f64;
            assert!((found - share).abs() < 0.01, "{name}: {found}"); // four standard deviations
        }
    }

    #[test]
    fn only_the_keys_of_a_node_that_comes_or_goes_move() {
        let three = cluster(&[("a:1", 1.0), ("b:1", 1.0), ("c:1", 1.0)]);
        let two = cluster(&[("c:1", 1.0), ("a:1", 1.0)]);
        let moved = owners(&three).into_iter().zip(owners(&two)).filter(|(before, after)| before != after);
        let moved: Vec<_> = moved.collect();
        assert!(moved.iter().all(|&(before, _)| before == "b:1"));
        assert!(moved.len() > 12_000 && moved.len() < 15_000);
        let heavier = cluster(&[("a:1", 1.0), ("b:1", 2.0), ("c:1", 1.0)]);
        assert!(
            owners(&three).into_iter().zip(owners(&heavier)).all(|(old, new)| old == new || new == "b:1")
        );
    }

    /// Clients of other versions have to find the keys. The functions' own values are those of their authors.
    #[test]
    fn places_do_not_change_with_the_version() {
        assert_eq!(hash(b"foobar"), 0x8594_4171_F739_67E8);
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(mix(1_234_567), 6_457_827_717_110_365_317);
        let cluster = cluster(&[("a:1", 1.0), ("b:1", 1.0), ("c:1", 1.0)]);
        let owners: String = owners(&cluster)[..20].iter().map(|owner| &owner[..1]).collect();
        assert_eq!(owners, "aaabbaabbbccbcccabca");
    }

    #[test]
    fn bad_nodes_are_refused() {
        for (bad, why) in [
            (&[("a:1", 0.0)][..], "the weight 0 of node a:1 is no number above 0"),
            (&[("a:1", f64::NAN)], "the weight NaN of node a:1 is no number above 0"),
            (&[("a:1", f64::INFINITY)], "the weight inf of node a:1 is no number above 0"),
            (&[("a:1", 1.0), ("a:1", 2.0)], "node a:1 is named twice"),
            (&[("a", 1.0)], "not an address: \"a\"; expected host:port or unix:///path"),
            (&[], "no nodes"),
        ] {
            let refused = Cluster::new(&Client::builder(), bad.iter().copied()).unwrap_err();
            assert_eq!(refused.to_string(), why);
        }
    }
}
