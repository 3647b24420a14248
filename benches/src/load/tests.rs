//! The load generator against servers of a few lines, in threads of this process.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use super::*;
use crate::load::sizes::Sizes;

/// Serves each client with `serve`, in a thread of its own.
fn listen(serve: fn(TcpStream)) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap().to_string());
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            client.set_nodelay(true).unwrap();
            thread::spawn(move || serve(client));
        }
    });
    address
}

/// A memcached of one thread and one map per client, which sends its answers in pieces of three bytes if `pieces`.
fn memcached(mut client: TcpStream, pieces: bool, spoil: bool) {
    let mut store = std::collections::HashMap::<String, Vec<u8>>::new();
    let (mut input, mut chunk) = (Vec::new(), [0; 5000]);
    loop {
        let Some(end) = input.windows(2).position(|two| two == b"\r\n") else {
            match client.read(&mut chunk) {
                Ok(0) | Err(_) => return,
                Ok(len) => input.extend_from_slice(&chunk[..len]),
            }
            continue;
        };
        let line = String::from_utf8(input[..end].to_vec()).unwrap();
        let words: Vec<_> = line.split(' ').collect();
        let mut consumed = end + 2;
        let answer = match words[..] {
            ["get", key] => match store.get(key) {
                Some(value) => [b"VALUE k 0 ", value_head(value).as_bytes(), value, b"\r\nEND\r\n"].concat(),
                None => b"END\r\n".to_vec(),
            },
            ["set", key, "0", "0", len] => {
                let len: usize = len.parse().unwrap();
                consumed += len + 2;
                if input.len() < consumed {
                    let mut rest = vec![0; consumed - input.len()];
                    client.read_exact(&mut rest).unwrap();
                    input.extend_from_slice(&rest);
                }
                let mut value: Vec<u8> = input[end + 2..consumed - 2].to_vec();
                if spoil && let Some(last) = value.last_mut() {
                    *last ^= 1;
                }
                store.insert(key.to_owned(), value);
                b"STORED\r\n".to_vec()
            }
            _ => b"ERROR\r\n".to_vec(),
        };
        input.drain(..consumed);
        let sent =
            answer.chunks(if pieces { 3 } else { usize::MAX }).try_for_each(|piece| client.write_all(piece));
        if sent.is_err() {
            return;
        }
    }
}

fn value_head(value: &[u8]) -> String {
    format!("{}\r\n", value.len())
}

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn options(address: Address) -> Options {
    let sizes = |text: &str| text.parse::<Sizes>().unwrap();
    Options {
        address,
        protocol: Protocol::Memcache,
        connections: 1,
        depth: 7,
        threads: 1,
        items: Items::new(300, sizes("8-30"), sizes("0-50:9,3000:1")).unwrap(),
        distribution: Distribution::Zipf(0.99),
        mix: Mix::Ratio { sets: 1, gets: 4 },
        stop: Stop::Requests(5000),
        rate: None,
        warm_up: Duration::ZERO,
        preload: true,
        verify: true,
        pid: None,
    }
}

#[test]
fn every_value_is_checked_however_it_arrives() {
    for serve in
        [|client| memcached(client, false, false), |client| memcached(client, true, false)] as [fn(_); 2]
    {
        let report = run(&options(listen(serve)), &mut go_on).unwrap();
        let tally = &report.tally;
        assert_eq!((tally.requests, tally.wrong, tally.errors, tally.misses), (5000, 0, 0, 0));
        assert_eq!(tally.hits + tally.done, 5000);
        assert!((3800..4200).contains(&tally.hits), "{}", tally.hits);
        assert_eq!(tally.latency.len(), 5000);
        assert!(!report.is_bad());
        let text = report.to_string();
        assert!(text.contains("verified ") && !text.contains("WRONG"), "{text}");
    }
}

#[test]
fn each_phase_is_told_of() {
    let options = Options {
        warm_up: Duration::from_millis(1),
        ..options(listen(|client| memcached(client, false, false)))
    };
    let mut phases = Vec::new();
    run(&options, &mut |progress| {
        phases.push(progress.phase);
        ControlFlow::Continue(())
    })
    .unwrap();
    phases.dedup();
    assert_eq!(phases, ["storing the items", "preparing requests", "warming up", "measuring"]);
}

#[test]
fn a_spoilt_byte_is_found() {
    let report = run(&options(listen(|client| memcached(client, false, true))), &mut go_on).unwrap();
    // Values of no bytes cannot be spoilt.
    assert!(report.tally.wrong > report.tally.hits * 9 / 10 && report.is_bad());
    assert_eq!(report.to_json()["wrong"], report.tally.wrong);
    let blind = Options { verify: false, ..options(listen(|client| memcached(client, false, true))) };
    assert_eq!(run(&blind, &mut go_on).unwrap().tally.wrong, 0);
}

#[test]
fn threads_and_connections_share_the_work() {
    let address = listen(|mut client| {
        let mut chunk = [0; 4096];
        let mut waiting = 0;
        while let Ok(len @ 1..) = client.read(&mut chunk) {
            waiting += len;
            let pings = waiting / 14;
            waiting %= 14;
            client.write_all(&b"+PONG\r\n".repeat(pings)).unwrap();
        }
    });
    let all = Options {
        protocol: Protocol::Resp,
        mix: Mix::Ping,
        preload: false,
        connections: 7,
        threads: 3,
        stop: Stop::Requests(10_001),
        ..options(address)
    };
    let report = run(&all, &mut go_on).unwrap();
    assert_eq!((report.tally.requests, report.tally.done, report.tally.threads), (10_001, 10_001, 3));
    assert_eq!((report.tally.bytes_out, report.tally.bytes_in), (10_001 * 14, 10_001 * 7));
}

#[test]
fn who_breaks_off_has_a_report_of_what_was_measured() {
    let endless = |rate| Options {
        stop: Stop::After(Duration::from_mins(10)),
        rate,
        ..options(listen(|client| memcached(client, false, false)))
    };
    for rate in [None, Some(2000.0)] {
        let report = run(&endless(rate), &mut |progress| match progress.phase {
            "measuring" if progress.done > 100 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        let tally = report.unwrap().tally;
        assert!(tally.requests > 100 && tally.wrong == 0 && tally.elapsed < Duration::from_mins(1));
    }
    let early = run(&endless(None), &mut |_| ControlFlow::Break(()));
    assert!(matches!(early, Err(LoadError::Ended)));
}

/// What is measured are other requests than those that warmed up.
#[test]
fn a_measurement_goes_on_where_the_warm_up_ended() {
    static KEYS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let serve = |mut client: TcpStream| {
        let (mut received, mut chunk) = (Vec::new(), [0; 4096]);
        while let Ok(len @ 1..) = client.read(&mut chunk) {
            received.extend_from_slice(&chunk[..len]);
            // One request at a time, of a value without bytes.
            if received.ends_with(b"\r\n\r\n") {
                let line = String::from_utf8(std::mem::take(&mut received)).unwrap();
                KEYS.lock().unwrap().push(line.split(' ').nth(1).unwrap().to_owned());
                client.write_all(b"STORED\r\n").unwrap();
            }
        }
    };
    let sizes = |text: &str| text.parse::<Sizes>().unwrap();
    let sets = Options {
        depth: 1,
        items: Items::new(1_000_000, sizes("11"), sizes("0")).unwrap(),
        distribution: Distribution::Uniform,
        mix: Mix::Ratio { sets: 1, gets: 0 },
        stop: Stop::Requests(50),
        warm_up: Duration::from_millis(50),
        preload: false,
        ..options(listen(serve))
    };
    let report = run(&sets, &mut go_on).unwrap();
    let keys = KEYS.lock().unwrap();
    assert!(report.tally.requests == 50 && keys.len() > 50 && !report.repeated);
    let (warm, measured) = keys.split_at(keys.len() - 50);
    let again = measured.iter().filter(|key| warm.contains(key)).count();
    assert!(again < 25, "{again} of 50 had been asked for");
}

#[test]
fn a_process_that_is_not_there_is_told_at_once() {
    // Beyond the largest number that Linux gives out.
    let nobody = Options { pid: Some(u32::MAX), ..options(listen(drop)) };
    assert!(matches!(run(&nobody, &mut go_on), Err(LoadError::NoProcess(u32::MAX))));
}

#[test]
fn a_server_that_stalls_shows_in_an_open_loop_only() {
    // It answers at once, but for the first request, which takes 100 ms.
    let serve = |mut client: TcpStream| {
        let mut chunk = [0; 4096];
        let mut stall = true;
        while let Ok(len @ 1..) = client.read(&mut chunk) {
            if std::mem::take(&mut stall) {
                thread::sleep(Duration::from_millis(100));
            }
            client.write_all(&b"+PONG\r\n".repeat(len / 14)).unwrap();
        }
    };
    let base = Options {
        protocol: Protocol::Resp,
        mix: Mix::Ping,
        preload: false,
        verify: false,
        depth: 1,
        stop: Stop::Requests(200),
        ..options(listen(serve))
    };
    // One request each millisecond: half of them are due while the server stalls, and wait for what is left of that.
    let open = run(&Options { rate: Some(1000.0), ..base.clone() }, &mut go_on).unwrap().tally;
    let waited = open.latency.count_between(10_000_000, u64::MAX);
    assert!(waited >= 80, "{waited}");
    assert!(open.elapsed >= Duration::from_millis(199));
    let closed = run(&base, &mut go_on).unwrap().tally;
    assert!(closed.latency_us(1.0) > 99_000.0);
    // One of 200 requests has seen it; the others were not sent meanwhile.
    let waited = closed.latency.count_between(99_000_000, u64::MAX);
    assert!((1..20).contains(&waited), "{waited}");
}

#[test]
fn failures_are_told() {
    let gone = run(&options(listen(drop)), &mut go_on).unwrap_err();
    assert!(matches!(gone, LoadError::Closed { .. } | LoadError::Io(_)), "{gone}");
    let web = listen(|mut client| {
        let _ = client.read(&mut [0; 100]);
        let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        thread::sleep(Duration::from_secs(1));
    });
    let text = run(&options(web), &mut go_on).unwrap_err().to_string();
    assert!(text.ends_with("no reply of this protocol: HTTP/1.1 400 Bad Request"), "{text}");
    let unasked = listen(|mut client| {
        let _ = client.read(&mut [0; 4096]);
        let _ = client.write_all(&b"+PONG\r\n".repeat(5000));
        thread::sleep(Duration::from_secs(1));
    });
    let one = Options {
        protocol: Protocol::Resp,
        mix: Mix::Ping,
        preload: false,
        stop: Stop::Requests(3),
        ..options(unasked)
    };
    assert!(matches!(run(&one, &mut go_on).unwrap_err(), LoadError::Unasked));
}

#[test]
fn what_a_server_said_before_it_hung_up_is_told() {
    // It does not read, so that writing to it fails sooner or later.
    let full = listen(|mut client| {
        let _ = client.write_all(b"-ERR max number of clients reached\r\n");
    });
    let base = Options { protocol: Protocol::Resp, mix: Mix::Ping, preload: false, ..options(full) };
    let open = Options { rate: Some(5.0), ..base.clone() };
    for options in [base, open] {
        let error = run(&options, &mut go_on).unwrap_err();
        assert!(
            matches!(&error, LoadError::Refused(text) if text.contains("max number of clients")),
            "{error}"
        );
    }
}

#[test]
fn reports_tell_of_requests_that_waited_at_the_end_or_went_out_again() {
    let mut report = run(&options(listen(|client| memcached(client, false, false))), &mut go_on).unwrap();
    for (unsent, expected) in
        [(0, ""), (22, " 22 were still waiting at the end\n"), (500, "NOT SENT         500 ")]
    {
        report.tally.unsent = unsent;
        let text = report.to_string();
        assert!(text.contains(expected), "{text}");
        assert_eq!(text.contains("NOT SENT"), unsent == 500, "{text}");
    }
    report.repeated = true;
    report.options.stop = Stop::After(Duration::from_secs(1));
    let text = report.to_string();
    assert!(text.contains("so they were sent again from the first\n"), "{text}");
}
