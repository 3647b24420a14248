//! `load`: requests to a server, and what it makes of them.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use crabcache_bench::draw::Distribution;
use crabcache_bench::load::address::Address;
use crabcache_bench::load::request::Protocol;
use crabcache_bench::load::script::{Items, Mix};
use crabcache_bench::load::sizes::Sizes;
use crabcache_bench::load::{self, LoadError, Options, Progress, Stop};
use indicatif::ProgressBar;
use signal_hook::consts::SIGINT;
use signal_hook::flag;

use super::{Failure, print, progress_bar, time};

const EXAMPLES: &str = "\
Examples:
  crabcache-bench load                                      GETs at 127.0.0.1:7001, for 10 seconds
  crabcache-bench load --connect 127.0.0.1:6379 --depth 16 --ratio 1:9 --distribution zipf:0.99
  crabcache-bench load --rate 50000 --depth 8 --seconds 20  open loop: timed from when each is due
  crabcache-bench load --protocol memcache --value 32:90,1000-5000:10 --verify

The items stay on the server, under keys that are numbers, such as 00000000042.

Exit status: 0 done, 1 it did not work, or an answer was an error or wrong, 2 bad usage.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Load {
    /// Where the server listens: HOST:PORT, or unix:// and a path.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7001")]
    connect: Address,

    /// What to speak: resp, memcache or native.
    #[arg(long, value_name = "NAME", default_value = "resp")]
    protocol: Protocol,

    /// Connections, all threads together.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    connections: u32,

    /// Most unanswered requests on a connection; 1: no pipelining.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    depth: u32,

    /// Threads of the load generator.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,

    /// Number of items.
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..))]
    items: u32,

    /// Bytes of the keys: a length (11), a range (11-40), or a mixture with weights (11:90,40-60:10).
    #[arg(long, value_name = "SIZES", default_value = "11")]
    key: Sizes,

    /// Bytes of the values, in the same way.
    #[arg(long, value_name = "SIZES", default_value = "32")]
    value: Sizes,

    /// Seconds after which items expire, in the same way; 0: never.
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    ttl: Sizes,

    /// How often each item is asked for: uniform, or zipf: and an exponent.
    #[arg(long, value_name = "NAME", default_value = "uniform")]
    distribution: Distribution,

    /// So many SETs to so many GETs.
    #[arg(long, value_name = "SET:GET", default_value = "0:1", value_parser = ratio)]
    ratio: Mix,

    /// Send PINGs instead.
    #[arg(long, conflicts_with = "ratio")]
    ping: bool,

    /// For how long: a number of seconds, or with a unit, as in 5m.
    #[arg(long, value_name = "TIME", default_value = "10", value_parser = time)]
    seconds: Duration,

    /// How many requests, instead of a time.
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,

    /// For how long to do the same before that.
    #[arg(long, value_name = "TIME", default_value = "1", value_parser = time)]
    warm_up: Duration,

    /// Open loop: so many requests per second, all connections together. Latencies count from the moment at which a
    /// request was due, also where it could not be sent because the server was late with others.
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,

    /// Do not store all items first.
    #[arg(long)]
    no_preload: bool,

    /// Look at each value, to the byte.
    #[arg(long)]
    verify: bool,

    /// The server's process: its CPU time per request and its memory are told, too.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Load {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let json = self.json;
        let mut bar = Bar::default();
        // The first Ctrl-C ends the measurement, which is reported; the second ends the program.
        let ended = Arc::new(AtomicBool::new(false));
        flag::register_conditional_shutdown(SIGINT, 130, Arc::clone(&ended))?;
        flag::register(SIGINT, Arc::clone(&ended))?;
        let options = self.options()?;
        let report = load::run(&options, &mut |progress| {
            bar.show(progress);
            if ended.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        bar.end();
        let report = report.map_err(|error| match error {
            LoadError::Connect { .. } | LoadError::NoProcess(_) | LoadError::Ended => Failure::from(error),
            LoadError::Reply(_) => {
                format!("{}: {error}; --protocol resp, memcache or native chooses", options.address).into()
            }
            _ => format!("{}: {error}", options.address).into(),
        })?;
        print(if json { report.to_json().to_string() } else { report.to_string() })?;
        Ok(ExitCode::from(u8::from(report.is_bad())))
    }

    fn options(self) -> Result<Options, Failure> {
        let key_len_max = self.protocol.key_len_max();
        if self.key.max() > key_len_max {
            let protocol = self.protocol.name();
            return Err(format!("keys of {protocol} have at most {key_len_max} bytes").into());
        }
        if self.connections < self.threads {
            return Err("each thread needs a connection: --connections is less than --threads".into());
        }
        Ok(Options {
            address: self.connect,
            protocol: self.protocol,
            connections: self.connections,
            depth: self.depth,
            threads: self.threads,
            items: Items::new(self.items, self.key, self.value)?.expiring(self.ttl),
            distribution: self.distribution,
            mix: if self.ping { Mix::Ping } else { self.ratio },
            stop: self.requests.map_or(Stop::After(self.seconds), Stop::Requests),
            rate: self.rate,
            warm_up: self.warm_up,
            preload: !self.no_preload && !self.ping,
            verify: self.verify,
            pid: self.pid,
        })
    }
}

/// A progress bar for each phase.
#[derive(Default)]
struct Bar {
    phase: &'static str,
    bar: Option<ProgressBar>,
}

impl Bar {
    fn show(&mut self, progress: Progress) {
        if self.bar.is_none() || self.phase != progress.phase {
            self.end();
            self.phase = progress.phase;
            let bar = progress_bar(progress.of);
            bar.set_prefix(progress.phase);
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(progress.done);
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn ratio(text: &str) -> Result<Mix, String> {
    let numbers =
        text.split_once(':').and_then(|(sets, gets)| Some((sets.parse().ok()?, gets.parse().ok()?)));
    match numbers {
        Some((sets @ 0..=1_000_000, gets @ 0..=1_000_000)) if sets + gets > 0 => {
            Ok(Mix::Ratio { sets, gets })
        }
        _ => Err("expected two numbers up to 1000000, such as 1:9; not 0:0".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1e9).contains(rate));
    rate.ok_or_else(|| "expected a number of requests per second".to_owned())
}
