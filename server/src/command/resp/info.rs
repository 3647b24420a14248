//! The texts of INFO and CONFIG GET: what dashboards and tools read. Fields that Redis has and we do not are left out,
//! except where a tool fails without them; then they say what is true here (no persistence, no replicas).

use std::fmt::Write as _;

use crabcache_engine::{Millis, Stats};

use crate::config::size;
use crate::shared::Shared;
use crate::stats::Totals;
use crate::sys::usage::{Usage, usage};

/// The version of Redis whose commands and answers these are; clients choose by it what they dare to send.
pub(super) const REDIS_VERSION: &str = "7.4.0";

/// What the sections are made of.
struct Facts<'a> {
    shared: &'a Shared<'a>,
    stats: Stats,
    totals: Totals,
    usage: Usage,
    now: Millis,
}

type Section = (&'static str, fn(&Facts<'_>, &mut String));

const SECTIONS: [Section; 10] = [
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("CPU", cpu),
    ("Modules", modules),
    ("Cluster", cluster),
    ("Keyspace", keyspace),
];

/// The text of INFO. No sections, or one of the collective names, means all.
pub(super) fn text(shared: &Shared<'_>, now: Millis, sections: &[&[u8]]) -> String {
    let facts = Facts { shared, stats: shared.cache.stats(), totals: shared.totals(), usage: usage(), now };
    let every = sections.is_empty()
        || sections.iter().any(|wanted| {
            ["all", "default", "everything"].iter().any(|all| wanted.eq_ignore_ascii_case(all.as_bytes()))
        });
    let mut text = String::with_capacity(4096);
    for (name, write) in SECTIONS {
        if every || sections.iter().any(|wanted| wanted.eq_ignore_ascii_case(name.as_bytes())) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            text.push_str("# ");
            text.push_str(name);
            text.push_str("\r\n");
            write(&facts, &mut text);
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
    let uptime = facts.shared.started.elapsed().as_secs();
    let port = facts.shared.addresses.iter().find_map(|listen| match &listen.endpoint {
        crate::config::Endpoint::Tcp(address) => Some(address.port()),
        crate::config::Endpoint::Unix(_) => None,
    });
    fields!(text,
        "redis_version": REDIS_VERSION,
        "server_name": "crabcache",
        "crabcache_version": env!("CARGO_PKG_VERSION"),
        "redis_mode": "standalone",
        "os": std::env::consts::OS,
        "arch_bits": usize::BITS,
        "multiplexing_api": "epoll",
        "process_id": std::process::id(),
        "tcp_port": port.unwrap_or(0),
        "uptime_in_seconds": uptime,
        "uptime_in_days": uptime / 86_400,
        "server_time_usec": facts.now.0.saturating_mul(1000),
        "io_threads_active": u8::from(facts.shared.seats.len() > 1),
        "worker_threads": facts.shared.seats.len(),
        "simd_level": facts.shared.cache.simd_level(),
    );
}

fn clients(facts: &Facts<'_>, text: &mut String) {
    fields!(text,
        "connected_clients": facts.totals.connections,
        "maxclients": facts.shared.config.connections_max,
        "blocked_clients": 0,
        "tracking_clients": 0,
        "resp_clients_received": facts.totals.resp,
        "memcache_clients_received": facts.totals.memcache,
        "native_clients_received": facts.totals.native,
    );
}

fn memory(facts: &Facts<'_>, text: &mut String) {
    let Facts { stats, usage, .. } = facts;
    let used = stats.used_bytes + stats.index_bytes + stats.limbo_bytes;
    let ratio = if used == 0 { 1.0 } else { usage.resident_bytes as f64 / used as f64 };
    fields!(text,
        "used_memory": used,
        "used_memory_human": size::Human(used as usize),
        "used_memory_rss": usage.resident_bytes,
        "used_memory_rss_human": size::Human(usage.resident_bytes as usize),
        "used_memory_peak": usage.resident_bytes_max,
        "used_memory_overhead": stats.index_bytes + stats.limbo_bytes,
        "used_memory_dataset": stats.used_bytes,
        "maxmemory": stats.region_bytes,
        "maxmemory_human": size::Human(stats.region_bytes as usize),
        "maxmemory_policy": "allkeys-lru",
        "allocator_active": stats.region_bytes,
        "allocator_allocated": used,
        "allocator_resident": usage.resident_bytes,
        "allocator_frag_ratio": "1.00",
        "mem_fragmentation_ratio": format_args!("{ratio:.2}"),
        "mem_allocator": "crabcache",
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
        "aof_enabled": 0,
        "aof_rewrite_in_progress": 0,
        "aof_last_write_status": "ok",
    );
}

fn stats(facts: &Facts<'_>, text: &mut String) {
    let Facts { stats, totals, shared, .. } = facts;
    let ordering = std::sync::atomic::Ordering::Relaxed;
    fields!(text,
        "total_connections_received": shared.accepted.load(ordering),
        "total_commands_processed": totals.commands,
        "instantaneous_ops_per_sec": totals.commands / shared.started.elapsed().as_secs().max(1),
        "total_net_input_bytes": totals.bytes_in,
        "total_net_output_bytes": totals.bytes_out,
        "rejected_connections": shared.rejected.load(ordering),
        "expired_keys": stats.expirations,
        "evicted_keys": stats.evictions,
        "keyspace_hits": stats.hits,
        "keyspace_misses": stats.misses,
        "total_error_replies": totals.errors,
        "pubsub_channels": 0,
        "latest_fork_usec": 0,
        "client_output_buffer_limit_disconnections": totals.memory_closes,
        "stores": stats.stores,
        "deletes": stats.deletes,
        "stores_refused": totals.no_room,
    );
}

fn replication(_: &Facts<'_>, text: &mut String) {
    fields!(text,
        "role": "master",
        "connected_slaves": 0,
        "master_failover_state": "no-failover",
        "master_repl_offset": 0,
    );
}

fn cpu(facts: &Facts<'_>, text: &mut String) {
    fields!(text,
        "used_cpu_sys": format_args!("{:.6}", facts.usage.system_seconds),
        "used_cpu_user": format_args!("{:.6}", facts.usage.user_seconds),
    );
}

fn modules(_: &Facts<'_>, _: &mut String) {}

fn cluster(_: &Facts<'_>, text: &mut String) {
    fields!(text, "cluster_enabled": 0);
}

fn keyspace(facts: &Facts<'_>, text: &mut String) {
    // How many items expire, and when on average, is not kept.
    if facts.stats.items > 0 {
        fields!(text, "db0": format_args!("keys={},expires=0,avg_ttl=0", facts.stats.items));
    }
}

/// What CONFIG GET knows.
pub(super) fn parameters(shared: &Shared<'_>) -> Vec<(&'static str, String)> {
    let config = &shared.config;
    let port = shared.addresses.iter().find_map(|listen| match &listen.endpoint {
        crate::config::Endpoint::Tcp(address) => Some(address.port()),
        crate::config::Endpoint::Unix(_) => None,
    });
    [
        ("appendonly", "no".to_owned()),
        ("databases", "1".to_owned()),
        ("io-threads", shared.seats.len().to_string()),
        ("maxclients", config.connections_max.to_string()),
        ("maxmemory", config.memory_bytes.to_string()),
        ("maxmemory-policy", "allkeys-lru".to_owned()),
        ("port", port.unwrap_or(0).to_string()),
        ("proto-max-bulk-len", shared.bounds.item_len_max.to_string()),
        ("replica-read-only", "yes".to_owned()),
        ("save", String::new()),
        ("timeout", "0".to_owned()),
    ]
    .into()
}
