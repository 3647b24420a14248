//! What may go to another thread, and what several threads may look at. That a [`Handle`] is not `Sync` shows in
//! `engine/src/contract.rs`, since it takes a program that does not compile.

use crabcache_engine::{ArenaRef, Cache, Handle, Outcome, Reservation, Stats, Value};

fn send<T: Send>() {}
fn sync<T: Sync>() {}
fn copy<T: Copy>() {}

#[test]
fn auto_traits_are_what_the_documents_say() {
    // Threads share a cache.
    send::<Cache<'_>>();
    sync::<Cache<'_>>();
    // A handle may move between threads, but not while it is in use.
    send::<Handle<'_>>();
    // A value is bytes that do not change; as long as somebody looks at it, its handle is borrowed.
    send::<Value<'_>>();
    sync::<Value<'_>>();
    copy::<Value<'_>>();
    send::<Outcome<'_>>();
    sync::<Outcome<'_>>();
    // A reference is four numbers.
    send::<ArenaRef>();
    sync::<ArenaRef>();
    copy::<ArenaRef>();
    // A reservation belongs to no handle: another thread may fill it, and another handle commit it.
    send::<Reservation<'_>>();
    sync::<Reservation<'_>>();
    send::<Stats>();
    sync::<Stats>();
}
