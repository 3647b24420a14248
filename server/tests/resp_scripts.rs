//! Scripts that are known, by their SHA1: locks and counters as libraries use them. That their texts are known, too, is
//! shown by those libraries themselves, in `clients/`.

mod support;

use std::thread;

use support::{Client, config, resp, start, start_with};

/// redis-py: release, reacquire, extend.
const RELEASE: &str = "EVALSHA c3f8721cbb97f72bc19e972846bd7aaf91901658";
const REACQUIRE: &str = "EVALSHA 1CAC51482ACF5858DA00F6D685D68F886CD6B6B2";
const EXTEND: &str = "EVALSHA a4e8783852e6b949f9ef3a97212805108459a890";
/// Laravel: add. django-redis: incr.
const ADD: &str = "EVALSHA a08c9c69b7c07ae2485190873b90d128a23e502d";
const INCR: &str = "EVALSHA f4a7da3e5d8ea3b46642af08427151cae0190400";
/// aiocache: cas.
const CAS: &str = "EVALSHA 782e993d12091daacc7a3164ddf5c4624fe56042";
/// redsync: unlock, extend with `SetNXOnExtend`.
const UNLOCK: &str = "EVALSHA e950836ed1e694540c503ef9972b8de518044d3b";
const EXTEND_OR_LOCK: &str = "EVALSHA b6b55c439e02c6f52ffb8be7ec8c0d0ac816ea79";
/// redlock-rb: lock.
const LOCK: &str = "EVALSHA ceb2b2062e40c51a2b3963fd078bc71f11bdc65c";
/// node-redlock: lock, unlock, extend.
const LOCK_ALL: &str = "EVALSHA e5a322e2634ef59a516e8ea150cb085afafee684";
const UNLOCK_ALL: &str = "EVALSHA 0f0f23b9048b36752b5be114f357ba083449f908";
const EXTEND_ALL: &str = "EVALSHA ce46f80993d5dac20dd066eb301a4e37994bdbed";
/// Those who limit rates: limits, rate-limit-redis, rate-limiter-flexible.
const HIT: &str = "EVALSHA 628bd136a573a06b346879695681af12ccef300f";
const COUNT: &str = "EVALSHA 895b92e1712734e1b464999be23953485475357b";
const LOOK: &str = "EVALSHA 6aeb97ed6086dcdeafdc6fda3999a0d0e38ec96a";
const CONSUME: &str = "EVALSHA a1de965f42e177aa339706bd580f049065eca79a";

/// The milliseconds that a key has left are between these.
fn has_left(client: &mut Client, key: &str, least: i64, most: i64) {
    client.send(format!("PTTL {key}\r\n"));
    let line = client.line();
    let left: i64 = line.trim_start_matches(':').parse().expect("a number");
    assert!((least..=most).contains(&left), "{key}: {left}");
}

#[test]
fn a_lock_is_released_and_extended_by_who_has_it_only() {
    let server = start();
    let mut client = Client::new(&server);
    let mut say = |words: String, answer: &str| client.resp(&words, answer);
    say(format!("{RELEASE} 1 lock mine"), ":0\r\n");
    say("SET lock other PX 60000".into(), "+OK\r\n");
    say(format!("{RELEASE} 1 lock mine"), ":0\r\n");
    say(format!("{REACQUIRE} 1 lock mine 1000"), ":0\r\n");
    say(format!("{EXTEND} 1 lock mine 1000 0"), ":0\r\n");
    say("SET lock mine".into(), "+OK\r\n");
    // What does not expire is not extended.
    say(format!("{EXTEND} 1 lock mine 1000 0"), ":0\r\n");
    say(format!("{REACQUIRE} 1 lock mine 100000"), ":1\r\n");
    say(format!("{EXTEND} 1 lock mine 100000 0"), ":1\r\n");
    has_left(&mut client, "lock", 150_000, 200_000);
    client.resp(&format!("{EXTEND} 1 lock mine 50000 1"), ":1\r\n");
    has_left(&mut client, "lock", 25_000, 50_000);
    let no_number = "-ERR value is not an integer or out of range\r\n";
    client.resp(&format!("{EXTEND} 1 lock mine x 0"), no_number);
    client.resp(&format!("{REACQUIRE} 1 lock mine 1.5"), no_number);
    client.resp(&format!("{RELEASE} 1 lock mine"), ":1\r\n");
    client.resp("EXISTS lock", ":0\r\n");
    let too_few = "-ERR this script takes keys and other arguments: at least 1 and 1\r\n";
    client.resp(&format!("{RELEASE} 0"), too_few);
    client.resp(&format!("{RELEASE} 1 lock"), too_few);
}

#[test]
fn locks_of_other_libraries() {
    let server = start();
    let mut client = Client::new(&server);
    let mut say = |words: String, answer: &str| client.resp(&words, answer);
    say(format!("{UNLOCK} 1 lock a"), ":-1\r\n");
    say(format!("{EXTEND_OR_LOCK} 1 lock a 60000"), ":1\r\n");
    say(format!("{EXTEND_OR_LOCK} 1 lock b 60000"), ":0\r\n");
    say(format!("{UNLOCK} 1 lock b"), ":0\r\n");
    say(format!("{UNLOCK} 1 lock a"), ":1\r\n");
    say(format!("{LOCK} 1 lock a 60000 no"), "$-1\r\n");
    say(format!("{LOCK} 1 lock a 60000 yes"), "+OK\r\n");
    say(format!("{LOCK} 1 lock a 60000 no"), "+OK\r\n");
    say(format!("{LOCK} 1 lock b 60000 yes"), "$-1\r\n");
    say(format!("{LOCK_ALL} 2 one lock a 60000"), ":0\r\n");
    say("EXISTS one".into(), ":0\r\n");
    say(format!("{LOCK_ALL} 2 one two a 60000"), ":2\r\n");
    say(format!("{EXTEND_ALL} 2 one two a 90000"), ":2\r\n");
    say(format!("{EXTEND_ALL} 2 one none a 90000"), ":0\r\n");
    say(format!("{UNLOCK_ALL} 3 one lock none b"), ":0\r\n");
    say(format!("{UNLOCK_ALL} 3 one lock none a"), ":2\r\n");
    has_left(&mut client, "two", 60_001, 90_000);
    client.resp(&format!("{LOCK_ALL} 1 three a 0"), "-ERR invalid expire time in 'set' command\r\n");
    client.resp(&format!("{LOCK_ALL} 0 a 1000"), ":0\r\n");
    // One that cannot be stored, and nothing is left of the others, of which one is named twice.
    let long = "k".repeat(65_536);
    client.resp(
        &format!("{LOCK_ALL} 4 three four three {long} a 60000"),
        "-ERR key is too long: it may have 65535 bytes\r\n",
    );
    client.resp("EXISTS three four", ":0\r\n");
    // Everybody waits for a script.
    let many = |keys| format!("{UNLOCK_ALL} {keys}{} token", " key".repeat(keys));
    client.resp(&many(1024), ":0\r\n");
    client.resp(&many(1025), "-ERR a script takes at most 1024 keys\r\n");
}

#[test]
fn items_are_added_and_counters_counted() {
    let server = start();
    let mut client = Client::new(&server);
    client.resp(&format!("{ADD} 1 item value 60"), "+OK\r\n");
    client.resp(&format!("{ADD} 1 item other 60"), "$-1\r\n");
    client.resp("GET item", "$5\r\nvalue\r\n");
    has_left(&mut client, "item", 30_000, 60_000);
    client.resp(&format!("{CAS} 1 item new other"), ":0\r\n");
    client.resp(&format!("{CAS} 1 item new value EX 600"), "+OK\r\n");
    has_left(&mut client, "item", 300_000, 600_000);
    client.resp(&format!("{CAS} 1 item value new EX x"), "-ERR value is not an integer or out of range\r\n");
    client.resp(&format!("{CAS} 1 item value new NX 1"), "-ERR syntax error\r\n");
    // An empty word.
    client.resp(&format!("{CAS} 1 item value new  x"), "-ERR syntax error\r\n");
    client.resp(&format!("{CAS} 1 item value new"), "+OK\r\n");
    client.resp("TTL item", ":-1\r\n");
    client.resp(&format!("{INCR} 1 n 2"), "$-1\r\n");
    client.resp("SET n 40", "+OK\r\n");
    client.resp(&format!("{INCR} 1 n 2"), ":42\r\n");
    client.resp(&format!("{INCR} 1 item 2"), "-ERR value is not an integer or out of range\r\n");
    client.resp(&format!("{HIT} 1 hits 60 2"), ":2\r\n");
    client.resp(&format!("{HIT} 1 hits 6000 1"), ":3\r\n");
    has_left(&mut client, "hits", 30_000, 60_000);
    client.resp(&format!("{COUNT} 1 window 60000"), "*2\r\n:1\r\n:60000\r\n");
    client.send(format!("{COUNT} 1 window 90000\r\n"));
    client.expect("*2\r\n:2\r\n:");
    assert!(client.line().parse::<i64>().is_ok_and(|left| left <= 60_000));
    client.send(format!("{LOOK} 1 window\r\n"));
    client.expect("*2\r\n$1\r\n2\r\n:");
    assert!(client.line().parse::<i64>().is_ok_and(|left| left <= 60_000));
    client.resp(&format!("{LOOK} 1 none"), "*2\r\n$-1\r\n:-2\r\n");
    client.resp(&format!("{CONSUME} 1 points 3 60"), "*2\r\n:3\r\n:60000\r\n");
    client.resp("PERSIST points", ":1\r\n");
    client.resp(&format!("{CONSUME} 1 points 4 6"), "*2\r\n:7\r\n:6000\r\n");
}

#[test]
fn scripts_run_in_transactions_and_other_databases_and_are_watched() {
    let server = start();
    let (mut client, mut other) = (Client::new(&server), Client::new(&server));
    client.resp("SELECT 3", "+OK\r\n");
    client.resp("SET lock mine", "+OK\r\n");
    other.resp("SET lock mine", "+OK\r\n");
    other.resp("WATCH lock", "+OK\r\n");
    client.check(format!("MULTI\r\n{RELEASE} 1 lock mine\r\nEXEC\r\n"), "+OK\r\n+QUEUED\r\n*1\r\n:1\r\n");
    other.check("MULTI\r\nGET lock\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*1\r\n$4\r\nmine\r\n");
    other.resp("WATCH lock", "+OK\r\n");
    client.check(format!("SELECT 0\r\n{REACQUIRE} 1 lock mine 60000\r\n"), "+OK\r\n:1\r\n");
    other.check("MULTI\r\nGET lock\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*-1\r\n");
    // Whole texts, typed by hand or not, are looked at for their SHA1 only.
    client.check(
        "EVAL \"return 1\" 0\r\n",
        "-ERR scripts are not interpreted here, and this one is none of those that are known\r\n",
    );
    client.resp("SCRIPT EXISTS c3f8721cbb97f72bc19e972846bd7aaf91901658 c3f8", "*2\r\n:1\r\n:0\r\n");
}

/// A lock that somebody else takes between the looks and the removal would be lost. A key named several times is looked at
/// as often, which takes a while.
#[test]
fn nobody_comes_between_the_look_and_the_removal() {
    const ROUNDS: usize = 1000;
    const LOOKS: usize = 100;
    let server = start_with(support::Config { workers: 2, ..config() });
    let words = format!("{UNLOCK_ALL} {LOOKS}{} theirs", " lock".repeat(LOOKS));
    let request = resp(&words.split(' ').map(str::as_bytes).collect::<Vec<_>>());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut thief = Client::new(&server);
                for _ in 0..ROUNDS {
                    thief.send(request.repeat(4));
                    for _ in 0..4 {
                        assert!([":0", ":1"].contains(&thief.line().as_str()));
                    }
                }
            });
        }
        let mut owner = Client::new(&server);
        for _ in 0..ROUNDS {
            owner.resp("SET lock theirs", "+OK\r\n");
            owner.resp("SET lock mine", "+OK\r\n");
            owner.resp("GET lock", "$4\r\nmine\r\n");
        }
    });
}
