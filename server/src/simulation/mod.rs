//! The server's connections without sockets: the code of a worker, from readiness to answers, against clients and a
//! network that a seed makes up. A failure prints its seed; `CRABCACHE_SEED=n` repeats it alone.
//!
//! ```text
//! Client (client.rs)  --bytes-->  wire.rs  --readiness, recv, send-->  reactor::service::Service, in turns
//!    script.rs, model.rs: what it asks, and what it must be answered
//! ```
//!
//! What is checked: each client that stays gets all its answers, in order, whole; nobody waits for ever, and who asks for
//! little does not wait for long; once all have left, the server holds nothing of them. Sizes are a sixteenth of what they
//! are otherwise ([`sized`](crate::reactor::sized)).

#[cfg(test)]
mod client;
#[cfg(fuzzing)]
mod feed;
#[cfg(test)]
mod model;
pub(crate) mod random;
#[cfg(test)]
mod script;
pub(crate) mod setup;
pub(crate) mod wire;
#[cfg(test)]
mod world;

#[cfg(fuzzing)]
pub use feed::feed;

#[cfg(test)]
mod tests {
    use super::world;

    /// Seeds of a usual run.
    const SEEDS: u64 = 200;

    #[test]
    fn clients_are_answered_whatever_the_network_does() {
        if let Ok(seed) = std::env::var("CRABCACHE_SEED") {
            world::run(seed.parse().expect("CRABCACHE_SEED is a number"));
            return;
        }
        let mut received = 0;
        for seed in 0..SEEDS {
            let run = std::panic::catch_unwind(|| world::run(seed));
            received += u64::from(run.unwrap_or_else(|_| panic!("CRABCACHE_SEED={seed} repeats it")));
        }
        assert!(received > SEEDS / 10, "values were received into the arena in {received} runs only");
    }
}
