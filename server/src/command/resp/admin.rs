//! Commands about the server: what it is, and what of Redis it is not.

use crabcache_protocol::resp::{Args, write};

use super::{info, is, two};
use crate::clock;
use crate::connection::Connection;
use crate::reactor::batch::Pass;

/// `TIME`
pub(super) fn time<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let micros = clock::micros();
    let out = pass.direct();
    write::array(out, 2);
    write::bulk(out, (micros / 1_000_000).to_string().as_bytes());
    write::bulk(out, (micros % 1_000_000).to_string().as_bytes());
}

/// `ROLE`: a master without replicas, since nothing is replicated.
pub(super) fn role<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let out = pass.direct();
    write::array(out, 3);
    write::bulk(out, b"master");
    write::integer(out, 0);
    write::array(out, 0);
}

/// `REPLICAOF host port`
pub(super) fn replicaof<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (host, port) = two(&args);
    if is(host, "NO") && is(port, "ONE") {
        pass.direct().extend_from_slice(write::OK);
    } else {
        pass.error("ERR this server does not replicate");
    }
}

/// `SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]`: nothing is ever saved, so that these differ in nothing. Answers of
/// other clients are sent before the end, as with SIGTERM.
pub(super) fn shutdown<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let has = |word| args.iter().skip(1).any(|option| is(option, word));
    let known = ["NOSAVE", "SAVE", "NOW", "FORCE", "ABORT"];
    let all_known = args.iter().skip(1).all(|option| known.iter().any(|word| is(option, word)));
    if !all_known || (has("SAVE") && has("NOSAVE")) || (has("ABORT") && args.len() > 2) {
        return pass.syntax_error();
    }
    if has("ABORT") {
        return pass.error("ERR No shutdown in progress.");
    }
    let shared = pass.shared();
    if !shared.config.shutdown_command {
        return pass.error("ERR SHUTDOWN is not allowed here; start the server with --allow-shutdown");
    }
    // What was asked before is answered; this is not.
    pass.run();
    shared.control.request();
    connection.close();
}

/// `DEBUG`
pub(super) fn debug<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    pass.error(
        "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a \
         local connection, otherwise you need to set this option in the configuration file, and then restart the \
         server.",
    );
}

/// `CLUSTER ...`
pub(super) fn cluster<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    pass.error("ERR This instance has cluster support disabled");
}

/// `MODULE LIST`
pub(super) fn modules<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    write::array(pass.direct(), 0);
}

/// `LOLWUT`
pub(super) fn lolwut<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let text = format!(
        "   _~^~^~_\n\\) /  o o  \\ (/\n  '_   -   _'\n  / '-----' \\\nRedis ver. {}, CrabCache ver. {}\n",
        info::REDIS_VERSION,
        env!("CARGO_PKG_VERSION")
    );
    let version = pass.version;
    write::verbatim(pass.direct(), *b"txt", text.as_bytes(), version);
}
