//! Servers that cut, lie, stall and hang up. The client must neither hang nor panic, must give every command exactly
//! one result, and must not put such a connection back.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crabcache_client::{Broken, Client, CommandError, Error, ProtocolError, Reply, Status};
use crabcache_protocol::native::{ParseError, reply};
use support::{Server, read_requests};

const MS: Duration = Duration::from_millis(1);

type Results = Vec<Result<Reply, CommandError>>;

/// A server that waits for `count` requests on each connection, and then sends these bytes and closes.
fn answering(count: usize, bytes: Arc<Mutex<Vec<u8>>>) -> Server {
    Server::script(move |mut stream, _| {
        read_requests(&stream, count);
        let bytes = bytes.lock().unwrap().clone();
        let _ = stream.write_all(&bytes);
    })
}

/// One request, whose opaque number is 0, answered with these bytes.
fn get_answered(bytes: &[u8]) -> (Result<Option<Vec<u8>>, Error>, Client) {
    let server = answering(1, Arc::new(Mutex::new(bytes.to_vec())));
    let client = server.builder().hello(false).build().unwrap();
    (client.get("k"), client)
}

fn send(mut stream: &TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

fn wait_for_the_end(mut stream: &TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn cut_at_every_byte_keeps_the_answers_before() {
    let mut whole = Vec::new();
    let mut ends = Vec::new();
    let mut end = |whole: &Vec<u8>| ends.push(whole.len());
    reply::value(&mut whole, 0, b"world");
    end(&whole);
    reply::status(&mut whole, 1, Status::Ok);
    end(&whole);
    reply::number(&mut whole, 2, -5);
    end(&whole);
    let mget = reply::ListWriter::begin(&mut whole, 3);
    mget.hit(&mut whole, None, b"v");
    mget.without(&mut whole, Status::Miss);
    mget.finish(&mut whole);
    end(&whole);
    reply::status(&mut whole, 4, Status::NotANumber);
    end(&whole);
    let keys: &[&[u8]] = &[b"a", b"b"];
    let expected: Results = vec![
        Ok(Reply::Value(b"world".to_vec())),
        Ok(Reply::Done),
        Ok(Reply::Number(-5)),
        Ok(Reply::Values(vec![Ok(Some(b"v".to_vec())), Ok(None)])),
        Err(CommandError::NotANumber),
    ];

    let bytes = Arc::new(Mutex::new(Vec::new()));
    let server = answering(5, Arc::clone(&bytes));
    for cut in 0..=whole.len() {
        *bytes.lock().unwrap() = whole[..cut].to_vec();
        let client = server.builder().hello(false).build().unwrap();
        let results = client
            .pipeline()
            .get("hello")
            .put("k", "v")
            .incr("n", -5)
            .mget(keys)
            .incr("text", 1)
            .execute()
            .unwrap();
        let complete = ends.iter().filter(|&&end| end <= cut).count();
        assert_eq!(results.len(), 5);
        assert_eq!(results[..complete], expected[..complete], "cut at {cut}");
        for result in &results[complete..] {
            assert_eq!(*result, Err(CommandError::Unanswered(Broken::Closed)), "cut at {cut}");
        }
        let stats = client.pool_stats();
        assert_eq!((stats.idle, stats.broken), (usize::from(complete == 5), u64::from(complete < 5)));
    }
}

#[test]
fn garbage_is_a_protocol_error() {
    let (result, client) = get_answered(b"-ERR unknown command\r\n");
    assert_eq!(result, Err(Error::Protocol(ParseError::Magic { found: b'-' }.into())));
    assert!(!result.unwrap_err().is_retryable());
    assert_eq!((client.pool_stats().idle, client.pool_stats().broken), (0, 1));

    let mut random = 1_u64;
    for len in 1..200 {
        let garbage: Vec<u8> = (0..len)
            .map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (random >> 56) as u8
            })
            .collect();
        let (result, client) = get_answered(&garbage);
        assert!(matches!(result, Err(Error::Protocol(_) | Error::Closed)), "{result:?}");
        assert_eq!(client.pool_stats().idle, 0);
    }
}

#[test]
fn lies_are_protocol_errors() {
    let protocol = |bytes: &[u8]| match get_answered(bytes).0 {
        Err(Error::Protocol(error)) => error,
        other => panic!("{other:?}"),
    };
    let mut out = Vec::new();
    reply::value(&mut out, 7, b"v");
    assert_eq!(protocol(&out), ProtocolError::Opaque { expected: 0, found: 7 });
    let not_stored = reply::head(Status::NotStored, 0, 0);
    assert_eq!(protocol(&not_stored), ProtocolError::Status(Status::NotStored));
    let unknown = [0xC2, 0x77, 0, 0, 0, 0, 0, 0];
    assert_eq!(protocol(&unknown), ParseError::UnknownStatus { found: 0x77 }.into());
    let endless = [0xC2, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF];
    assert_eq!(protocol(&endless), ParseError::BodyTooLong { len: u32::MAX, max: 1 << 30 }.into());

    let body = |bytes: &[u8], mget: bool| {
        let server = answering(1, Arc::new(Mutex::new(bytes.to_vec())));
        let client = server.builder().hello(false).build().unwrap();
        if mget { client.get_many(&["a", "b"]).unwrap_err() } else { client.incr("n", 1).unwrap_err() }
    };
    let mut short = Vec::new();
    reply::value(&mut short, 0, b"1234567");
    assert_eq!(body(&short, false), Error::Protocol(ProtocolError::Body));
    let mut one_entry = Vec::new();
    let mget = reply::ListWriter::begin(&mut one_entry, 0);
    mget.without(&mut one_entry, Status::Miss);
    mget.finish(&mut one_entry);
    assert_eq!(body(&one_entry, true), Error::Protocol(ProtocolError::Body));
    *one_entry.last_mut().unwrap() = 9; // the entry reaches beyond the body
    assert_eq!(body(&one_entry, true), Error::Protocol(ProtocolError::Body));
}

/// A body that never comes, of a declared gigabyte, must not be given memory.
#[test]
fn declared_lengths_are_not_believed() {
    let server = Server::script(|stream, _| {
        read_requests(&stream, 1);
        send(&stream, &reply::head(Status::Ok, 0, 1 << 30));
        wait_for_the_end(&stream);
    });
    let client = server.builder().hello(false).request_timeout(Some(50 * MS)).build().unwrap();
    assert_eq!(client.get("k"), Err(Error::Timeout));
}

#[test]
fn unasked_answers_cost_the_connection_but_not_the_results() {
    let server = Server::script(|stream, _| {
        let opaque = read_requests(&stream, 1)[0];
        let mut out = Vec::new();
        reply::value(&mut out, opaque, b"v");
        reply::value(&mut out, opaque.wrapping_add(1), b"nobody asked");
        send(&stream, &out);
        wait_for_the_end(&stream);
    });
    let client = server.builder().hello(false).build().unwrap();
    assert_eq!(client.get("k").unwrap().unwrap(), b"v");
    assert_eq!(client.get("k").unwrap().unwrap(), b"v", "the extra answer must not be taken for this one's");
    thread::sleep(10 * MS);
    assert_eq!(client.get("k").unwrap().unwrap(), b"v");
    assert_eq!(server.accepted(), 3);
}

#[test]
fn silence_ends_at_the_deadline() {
    let server = Server::script(|stream, _| wait_for_the_end(&stream));
    let client = server.builder().hello(false).request_timeout(Some(300 * MS)).build().unwrap();
    let start = Instant::now();
    let error = client.get("k").unwrap_err();
    let took = start.elapsed();
    assert_eq!(error, Error::Timeout);
    assert!(took >= 295 * MS && took < 2000 * MS, "{took:?}");
    assert!(error.is_retryable() && error.may_have_executed() && !error.keeps_connection());
    assert_eq!(
        (client.pool_stats().idle, client.pool_stats().broken, client.pool_stats().retries),
        (0, 1, 0)
    );

    let start = Instant::now();
    let patient = client.with_timeout(Some(Duration::from_mins(1)));
    assert_eq!(patient.with_timeout(Some(20 * MS)).ping(), Err(Error::Timeout));
    assert!(start.elapsed() < Duration::from_secs(10));
    let connecting = server.builder().connect_timeout(50 * MS).connect();
    assert_eq!(connecting.unwrap_err(), Error::Handshake(Broken::Timeout), "HELLO has a deadline too");
}

/// Sockets are told a shorter time than calls have, so that it need not be set for each of them.
#[test]
fn the_last_part_of_the_time_counts_too() {
    let server = Server::script(|stream, _| {
        for opaque in read_requests(&stream, 1) {
            thread::sleep(4000 * MS);
            send(&stream, &reply::head(Status::Ok, opaque, 0));
        }
    });
    let client = server.builder().hello(false).request_timeout(Some(5000 * MS)).build().unwrap();
    client.ping().unwrap();
}

/// A byte now and then is no progress: the deadline is for the whole answer.
#[test]
fn trickling_answers_end_at_the_deadline() {
    let server = Server::script(|stream, _| {
        let opaque = read_requests(&stream, 1)[0];
        let mut out = Vec::new();
        reply::value(&mut out, opaque, &[b'v'; 1000]);
        for byte in out {
            send(&stream, &[byte]);
            thread::sleep(10 * MS);
        }
    });
    let client = server.builder().hello(false).request_timeout(Some(100 * MS)).build().unwrap();
    let start = Instant::now();
    assert_eq!(client.get("k"), Err(Error::Timeout));
    assert!(start.elapsed() >= 95 * MS && start.elapsed() < 5000 * MS, "{:?}", start.elapsed());
}

/// Each answer of a pipeline begins a new deadline: slow is not dead.
#[test]
fn slow_pipelines_do_not_time_out() {
    let server = Server::script(|stream, _| {
        for opaque in read_requests(&stream, 6) {
            thread::sleep(500 * MS);
            send(&stream, &reply::head(Status::Ok, opaque, 0));
        }
    });
    let client = server.builder().hello(false).request_timeout(Some(2000 * MS)).build().unwrap();
    let mut pipeline = client.pipeline();
    for _ in 0..6 {
        pipeline.ping();
    }
    let results = pipeline.execute().unwrap();
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

/// A server that reads nothing: the commands that never left are told from those that may have been carried out.
#[test]
fn a_server_that_does_not_read_ends_at_the_deadline() {
    let (over, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let server = Server::script(move |stream, _| {
        let _ = wait.lock().unwrap().recv();
        drop(stream);
    });
    let client = server.builder().hello(false).request_timeout(Some(100 * MS)).build().unwrap();
    let value = vec![0; 100_000];
    let mut pipeline = client.pipeline();
    for _ in 0..1000 {
        pipeline.put("k", &value);
    }
    let results = pipeline.execute().unwrap();
    assert_eq!(results.len(), 1000);
    let unanswered = |result: &Result<Reply, _>| *result == Err(CommandError::Unanswered(Broken::Timeout));
    let not_sent = |result: &Result<Reply, _>| *result == Err(CommandError::NotSent(Broken::Timeout));
    let sent = results.iter().take_while(|result| unanswered(result)).count();
    assert!(sent > 0 && sent < 1000);
    assert!(results[sent..].iter().all(not_sent));
    drop(over);
}

#[test]
fn a_closing_status_ends_the_connection() {
    let server = Server::script(|stream, _| {
        let opaques = read_requests(&stream, 3);
        let mut out = Vec::new();
        reply::status(&mut out, opaques[0], Status::Ok);
        reply::refusal(&mut out, opaques[1], Status::ShuttingDown, "bye");
        send(&stream, &out);
    });
    let client = server.builder().hello(false).build().unwrap();
    let results = client.pipeline().ping().get("k").get("k").execute().unwrap();
    let lost = Err(CommandError::Unanswered(Broken::Closed));
    assert_eq!(results, [Ok(Reply::Pong(vec![])), Err(CommandError::ShuttingDown), lost]);
    assert_eq!(client.pool_stats().idle, 0);

    let (result, client) = get_answered(&reply::head(Status::BadRequest, 0, 0));
    assert_eq!(result, Err(Error::Command(CommandError::BadRequest)));
    assert!(!result.unwrap_err().keeps_connection());
    assert_eq!(client.pool_stats().idle, 0);
}

/// A refusal that the server sends without reading the rest of a long pipeline is not lost behind the broken pipe.
#[test]
fn refusals_are_read_although_writing_fails() {
    let server = Server::script(|stream, _| {
        let opaque = read_requests(&stream, 1)[0];
        send(&stream, &reply::head(Status::Busy, opaque, 0));
        // Unread bytes would turn the end into a reset, which can destroy the answer on its way: take some.
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        wait_for_the_end(&stream);
    });
    let client = server.builder().hello(false).build().unwrap();
    let value = vec![0; 10_000];
    let mut pipeline = client.pipeline();
    for _ in 0..5000 {
        pipeline.put("k", &value);
    }
    let results = pipeline.execute().unwrap();
    assert_eq!(results.len(), 5000);
    assert_eq!(results[0], Err(CommandError::Busy));
    assert!(results[1..].iter().all(|result| match result {
        Err(error) => error.is_retryable() && !error.keeps_connection(),
        Ok(_) => false,
    }));
}

#[test]
fn refused_and_foreign_servers_are_found_out_while_connecting() {
    let connect = |bytes: &'static [u8]| {
        let server = Server::script(move |stream, _| {
            read_requests(&stream, 1);
            send(&stream, bytes);
        });
        server.builder().connect().unwrap_err()
    };
    let error = connect(&[0xC2, 0x82, 0, 0, 0, 0, 0, 0]);
    assert_eq!(error, Error::Refused(Status::Busy));
    assert!(error.is_retryable() && !error.may_have_executed());
    assert_eq!(connect(&[0xC2, 0x81, 0, 0, 0, 0, 0, 0]), Error::Refused(Status::UnsupportedVersion));
    assert!(matches!(connect(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Error::NotNative(b'H')));
    let closed = connect(b"");
    assert_eq!(closed, Error::Handshake(Broken::Closed));
    assert!(closed.is_retryable() && !closed.may_have_executed() && !closed.keeps_connection());

    // A full server says so without waiting for HELLO, and closes with HELLO unread.
    let full = Server::script(|stream, _| send(&stream, &reply::head(Status::Busy, 0, 0)));
    for _ in 0..50 {
        assert_eq!(full.builder().connect().unwrap_err(), Error::Refused(Status::Busy));
    }

    let server = Server::script(|stream, _| drop(stream));
    let error = server.builder().connect().unwrap_err();
    let Error::Handshake(broken) = error else { panic!("{error:?}") };
    let gone = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].map(Broken::Io);
    assert!(broken == Broken::Closed || gone.contains(&broken), "{broken:?}");
}

/// A panic in the callback leaves the connection in the middle of an exchange: it must not be lent again.
#[test]
fn a_panic_in_the_callback_costs_the_connection() {
    let server = Server::start();
    let client = server.client();
    client.put("k", "v").unwrap();
    let panicking = client.clone();
    let panicked =
        thread::spawn(move || panicking.pipeline().get("k").ping().execute_with(|_, _| panic!("on purpose")));
    assert!(panicked.join().is_err());
    assert_eq!(client.get("k").unwrap().unwrap(), b"v");
    assert_eq!((server.accepted(), client.pool_stats().broken), (2, 1));
}
