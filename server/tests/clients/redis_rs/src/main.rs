//! redis-rs: both protocols, a pipeline, a transaction, a scan, publish and subscribe.

use redis::{Commands, RedisResult};

fn main() -> RedisResult<()> {
    let port = std::env::args().nth(1).expect("a port");
    for protocol in ["", "?protocol=resp3"] {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}/{protocol}"))?;
        let mut connection = client.get_connection()?;
        redis::cmd("FLUSHALL").exec(&mut connection)?;
        let _: () = connection.set_ex("a", 1, 100)?;
        assert_eq!(connection.incr::<_, _, i64>("a", 2)?, 3);
        let (one, two): (i64, Option<String>) = redis::pipe().get("a").get("none").query(&mut connection)?;
        assert_eq!((one, two), (3, None));
        let (sum,): (i64,) = redis::pipe().atomic().incr("a", 1).query(&mut connection)?;
        assert_eq!(sum, 4);
        assert_eq!(connection.scan::<String>()?.collect::<Result<Vec<_>, _>>()?, ["a"]);
        let info: redis::InfoDict = redis::cmd("INFO").query(&mut connection)?;
        assert_eq!(info.get::<String>("role").as_deref(), Some("master"));
    }
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/"))?;
    let (mut publisher, mut subscriber) = (client.get_connection()?, client.get_connection()?);
    let mut subscription = subscriber.as_pubsub();
    subscription.subscribe("news")?;
    assert_eq!(publisher.publish::<_, _, i64>("news", "hello")?, 1);
    assert_eq!(subscription.get_message()?.get_payload::<String>()?, "hello");
    Ok(())
}
