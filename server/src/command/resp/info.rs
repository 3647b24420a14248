//! INFO: what dashboards and tools read. Fields that Redis has and we do not are left out, except where a tool fails
//! without them; then they say what is true here (no persistence, no replicas).

use std::fmt::Write as _;

use crabcache_engine::Millis;
use crabcache_protocol::resp::{Args, write};

use super::connection::ECHOED_MAX;
use super::{scripts, table};
use crate::command::task::Task;
use crate::command::walk::{Counted, Items, Walk};
use crate::config::{Endpoint, size};
use crate::connection::Connection;
use crate::database::DATABASES;
use crate::pubsub::Kind;
use crate::reactor::batch::Pass;
use crate::shared::Shared;
use crate::stats::report::Report;
use crate::sys::usage::{Usage, usage};
use crate::tracking::Figures;

/// The version of Redis whose commands and answers these are; clients choose by it what they dare to send.
pub(super) const REDIS_VERSION: &str = "7.4.0";

/// What the sections are made of.
struct Facts<'a> {
    shared: &'a Shared<'a>,
    report: Report,
    usage: Usage,
    /// Items of each place.
    items: &'a Items,
    tracking: Figures,
    now: Millis,
}

struct Section {
    name: &'static str,
    /// Told where nothing was asked for.
    usual: bool,
    write: fn(&Facts<'_>, &mut String),
}

const fn usual(name: &'static str, write: fn(&Facts<'_>, &mut String)) -> Section {
    Section { name, usual: true, write }
}

const fn special(name: &'static str, write: fn(&Facts<'_>, &mut String)) -> Section {
    Section { name, usual: false, write }
}

const SECTIONS: [Section; 13] = [
    usual("Server", server),
    usual("Clients", clients),
    usual("Memory", memory),
    usual("Persistence", persistence),
    usual("Stats", stats),
    usual("Replication", replication),
    usual("CPU", cpu),
    usual("Modules", modules),
    special("Commandstats", commandstats),
    usual("Errorstats", errorstats),
    special("Latencystats", latencystats),
    usual("Cluster", cluster),
    usual("Keyspace", keyspace),
];

/// Which of the sections are wanted.
pub(crate) type Wanted = [bool; SECTIONS.len()];

/// `INFO [section ...]`
pub(super) fn info<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if args.len() > ECHOED_MAX {
        return pass.error("ERR too many sections at once");
    }
    let wanted = SECTIONS.map(|section| is_wanted(args, &section));
    let tells_items =
        SECTIONS.iter().zip(wanted).any(|(section, wanted)| wanted && section.name == "Keyspace");
    if tells_items && !pass.shared().databases.only_first() {
        connection.task = Some(Box::new(Task::Walk(Walk::count(Counted::Info(wanted)))));
        return;
    }
    pass.run();
    let mut items = Items::default();
    items[0] = pass.shared().cache.stats().items;
    answer(&wanted, &items, pass);
}

/// Answers with the sections that are wanted.
pub(crate) fn answer(wanted: &Wanted, items: &Items, pass: &mut Pass<'_, '_, '_>) {
    let text = text(pass.shared(), pass.now(), wanted, items);
    let version = pass.version;
    write::verbatim(pass.direct(), *b"txt", text.as_bytes(), version);
    // What it takes to gather the figures, however few are told.
    pass.executor.note_work(50_000);
}

/// Whether a section is wanted: a usual one also where none is asked for.
fn is_wanted(args: Args<'_>, section: &Section) -> bool {
    let asks = |name: &str| args.iter().skip(1).any(|wanted| wanted.eq_ignore_ascii_case(name.as_bytes()));
    let usual = args.len() == 1 || asks("default");
    asks("all") || asks("everything") || (usual && section.usual) || asks(section.name)
}

fn text(shared: &Shared<'_>, now: Millis, wanted: &Wanted, items: &Items) -> String {
    let tracking = shared.tracking.figures();
    let facts = Facts { shared, report: shared.report(), usage: usage(), items, tracking, now };
    let mut text = String::with_capacity(4096);
    for (section, wanted) in SECTIONS.iter().zip(wanted) {
        if *wanted {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            text.push_str("# ");
            text.push_str(section.name);
            text.push_str("\r\n");
            (section.write)(&facts, &mut text);
        }
    }
    text
}

/// Adds fields. Writing to a String cannot fail.
macro_rules! fields {
    ($text:expr, $($name:literal: $value:expr),* $(,)?) => {
        $( let _ = write!($text, concat!($name, ":{}\r\n"), $value); )*
    };
}

fn server(facts: &Facts<'_>, text: &mut String) {
    let Facts { shared, now, .. } = facts;
    let uptime = shared.started.elapsed().as_secs();
    fields!(text,
        "redis_version": REDIS_VERSION,
        "server_name": "crabcache",
        "crabcache_version": env!("CARGO_PKG_VERSION"),
        "redis_build_id": env!("CARGO_PKG_VERSION"),
        "redis_mode": "standalone",
        "os": std::env::consts::OS,
        "arch_bits": usize::BITS,
        "monotonic_clock": "POSIX clock_gettime",
        "multiplexing_api": "epoll",
        "process_id": std::process::id(),
        "run_id": shared.run_id,
        "tcp_port": shared.tcp().map_or(0, |address| address.port()),
        "server_time_usec": now.0.saturating_mul(1000),
        "uptime_in_seconds": uptime,
        "uptime_in_days": uptime / 86_400,
        "executable": std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default(),
        "config_file": "",
        "io_threads_active": u8::from(shared.seats.len() > 1),
        "worker_threads": shared.seats.len(),
        "simd_level": shared.cache.simd_level(),
    );
    for listen in &shared.addresses {
        let at = match &listen.endpoint {
            Endpoint::Tcp(address) => format!("name=tcp,bind={},port={}", address.ip(), address.port()),
            Endpoint::Unix(path) => format!("name=unix,bind={}", path.display()),
        };
        fields!(text, "listener": at);
    }
}

fn clients(facts: &Facts<'_>, text: &mut String) {
    let Facts { shared, report, tracking, .. } = facts;
    fields!(text,
        "connected_clients": report.totals.connections,
        "cluster_connections": 0,
        "maxclients": shared.settings.connections_max(),
        "blocked_clients": 0,
        "tracking_clients": tracking.clients,
        "clients_in_timeout_table": 0,
        "resp_clients_received": report.totals.resp,
        "memcache_clients_received": report.totals.memcache,
        "native_clients_received": report.totals.native,
    );
}

fn memory(facts: &Facts<'_>, text: &mut String) {
    let Facts { report: Report { stats, .. }, usage, .. } = facts;
    let used = stats.used_bytes + stats.index_bytes + stats.limbo_bytes;
    let ratio = if used == 0 { 1.0 } else { usage.resident_bytes as f64 / used as f64 };
    let dataset = if used == 0 { 0.0 } else { stats.used_bytes as f64 * 100.0 / used as f64 };
    fields!(text,
        "used_memory": used,
        "used_memory_human": size::Human(used as usize),
        "used_memory_rss": usage.resident_bytes,
        "used_memory_rss_human": size::Human(usage.resident_bytes as usize),
        "used_memory_peak": usage.resident_bytes_max,
        "used_memory_peak_human": size::Human(usage.resident_bytes_max as usize),
        "used_memory_overhead": stats.index_bytes + stats.limbo_bytes,
        "used_memory_startup": 0,
        "used_memory_dataset": stats.used_bytes,
        "used_memory_dataset_perc": format_args!("{dataset:.2}%"),
        "allocator_allocated": used,
        "allocator_active": stats.region_bytes,
        "allocator_resident": usage.resident_bytes,
        "total_system_memory": usage.system_bytes,
        "total_system_memory_human": size::Human(usage.system_bytes as usize),
        "used_memory_lua": 0,
        "used_memory_scripts": 0,
        "number_of_cached_scripts": scripts::KNOWN,
        "maxmemory": stats.region_bytes,
        "maxmemory_human": size::Human(stats.region_bytes as usize),
        "maxmemory_policy": "allkeys-lfu",
        "allocator_frag_ratio": "1.00",
        "allocator_frag_bytes": 0,
        "allocator_rss_ratio": "1.00",
        "allocator_rss_bytes": 0,
        "mem_fragmentation_ratio": format_args!("{ratio:.2}"),
        "mem_fragmentation_bytes": i128::from(usage.resident_bytes) - i128::from(used),
        "mem_not_counted_for_evict": 0,
        "mem_replication_backlog": 0,
        "mem_clients_slaves": 0,
        "mem_aof_buffer": 0,
        "mem_allocator": "crabcache",
        "active_defrag_running": 0,
        "lazyfree_pending_objects": 0,
        "lazyfreed_objects": 0,
        "index_bytes": stats.index_bytes,
        "index_buckets": stats.buckets,
        "free_bytes": stats.free_bytes,
        "largest_free_block_bytes": stats.largest_free_bytes,
        "limbo_bytes": stats.limbo_bytes,
    );
}

fn persistence(_: &Facts<'_>, text: &mut String) {
    fields!(text,
        "loading": 0,
        "async_loading": 0,
        "rdb_changes_since_last_save": 0,
        "rdb_bgsave_in_progress": 0,
        "rdb_last_save_time": 0,
        "rdb_last_bgsave_status": "ok",
        "rdb_last_bgsave_time_sec": -1,
        "rdb_current_bgsave_time_sec": -1,
        "aof_enabled": 0,
        "aof_rewrite_in_progress": 0,
        "aof_rewrite_scheduled": 0,
        "aof_last_rewrite_time_sec": -1,
        "aof_current_rewrite_time_sec": -1,
        "aof_last_bgrewrite_status": "ok",
        "aof_last_write_status": "ok",
    );
}

fn stats(facts: &Facts<'_>, text: &mut String) {
    let Facts { shared, now, report: Report { stats, totals, codes, .. }, tracking, .. } = facts;
    let rates = shared.rates.at(*now);
    fields!(text,
        "total_connections_received": facts.report.accepted,
        "total_commands_processed": totals.commands,
        "instantaneous_ops_per_sec": rates.commands,
        "total_net_input_bytes": totals.bytes_in,
        "total_net_output_bytes": totals.bytes_out,
        "instantaneous_input_kbps": format_args!("{:.2}", rates.bytes_in as f64 / 1024.0),
        "instantaneous_output_kbps": format_args!("{:.2}", rates.bytes_out as f64 / 1024.0),
        "rejected_connections": facts.report.rejected,
        "sync_full": 0,
        "sync_partial_ok": 0,
        "sync_partial_err": 0,
        "expired_keys": stats.expirations,
        "expired_stale_perc": "0.00",
        "expired_time_cap_reached_count": 0,
        "evicted_keys": stats.evictions,
        "evicted_clients": totals.memory_closes,
        "keyspace_hits": stats.hits,
        "keyspace_misses": stats.misses,
        "pubsub_channels": shared.channels.len(Kind::Channel),
        "pubsub_patterns": shared.channels.len(Kind::Pattern),
        "pubsubshard_channels": shared.channels.len(Kind::Shard),
        "latest_fork_usec": 0,
        "total_forks": 0,
        "migrate_cached_sockets": 0,
        "slave_expires_tracked_keys": 0,
        "tracking_total_keys": tracking.keys,
        "tracking_total_items": tracking.items,
        "tracking_total_prefixes": tracking.prefixes,
        "unexpected_error_replies": 0,
        "total_error_replies": totals.errors.max(codes.values().sum()),
        "client_output_buffer_limit_disconnections": totals.memory_closes,
        "stores": stats.stores,
        "deletes": stats.deletes,
        "stores_refused": totals.no_room,
    );
}

fn replication(facts: &Facts<'_>, text: &mut String) {
    fields!(text,
        "role": "master",
        "connected_slaves": 0,
        "master_failover_state": "no-failover",
        "master_replid": facts.shared.run_id,
        "master_repl_offset": 0,
        "second_repl_offset": -1,
        "repl_backlog_active": 0,
    );
}

fn cpu(facts: &Facts<'_>, text: &mut String) {
    fields!(text,
        "used_cpu_sys": format_args!("{:.6}", facts.usage.system_seconds),
        "used_cpu_user": format_args!("{:.6}", facts.usage.user_seconds),
        "used_cpu_sys_children": "0.000000",
        "used_cpu_user_children": "0.000000",
    );
}

fn modules(_: &Facts<'_>, _: &mut String) {}

/// Durations of what looks at one key are those of its batches (`stats/calls.rs`).
fn commandstats(facts: &Facts<'_>, text: &mut String) {
    for found in table::all() {
        let totals = facts.report.calls.command(found.number);
        if totals.calls + totals.rejected + totals.failed > 0 {
            let mean = if totals.calls > 0 { totals.mean_nanos() as f64 / 1000.0 } else { 0.0 };
            let _ = write!(
                text,
                "cmdstat_{}:calls={},usec={:.0},usec_per_call={mean:.2},rejected_calls={},failed_calls={}\r\n",
                found.command.name,
                totals.calls,
                totals.calls as f64 * mean,
                totals.rejected,
                totals.failed
            );
        }
    }
}

fn errorstats(facts: &Facts<'_>, text: &mut String) {
    for (code, count) in &facts.report.codes {
        let _ = write!(text, "errorstat_{code}:count={count}\r\n");
    }
}

fn latencystats(facts: &Facts<'_>, text: &mut String) {
    let settings = &facts.shared.settings;
    let percentiles = settings.percentiles();
    if !settings.times_requests() || percentiles.is_empty() {
        return;
    }
    for found in table::all() {
        let totals = facts.report.calls.command(found.number);
        if totals.calls > 0 && totals.percentile(100.0).is_some() {
            let shown = percentiles.iter().map(|percent| {
                format!("p{percent}={:.3}", totals.percentile(*percent).unwrap_or(0) as f64 / 1000.0)
            });
            let shown = shown.collect::<Vec<_>>().join(",");
            let _ = write!(text, "latency_percentiles_usec_{}:{shown}\r\n", found.command.name);
        }
    }
}

fn cluster(_: &Facts<'_>, text: &mut String) {
    fields!(text, "cluster_enabled": 0);
}

fn keyspace(facts: &Facts<'_>, text: &mut String) {
    // How many items expire, and when on average, is not kept.
    for database in 0..DATABASES as u8 {
        let items = facts.items[facts.shared.databases.place(database).index()];
        if items > 0 {
            let _ = write!(text, "db{database}:keys={items},expires=0,avg_ttl=0\r\n");
        }
    }
}
