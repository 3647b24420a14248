//! `stats`, with the names that memcached's tools read.

use std::fmt::Display;
use std::sync::atomic::Ordering;

use crabcache_engine::Millis;
use crabcache_protocol::memcache::write;

use crate::shared::Shared;
use crate::sys::usage::usage;

/// Writes one section of the statistics.
pub(crate) fn answer(out: &mut Vec<u8>, section: &[u8], shared: &Shared<'_>, now: Millis) {
    match section {
        b"" => general(out, shared, now),
        b"settings" => settings(out, shared),
        b"items" => items(out, shared),
        b"slabs" => slabs(out, shared),
        b"sizes" => stat(out, "sizes_status", "disabled"),
        b"conns" => {}
        b"reset" => {
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
    let stats = shared.cache.stats();
    let totals = shared.totals();
    let usage = usage();
    stat(out, "pid", std::process::id());
    stat(out, "uptime", shared.started.elapsed().as_secs());
    stat(out, "time", now.0 / 1000);
    stat(out, "version", env!("CARGO_PKG_VERSION"));
    stat(out, "pointer_size", usize::BITS);
    stat(out, "rusage_user", format_args!("{:.6}", usage.user_seconds));
    stat(out, "rusage_system", format_args!("{:.6}", usage.system_seconds));
    stat(out, "max_connections", shared.config.connections_max);
    for (name, number) in [
        ("curr_connections", totals.connections),
        ("total_connections", shared.accepted.load(Ordering::Relaxed)),
        ("rejected_connections", shared.rejected.load(Ordering::Relaxed)),
        ("connection_structures", totals.connections),
        ("cmd_get", stats.hits + stats.misses),
        ("cmd_set", stats.stores),
        ("cmd_flush", totals.flushes),
        ("get_hits", stats.hits),
        ("get_misses", stats.misses),
        ("delete_hits", stats.deletes),
        ("bytes_read", totals.bytes_in),
        ("bytes_written", totals.bytes_out),
        ("limit_maxbytes", stats.region_bytes),
        ("accepting_conns", 1),
        ("listen_disabled_num", 0),
        ("conn_yields", 0),
        ("threads", shared.seats.len() as u64),
        ("bytes", stats.used_bytes),
        ("curr_items", stats.items),
        ("total_items", stats.stores),
        ("evictions", stats.evictions),
        ("reclaimed", stats.expirations),
        ("store_no_memory", totals.no_room),
    ] {
        stat(out, name, number);
    }
}

fn settings(out: &mut Vec<u8>, shared: &Shared<'_>) {
    stat(out, "maxbytes", shared.config.memory_bytes);
    stat(out, "maxconns", shared.config.connections_max);
    stat(out, "num_threads", shared.seats.len());
    stat(out, "item_size_max", shared.bounds.item_len_max);
    stat(out, "evictions", "on");
    stat(out, "cas_enabled", "yes");
    stat(out, "flush_enabled", "yes");
    stat(out, "lru_crawler", "no");
}

/// One class holds everything: there are no slabs here.
fn items(out: &mut Vec<u8>, shared: &Shared<'_>) {
    let stats = shared.cache.stats();
    if stats.items > 0 {
        stat(out, "items:1:number", stats.items);
        stat(out, "items:1:evicted", stats.evictions);
        stat(out, "items:1:reclaimed", stats.expirations);
        stat(out, "items:1:outofmemory", shared.totals().no_room);
    }
}

fn slabs(out: &mut Vec<u8>, shared: &Shared<'_>) {
    let stats = shared.cache.stats();
    if stats.items > 0 {
        stat(out, "1:used_chunks", stats.items);
        stat(out, "1:mem_requested", stats.used_bytes);
        stat(out, "1:get_hits", stats.hits);
        stat(out, "1:cmd_set", stats.stores);
    }
    stat(out, "active_slabs", u8::from(stats.items > 0));
    stat(out, "total_malloced", stats.region_bytes);
}
