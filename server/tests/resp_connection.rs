//! What clients and tools say before and beside their real work is answered so that they go on.

mod support;

use support::{Client, config, resp, start, start_with};

#[test]
fn everyday_greetings() {
    let server = start();
    let mut client = Client::new(&server);
    client.resp("PING", "+PONG\r\n");
    client.resp("PING hello", "$5\r\nhello\r\n");
    client.resp("PING a b", "-ERR wrong number of arguments for 'ping' command\r\n");
    client.resp("ECHO hello", "$5\r\nhello\r\n");
    client.resp("SELECT 0", "+OK\r\n");
    client.resp("SELECT 16", "-ERR DB index is out of range\r\n");
    client.resp("SELECT x", "-ERR value is not an integer or out of range\r\n");
    client.resp(
        "AUTH secret",
        "-ERR AUTH <password> called without any password configured for the default user. Are you sure your \
         configuration is correct?\r\n",
    );
    client.resp("AUTH default secret", "+OK\r\n");
    client.resp("CLIENT GETNAME", "$-1\r\n");
    client.resp("CLIENT SETNAME me", "+OK\r\n");
    client.resp("CLIENT GETNAME", "$2\r\nme\r\n");
    client.resp("client setinfo lib-name redis-py", "+OK\r\n");
    client.resp("CLIENT SETINFO LIB-VER 8.1", "+OK\r\n");
    client.resp("CLIENT SETINFO other x", "-ERR Unrecognized option 'other'\r\n");
    client.resp(
        "CLIENT MAINT_NOTIFICATIONS ON",
        "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.\r\n",
    );
    client.send(resp(&[b"CLIENT", b"ID"]));
    assert!(client.line()[1..].parse::<u64>().unwrap() > 0);
    client.send(resp(&[b"CLIENT", b"LIST"]));
    let list = String::from_utf8(client.bulk()).unwrap();
    assert!(list.contains("name=me") && list.contains("lib-name=redis-py"), "{list}");
    client.resp("CLUSTER NODES", "-ERR This instance has cluster support disabled\r\n");
    // On a busy machine one of those may have been slow.
    client.resp("CONFIG SET slowlog-log-slower-than -1", "+OK\r\n");
    client.resp("SLOWLOG RESET", "+OK\r\n");
    client.resp("SLOWLOG LEN", ":0\r\n");
    client.resp("LATENCY LATEST", "*0\r\n");
    client.resp("SUBSCRIBE news", "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    client.resp("RESET", "+RESET\r\n");
    client.resp("CLIENT GETNAME", "$-1\r\n");
}

#[test]
fn hello_chooses_the_version() {
    let server = start();
    let mut client = Client::new(&server);
    client.resp("HELLO 4", "-NOPROTO unsupported protocol version\r\n");
    client.resp("HELLO x", "-ERR Protocol version is not an integer or out of range\r\n");
    client.resp("HELLO 3 NOW", "-ERR Syntax error in HELLO option 'NOW'\r\n");
    client.resp("GET none", "$-1\r\n");
    client.send(resp(&[b"HELLO", b"3", b"SETNAME", b"me"]));
    client.expect("%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.4.0\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n");
    assert!(client.line().starts_with(':'));
    client.expect("$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n");
    client.resp("GET none", "_\r\n");
    client.resp("MGET none", "*1\r\n_\r\n");
    client.resp("CONFIG GET save", "%1\r\n$4\r\nsave\r\n$0\r\n\r\n");
    client.resp("CLIENT GETNAME", "$2\r\nme\r\n");
    client.resp("RESET", "+RESET\r\n");
    client.resp("GET none", "$-1\r\n");
    client.send(resp(&[b"HELLO"]));
    client.expect("*14\r\n");
}

#[test]
fn tools_find_what_they_ask_for() {
    let server = start();
    let mut client = Client::new(&server);
    client.resp("CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
    for wrong in ["abc", "900", "900 abc", "0 1", "900 -1", "900 1 300", "900  1"] {
        client.send(resp(&[b"CONFIG", b"SET", b"save", wrong.as_bytes()]));
        client.expect(
            "-ERR CONFIG SET failed (possibly related to argument 'save') - Invalid save parameters\r\n",
        );
    }
    client.resp("CONFIG GET appendonly", "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n");
    client.resp("CONFIG GET maxmem???", "*2\r\n$9\r\nmaxmemory\r\n$8\r\n16777216\r\n");
    client.resp("CONFIG GET nothing", "*0\r\n");
    client.resp(
        "CONFIG SET maxmemory 1",
        "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - can't set immutable config\r\n",
    );
    client.resp("CONFIG SET slowlog-max-len 1", "+OK\r\n");
    client.resp("CONFIG RESETSTAT", "+OK\r\n");
    client.resp("SET a 1", "+OK\r\n");
    client.resp("GET a", "$1\r\n1\r\n");
    client.resp("GET b", "$-1\r\n");
    client.send(resp(&[b"INFO"]));
    let info = String::from_utf8(client.bulk()).unwrap();
    for field in [
        "redis_version:7.4.0",
        "server_name:crabcache",
        "connected_clients:1",
        "maxmemory:",
        "used_memory:",
        "loading:0",
        "role:master",
        "keyspace_hits:1",
        "keyspace_misses:1",
        "cluster_enabled:0",
        "db0:keys=1,",
    ] {
        assert!(info.contains(&format!("\r\n{field}")), "{field} in {info}");
    }
    client.send(resp(&[b"INFO", b"replication"]));
    let info = String::from_utf8(client.bulk()).unwrap();
    assert!(info.starts_with("# Replication\r\nrole:master\r\n") && !info.contains("redis_version"));
    client.send(resp(&[b"TIME"]));
    assert_eq!(client.line(), "*2");
}

#[test]
fn typed_by_hand() {
    let server = start();
    let mut client = Client::new(&server);
    client.check("PING\r\n", "+PONG\r\n");
    client.check("\r\nSET key \"a b\"\n", "+OK\r\n");
    client.check("GET key\r\nGET key\r\n", "$3\r\na b\r\n$3\r\na b\r\n");
    client.check("SET key \"open\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n");
    assert!(client.rest().is_empty());
}

#[test]
fn quit_is_answered_and_closes() {
    let server = start();
    let mut client = Client::new(&server);
    client.send([resp(&[b"SET", b"a", b"1"]), resp(&[b"QUIT"]), resp(&[b"SET", b"a", b"2"])].concat());
    assert_eq!(client.rest(), b"+OK\r\n+OK\r\n");
    Client::new(&server).resp("GET a", "$1\r\n1\r\n");
}

#[test]
fn pinned_listeners_and_unix_sockets() {
    let path = std::env::temp_dir().join(format!("crabcache-test-{}.sock", std::process::id()));
    let mut settings = config();
    settings.listen = vec![
        "resp://127.0.0.1:0".parse().unwrap(),
        "memcache://127.0.0.1:0".parse().unwrap(),
        format!("unix://{}", path.display()).parse().unwrap(),
    ];
    let running = crabcache_server::Server::start(settings).unwrap();
    let mut redis = Client::to(support::tcp(&running.addresses()[0]));
    // Lower case is memcached's where both are spoken; here it is Redis'.
    redis.check("set k v\r\nget k\r\n", "+OK\r\n$1\r\nv\r\n");
    let mut memcached = Client::to(support::tcp(&running.addresses()[1]));
    memcached.check("get k\r\n", "VALUE k 0 1\r\nv\r\nEND\r\n");
    memcached.check("PING\r\n", "ERROR\r\n");
    let mut local = std::os::unix::net::UnixStream::connect(&path).unwrap();
    std::io::Write::write_all(&mut local, b"get k\r\n").unwrap();
    let mut answer = [0; 21];
    std::io::Read::read_exact(&mut local, &mut answer).unwrap();
    assert_eq!(&answer, b"VALUE k 0 1\r\nv\r\nEND\r\n");
    running.stop();
    running.join().unwrap();
    assert!(!path.exists());
    drop(start_with(config()));
}
