//! A request allocates nothing once the connection's buffers have grown: only a value that is handed out is allocated.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use crabcache_client::ReplyRef;
use support::cache::Cache;

thread_local! {
    /// Allocations of this thread: the server runs in others.
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, len) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of a hundred calls, after a few to warm up.
fn allocations(mut call: impl FnMut()) -> usize {
    for _ in 0..10 {
        call();
    }
    let before = COUNT.get();
    for _ in 0..100 {
        call();
    }
    COUNT.get() - before
}

#[test]
fn requests_allocate_nothing() {
    let cache = Cache::start();
    let client = cache.client();
    let (value, mut out) = (vec![b'v'; 10_000], Vec::new());
    assert_eq!(allocations(|| drop(vec![0_u8; 100])), 100, "the counter counts");

    assert_eq!(allocations(|| client.put("key", &value).unwrap()), 0);
    assert_eq!(allocations(|| assert!(client.get_into("key", &mut out).unwrap())), 0);
    assert_eq!(out, value);
    assert_eq!(allocations(|| assert_eq!(client.get("absent").unwrap(), None)), 0);
    assert_eq!(allocations(|| assert!(client.incr("n", 1).unwrap() > 0)), 0);
    assert_eq!(
        allocations(|| drop(client.get("key").unwrap().unwrap())),
        100,
        "the value that is handed out"
    );

    let mut pipeline = client.pipeline();
    let pipelined = allocations(|| {
        for _ in 0..100 {
            pipeline.put("key", &value[..100]).get("key").incr("n", 1).ping();
        }
        let mut hits = 0;
        pipeline
            .execute_with(|_, reply| hits += usize::from(matches!(reply, Ok(ReplyRef::Value(_)))))
            .unwrap();
        assert_eq!(hits, 100);
    });
    assert_eq!(pipelined, 0);
    assert_eq!(client.pool_stats().opened, 1);
}
