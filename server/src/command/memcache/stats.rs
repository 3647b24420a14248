//! `stats`, with the names that memcached's tools read.

use std::fmt::Display;

use crabcache_engine::{Millis, Stats};
use crabcache_protocol::memcache::write;

use super::MEMCACHED_VERSION;
use crate::shared::Shared;
use crate::stats::memcache;
use crate::stats::report::Report;
use crate::sys::usage::usage;

/// Writes one section of the statistics.
pub(crate) fn answer(out: &mut Vec<u8>, section: &[u8], shared: &Shared<'_>, now: Millis) {
    match section {
        b"" => general(out, shared, now),
        b"settings" => settings(out, shared),
        b"items" => items(out, shared),
        b"slabs" => slabs(out, shared),
        b"sizes" | b"sizes_disable" => stat(out, "sizes_status", "disabled"),
        b"conns" => conns(out, shared, now),
        b"reset" => {
            shared.reset_counters();
            out.extend_from_slice(b"RESET\r\n");
            return;
        }
        _ => {
            out.extend_from_slice(write::ERROR);
            return;
        }
    }
    out.extend_from_slice(write::END);
}

fn stat(out: &mut Vec<u8>, name: &str, value: impl Display) {
    write::stat(out, name, value.to_string().as_bytes());
}

fn general(out: &mut Vec<u8>, shared: &Shared<'_>, now: Millis) {
    let Report { stats, totals, accepted, rejected, memcached, .. } = shared.report();
    let usage = usage();
    stat(out, "pid", std::process::id());
    stat(out, "uptime", shared.started.elapsed().as_secs());
    stat(out, "time", now.0 / 1000);
    stat(out, "version", MEMCACHED_VERSION);
    stat(out, "crabcache_version", env!("CARGO_PKG_VERSION"));
    stat(out, "pointer_size", usize::BITS);
    stat(out, "rusage_user", format_args!("{:.6}", usage.user_seconds));
    stat(out, "rusage_system", format_args!("{:.6}", usage.system_seconds));
    stat(out, "max_connections", shared.settings.connections_max());
    for (name, number) in [
        ("curr_connections", totals.connections),
        ("total_connections", accepted),
        ("rejected_connections", rejected),
        ("connection_structures", totals.connections),
        ("cmd_get", stats.hits + stats.misses),
        ("cmd_set", sets(&stats, &memcached)),
        ("cmd_flush", totals.flushes),
        ("get_hits", stats.hits),
        ("get_misses", stats.misses),
        ("delete_hits", stats.deletes),
    ] {
        stat(out, name, number);
    }
    for (name, number) in memcache::NAMES.into_iter().zip(memcached) {
        stat(out, name, number);
    }
    stat(out, "cmd_touch", sum_of(&memcached, |name| name.starts_with("touch_")));
    for (name, number) in [
        ("bytes_read", totals.bytes_in),
        ("bytes_written", totals.bytes_out),
        ("limit_maxbytes", stats.region_bytes),
        ("accepting_conns", 1),
        ("idle_kicks", totals.timeouts),
        ("listen_disabled_num", 0),
        ("time_in_listen_disabled_us", 0),
        ("conn_yields", 0),
        ("threads", shared.seats.len() as u64),
        ("hash_bytes", stats.index_bytes),
        ("bytes", stats.used_bytes),
        ("curr_items", stats.items),
        ("total_items", stats.stores),
        ("evictions", stats.evictions),
        ("reclaimed", stats.expirations),
        ("store_no_memory", totals.no_room),
        ("moves_within_lru", stats.copies),
    ] {
        stat(out, name, number);
    }
    for name in UNKNOWN {
        stat(out, name, 0);
    }
}

/// The figures whose names are wanted.
fn sum_of(figures: &[u64; memcache::NAMES.len()], wanted: impl Fn(&str) -> bool) -> u64 {
    memcache::NAMES.iter().zip(figures).filter(|(name, _)| wanted(name)).map(|(_, number)| number).sum()
}

/// Requests to store: monitors take those of `cas` off again, and so the ones that stored nothing are counted, too.
fn sets(stats: &Stats, figures: &[u64; memcache::NAMES.len()]) -> u64 {
    stats.stores + sum_of(figures, |name| matches!(name, "cas_misses" | "cas_badval"))
}

/// What monitors ask for and nobody counts here: of what happens inside, there is no such thing, or it is counted elsewhere.
const UNKNOWN: [&str; 11] = [
    "auth_cmds",
    "auth_errors",
    "expired_unfetched",
    "evicted_unfetched",
    "direct_reclaims",
    "crawler_reclaimed",
    "lru_crawler_starts",
    "lru_maintainer_juggles",
    "lrutail_reflocked",
    "moves_to_cold",
    "moves_to_warm",
];

fn settings(out: &mut Vec<u8>, shared: &Shared<'_>) {
    stat(out, "maxbytes", shared.config.memory_bytes);
    stat(out, "maxconns", shared.settings.connections_max());
    let address = shared.tcp();
    stat(out, "tcpport", address.map_or(0, |address| address.port()));
    stat(out, "udpport", 0);
    stat(out, "inter", address.map(|address| address.ip().to_string()).unwrap_or_default());
    stat(out, "verbosity", 0);
    stat(out, "num_threads", shared.seats.len());
    stat(out, "item_size_max", shared.bounds.item_len_max);
    stat(out, "idle_timeout", shared.settings.idle_seconds_max());
    for (name, value) in [
        ("evictions", "on"),
        ("cas_enabled", "yes"),
        ("flush_enabled", "yes"),
        ("binding_protocol", "auto-negotiate"),
        ("auth_enabled_sasl", "no"),
        ("maxconns_fast", "yes"),
        ("slab_reassign", "no"),
        ("slab_automove", "0"),
        ("lru_crawler", "no"),
        ("lru_maintainer_thread", "no"),
        ("track_sizes", "no"),
        ("watch_enabled", "no"),
    ] {
        stat(out, name, value);
    }
    stat(out, "shutdown_command", if shared.config.shutdown_command { "yes" } else { "no" });
}

/// One class holds everything: there are no slabs here.
fn items(out: &mut Vec<u8>, shared: &Shared<'_>) {
    let Report { stats, totals, .. } = shared.report();
    if stats.items == 0 {
        return;
    }
    for (name, number) in [
        ("number", stats.items),
        ("mem_requested", stats.used_bytes),
        ("evicted", stats.evictions),
        ("reclaimed", stats.expirations),
        ("outofmemory", totals.no_room),
        ("age", 0),
        ("evicted_nonzero", 0),
        ("evicted_time", 0),
        ("evicted_unfetched", 0),
        ("expired_unfetched", 0),
        ("tailrepairs", 0),
        ("crawler_reclaimed", 0),
        ("lrutail_reflocked", 0),
    ] {
        stat(out, &format!("items:1:{name}"), number);
    }
}

fn slabs(out: &mut Vec<u8>, shared: &Shared<'_>) {
    let Report { stats, memcached, .. } = shared.report();
    let active = stats.items > 0;
    if active {
        for (name, number) in [
            ("chunk_size", stats.used_bytes / stats.items),
            ("chunks_per_page", 0),
            ("total_pages", 1),
            ("total_chunks", stats.items),
            ("used_chunks", stats.items),
            ("free_chunks", 0),
            ("free_chunks_end", 0),
            ("mem_requested", stats.used_bytes),
            ("get_hits", stats.hits),
            ("cmd_set", sets(&stats, &memcached)),
            ("delete_hits", stats.deletes),
        ] {
            stat(out, &format!("1:{name}"), number);
        }
        for (name, number) in memcache::NAMES.into_iter().zip(memcached) {
            if name.ends_with("_hits") || name == "cas_badval" {
                stat(out, &format!("1:{name}"), number);
            }
        }
    }
    stat(out, "active_slabs", u8::from(active));
    stat(out, "total_malloced", stats.region_bytes);
}

/// Each client by its number.
fn conns(out: &mut Vec<u8>, shared: &Shared<'_>, now: Millis) {
    for client in shared.clients.all() {
        let id = client.id;
        stat(out, &format!("{id}:addr"), format_args!("tcp:{}", client.peer));
        stat(out, &format!("{id}:state"), "conn_read");
        stat(out, &format!("{id}:secs_since_connected"), now.0.saturating_sub(client.since_ms) / 1000);
    }
}
