use super::*;
use crate::embed::measure::run;

/// A run small enough for every day.
fn options() -> Options {
    Options {
        items: 300,
        key_len: 11,
        value_len: 32,
        threads: vec![1, 2],
        distributions: vec![Distribution::Zipf(0.99), Distribution::Uniform],
        rounds: 2,
        ops: 100,
        shards: 1,
        pages: Pages::Huge,
        questions: Question::ALL.to_vec(),
        peers: PeerKind::ALL.to_vec(),
    }
}

#[test]
fn each_contender_returns_what_was_put() {
    let options = options();
    let bench = Bench::new(&options);
    let mut regions = bench.regions(1 << 20).unwrap();
    // Caches that consist of shards need room for more, to be sure to lose none.
    let capacity = 4096;
    let (contenders, held) = bench.build(&mut regions, &options.peers, capacity, 300, &mut |_| {}).unwrap();
    assert_eq!((contenders.len(), held.len()), (9, 9));
    let keys = write_keys(bench.keys, (0..300_u32).map(u64::from));
    for contender in &contenders {
        let name = contender.name();
        assert_eq!(contender.items(), 300, "{name}");
        let put = bench.work(Operation::Put, &keys);
        for (number, key) in keys.chunks_exact(bench.keys.len()).enumerate() {
            assert_eq!(contender.value(key).as_deref(), Some(put.value(number)), "{name}, {number}");
        }
        let tally = run(&**contender, &[Work { operation: Operation::Get, ..put }; 2]);
        let sum: u64 = (0..300).map(|number| u64::from(put.value(number)[0])).sum();
        assert_eq!((tally.operations, tally.hits, tally.sum), (600, 600, 2 * sum), "{name}");
        // The same keys, from the second on, get the values of their predecessors.
        let moved = Work { keys: &keys[bench.keys.len()..], ..put };
        assert_eq!(run(&**contender, &[moved]).refused, 0, "{name}");
        assert_eq!(contender.items(), 300, "{name}");
        assert_eq!(contender.value(&moved.keys[..bench.keys.len()]).as_deref(), Some(put.value(0)), "{name}");
        assert_eq!(contender.value(b"never there"), None, "{name}");
    }
}

#[test]
fn full_caches_evict_and_refuse_nothing() {
    let options = Options { items: 3000, ..options() };
    let bench = Bench::new(&options);
    let mut regions = bench.regions(3000 * (bench.item_len() + FULL_OVERHEAD)).unwrap();
    let peers: Vec<_> = options.peers.iter().copied().filter(|peer| peer.evicts()).collect();
    let (contenders, _) = bench.build(&mut regions, &peers, 3000, 0, &mut |_| {}).unwrap();
    assert_eq!(contenders.len(), 6);
    let keys = write_keys(bench.keys, (0..30_000_u32).map(u64::from));
    let half = keys.len() / 2;
    for contender in &contenders {
        let name = contender.name();
        let put = bench.work(Operation::Put, &keys);
        let works = [Work { keys: &keys[..half], ..put }, Work { keys: &keys[half..], ..put }];
        assert_eq!(run(&**contender, &works).refused, 0, "{name}");
        assert!((1000..9000).contains(&contender.items()), "{name}: {}", contender.items());
    }
}

#[test]
fn a_report_has_a_table_for_each_question() {
    let report = measure(&options(), &mut |_| {}).unwrap();
    assert_eq!(report.tables.len(), 2 * 2 * 2 + 2);
    assert_eq!((report.memory.len(), report.full.len()), (9, 6));
    for table in &report.tables {
        for row in &table.rows {
            assert_eq!((row.rounds.len(), row.refused), (2, 0), "{}", row.name);
        }
        assert!(table.rows[..2].iter().all(|row| row.missed == 0), "the engine misses nothing");
    }
    let text = report.to_string();
    assert!(text.contains("get, zipf:0.99, 1 thread "), "{text}");
    assert!(text.contains("new-key, 2 threads "), "{text}");
    assert_eq!(report.to_json()["tables"].as_array().map(Vec::len), Some(10));
}
