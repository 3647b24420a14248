//! memcached's meta commands, with the answers that memcached 1.6.18 gives; where ours differ, the test says so.

mod support;

use std::thread::sleep;
use std::time::Duration;

use support::{Client, start};

#[test]
fn reads_answer_what_the_flags_ask_for_in_their_order() {
    let server = start();
    let mut client = Client::new(&server);
    client.check("set a 7 0 1\r\nx\r\nmg a\r\n", "STORED\r\nHD\r\n");
    client.check("mg a v t f k s h l O123 q\r\n", "VA 1 t-1 f7 ka s1 h1 l0 O123\r\nx\r\n");
    client.check("mg a O1 L P k\r\nmn\r\n", "HD O1 ka\r\nMN\r\n");
    client.check("mg none k s O1\r\nmg none q k\r\nmn\r\n", "EN knone O1\r\nMN\r\n");
    client.check("mg  a  v \r\n", "VA 1\r\nx\r\n");
    client.check("ms a 1 T90\r\ny\r\nmg a t T30 v\r\nmg a t\r\n", "HD\r\nVA 1 t90\r\ny\r\nHD t30\r\n");
}

#[test]
fn stores_in_every_mode() {
    let server = start();
    let mut client = Client::new(&server);
    client.check("ms q 1 ME\r\n1\r\nms q 1 ME k\r\n1\r\n", "HD\r\nNS kq\r\n");
    client.check("ms q 1 MA\r\n2\r\nms q 1 MP s\r\n0\r\nms none 1 MA\r\n1\r\n", "HD\r\nHD s3\r\nNS\r\n");
    client.check("ms none 1 MR O1\r\n1\r\nms q 1 C5\r\n1\r\nms none 1 C5\r\n1\r\n", "NS O1\r\nEX\r\nNF\r\n");
    client.check("ms q 2 MS F9 q\r\nab\r\nmg q f v\r\n", "VA 2 f9\r\nab\r\n");
    client.check("ms new 2 MA N30\r\nab\r\nmg new t v\r\n", "HD\r\nVA 2 t30\r\nab\r\n");
    client.check("ms a 2\r\nabcd\r\nmn\r\n", "CLIENT_ERROR bad data chunk\r\nERROR\r\nMN\r\n");
    client.check("ms a 2 MX\r\nab\r\nmn\r\n", "CLIENT_ERROR invalid mode for ms M token\r\nMN\r\n");
}

#[test]
fn keys_of_any_bytes_are_sent_in_base64() {
    let server = start();
    let mut client = Client::new(&server);
    client.check("ms AP8K 2 b k\r\nzz\r\nmg AP8K b k v\r\n", "HD kAP8K b\r\nVA 2 kAP8K b\r\nzz\r\n");
    client.check("ms YQ== 2 b\r\nzz\r\nmg a v\r\n", "HD\r\nVA 2\r\nzz\r\n");
    client.check("mg YQ= b\r\n", "CLIENT_ERROR error decoding key\r\n");
    client.check("ma Yg== b N0 J4 v\r\nget b\r\n", "VA 1\r\n4\r\nVALUE b 0 1\r\n4\r\nEND\r\n");
    client.check("md YQ== b k\r\nmg a\r\n", "HD kYQ== b\r\nEN\r\n");
}

#[test]
fn versions_that_were_told_are_the_items() {
    let server = start();
    let mut client = Client::new(&server);
    client.send("ms a 1 c\r\nx\r\n");
    let cas = client.line().strip_prefix("HD c").expect("a cas unique").to_owned();
    client.check("mg a c\r\n", format!("HD c{cas}\r\n"));
    client.check(format!("mg a v C{cas}\r\nmg a v C1{cas}\r\n"), "HD\r\nVA 1\r\nx\r\n");
    client.check(format!("md a C1{cas}\r\nms a 1 C{cas}\r\ny\r\n"), "EX\r\nHD\r\n");
    client.check(format!("ms a 1 C{cas} c\r\nz\r\nmg a v\r\n"), "EX c0\r\nVA 1\r\ny\r\n");
    // The client's own version, of later versions than 1.6.18.
    client.check("ms a 1 E100 c\r\nz\r\nmg a c\r\nms a 1 C100\r\nw\r\n", "HD c100\r\nHD c100\r\nHD\r\n");
    client.check(
        "ma n N0 J3 E7\r\nmg n c\r\nma n C8\r\nma n C7 v E9 c\r\n",
        "HD\r\nHD c7\r\nEX\r\nVA 1 c9\r\n4\r\n",
    );
}

#[test]
fn counters() {
    let server = start();
    let mut client = Client::new(&server);
    client.check("ma n\r\nma n q\r\nma n N0 J5 v\r\n", "NF\r\nNF\r\nVA 1\r\n5\r\n");
    // That it is new is told in any case.
    client.check("ma new q N0 v O1\r\nma new q N0 v\r\nmg new v\r\n", "VA 1 O1\r\n0\r\nVA 1\r\n1\r\n");
    client.check("ma n v t D3 k O7\r\nma n MD D100 v\r\n", "VA 1 t-1 kn O7\r\n8\r\nVA 1\r\n0\r\n");
    client.check(
        "ma n q\r\nma n M- v\r\nma n M+ D18446744073709551615 v\r\n",
        "VA 1\r\n0\r\nVA 20\r\n18446744073709551615\r\n",
    );
    client.check("ma n D2 v T30 t\r\nma n\r\nmg n t\r\n", "VA 1 t30\r\n1\r\nHD\r\nHD t30\r\n");
    // To `ma` 0 is no version.
    client.check("ma n C0\r\nma n C1\r\nmd n C0\r\n", "HD\r\nEX\r\nEX\r\n");
    client.check("ma m N60 T30 t\r\nma l T30 N60 t\r\n", "HD t30\r\nHD t60\r\n");
    // What is read as a number does not depend on whether it can be one operation.
    client.check("ms a 4\r\n +04\r\nma a v\r\n", "HD\r\nVA 1\r\n5\r\n");
    client.check("ms a 4\r\n +04\r\nma a v MD t\r\n", "HD\r\nVA 1 t-1\r\n3\r\n");
    client.check("ms a 1\r\nx\r\nma a\r\nma a t\r\n", ["HD\r\n", NON_NUMERIC, NON_NUMERIC].concat());
    client.check(
        "ma n Mx\r\nma n Dx\r\n",
        "CLIENT_ERROR invalid mode for ma M token\r\nCLIENT_ERROR invalid or duplicate flag\r\n",
    );
}

const NON_NUMERIC: &str = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";

#[test]
fn one_of_those_who_miss_wins() {
    let server = start();
    let (mut winner, mut other) = (Client::new(&server), Client::new(&server));
    winner.send("mg k N30 v t c\r\n");
    let line = winner.line();
    winner.expect("\r\n");
    let cas = line.strip_prefix("VA 0 t30 c").and_then(|rest| rest.strip_suffix(" W")).expect("it wins");
    other.check("mg k N30 v t\r\nmg k v\r\n", "VA 0 t30 Z\r\n\r\nVA 0 Z\r\n\r\n");
    // memcached gives out the empty value, and does not let add store; here there is nothing yet.
    other.check("get k\r\n", "END\r\n");
    winner.check(format!("ms k 1 C{cas}\r\nv\r\n"), "HD\r\n");
    other.check("mg k N30 v\r\n", "VA 1\r\nv\r\n");
}

#[test]
fn who_deletes_ends_a_lease() {
    let server = start();
    let mut client = Client::new(&server);
    client.send("mg k N30 c\r\n");
    let line = client.line();
    let cas = line.strip_prefix("HD c").and_then(|rest| rest.strip_suffix(" W")).expect("it wins").to_owned();
    client.check("delete k\r\n", "NOT_FOUND\r\n");
    client.check(format!("ms k 3 C{cas}\r\nold\r\nmg k N1\r\n"), "NF\r\nHD W\r\n");
    sleep(Duration::from_millis(1200));
    client.check("mg k N30\r\n", "HD W\r\n");
}

#[test]
fn a_stale_value_serves_until_the_winner_has_stored() {
    let server = start();
    let mut client = Client::new(&server);
    client.check("ms a 1 F3\r\nx\r\nmd a I T30 O2 k\r\n", "HD\r\nHD O2 ka\r\n");
    client.check(
        "mg a v f t\r\nmg a v t\r\nget a\r\n",
        "VA 1 f3 t30 X W\r\nx\r\nVA 1 t30 Z X\r\nx\r\nVALUE a 3 1\r\nx\r\nEND\r\n",
    );
    client.check("md a I q\r\nmg a\r\n", "HD X W\r\n");
    client.check("ms a 1\r\ny\r\nmg a v\r\nmd none I\r\n", "HD\r\nVA 1\r\ny\r\nNF\r\n");
}

#[test]
fn what_was_invalidated_while_it_was_computed_is_stored_as_stale() {
    let server = start();
    let mut client = Client::new(&server);
    client.check("ms a 1\r\nx\r\nmd a I\r\n", "HD\r\nHD\r\n");
    client.send("mg a c\r\n");
    let line = client.line();
    let cas =
        line.strip_prefix("HD c").and_then(|rest| rest.strip_suffix(" X W")).expect("it wins").to_owned();
    client.check("md a I\r\nmg a\r\n", "HD\r\nHD X W\r\n");
    client.check(format!("ms a 1 C{cas}\r\ny\r\nms a 1 C{cas} I\r\ny\r\n"), "EX\r\nHD\r\n");
    client.check("mg a v\r\n", "VA 1 Z X\r\ny\r\n");
}

#[test]
fn one_renews_what_expires_soon() {
    let server = start();
    let mut client = Client::new(&server);
    client.check(
        "ms a 1 T10\r\nx\r\nmg a R5 t\r\nmg a R30 t\r\nmg a R30\r\n",
        "HD\r\nHD t10\r\nHD t10 W\r\nHD Z\r\n",
    );
    client.check(
        "ms a 1 T10\r\nx\r\nmg a R30 T100\r\nms a 1 T10\r\nx\r\nmg a T100 R30\r\n",
        "HD\r\nHD W\r\nHD\r\nHD\r\n",
    );
}

#[test]
fn a_value_that_is_too_large_leaves_no_old_one() {
    let server = start();
    let mut client = Client::new(&server);
    for (key, flags) in [("a", ""), ("YQ==", " b")] {
        client.check("ms a 1\r\nx\r\n", "HD\r\n");
        client.send(format!("ms {key} 20000000{flags}\r\n"));
        client.expect("SERVER_ERROR object too large for cache\r\n");
        client.check([&vec![b'v'; 20_000_000][..], b"\r\nmg a v\r\n"].concat(), "EN\r\n");
    }
}

#[test]
fn nothing_may_be_left_of_a_value() {
    let server = start();
    let mut client = Client::new(&server);
    client.check("ms a 1 F3 E5\r\nx\r\nmd a x\r\nmg a v f c\r\n", "HD\r\nHD\r\nVA 0 f0 c5\r\n\r\n");
    client.check("ms a 1\r\nx\r\nmd a x I T30\r\nmg a v t\r\n", "HD\r\nHD\r\nVA 0 t30 X W\r\n\r\n");
}

#[test]
fn me_tells_what_is_known() {
    let server = start();
    let mut client = Client::new(&server);
    client.check("me\r\nme none\r\n", "CLIENT_ERROR bad command line format\r\nEN\r\n");
    client.check("ms a 1 T30 E9\r\nx\r\nme a\r\n", "HD\r\nME a exp=30 la=0 cas=9 fetch=no cls=1 size=40\r\n");
    client.check("me YQ== b\r\n", "ME YQ== exp=30 la=0 cas=9 fetch=no cls=1 size=40\r\n");
}
