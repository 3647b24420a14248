//! CLIENT TRACKING and what goes with it: how a client that keeps copies is told of changes. Who is told is found in
//! `crate::tracking`.

use crabcache_protocol::number::parse_i64;
use crabcache_protocol::resp::{Args, write};

use super::{is, names};
use crate::connection::Connection;
use crate::reactor::batch::Pass;
use crate::shared::Shared;
use crate::tracking::{Options, PREFIXES_MAX, Tracked};

/// `CLIENT TRACKING ON | OFF [REDIRECT id] [PREFIX prefix] ... [BCAST] [OPTIN] [OPTOUT] [NOLOOP]`
pub(super) fn tracking<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let wanted = match parse(args, pass.shared()) {
        Ok(wanted) => wanted,
        Err(text) => return pass.error(&text),
    };
    let on = args.get(2).unwrap_or_default();
    if is(on, "ON") {
        let before = connection.tracked.as_ref().map(|tracked| &tracked.options);
        let options = match join(wanted, before) {
            Ok(options) => options,
            Err(text) => return pass.error(&text),
        };
        let (shared, client) = (pass.shared(), &connection.client);
        if let Some(tracked) = &mut connection.tracked {
            // The keys that it has read stay noted.
            tracked.change(client, options);
        } else {
            let tracked = pass.alone(|_| Tracked::new(&shared.tracking, client, options));
            connection.tracked = Some(Box::new(tracked));
        }
    } else if is(on, "OFF") {
        connection.tracked = None;
    } else {
        return pass.syntax_error();
    }
    connection.attend();
    pass.direct().extend_from_slice(write::OK);
}

/// Reads the options; the error is the text of the answer.
fn parse(args: Args<'_>, shared: &Shared<'_>) -> Result<Options, String> {
    let mut wanted = Options::default();
    let mut options = args.iter().skip(3);
    while let Some(option) = options.next() {
        if is(option, "BCAST") {
            wanted.broadcast = true;
        } else if is(option, "OPTIN") {
            wanted.opt_in = true;
        } else if is(option, "OPTOUT") {
            wanted.opt_out = true;
        } else if is(option, "NOLOOP") {
            wanted.no_loop = true;
        } else if is(option, "REDIRECT")
            && let Some(id) = options.next()
        {
            if wanted.redirect.is_some() {
                return Err("ERR A client can only redirect to a single other client".to_owned());
            }
            let id = parse_i64(id).ok_or("ERR value is not an integer or out of range")?;
            let id = id.cast_unsigned();
            if shared.clients.find(id).is_none() {
                return Err("ERR The client ID you want redirect to does not exist".to_owned());
            }
            wanted.redirect = Some(id);
        } else if is(option, "PREFIX")
            && let Some(prefix) = options.next()
        {
            wanted.prefixes.push(prefix.into());
            if wanted.prefixes.len() > PREFIXES_MAX {
                return Err(too_many_prefixes());
            }
        } else {
            return Err("ERR syntax error".to_owned());
        }
    }
    Ok(wanted)
}

fn too_many_prefixes() -> String {
    format!("ERR a client can track at most {PREFIXES_MAX} prefixes")
}

/// What is asked for, where something was asked for before.
fn join(mut wanted: Options, before: Option<&Options>) -> Result<Options, String> {
    if !wanted.broadcast && !wanted.prefixes.is_empty() {
        return Err("ERR PREFIX option requires BCAST mode to be enabled".to_owned());
    }
    if before.is_some_and(|before| before.broadcast != wanted.broadcast) {
        return Err(
            "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then \
                    re-enabling it with a different mode."
                .to_owned(),
        );
    }
    if wanted.broadcast && (wanted.opt_in || wanted.opt_out) {
        return Err("ERR OPTIN and OPTOUT are not compatible with BCAST".to_owned());
    }
    if wanted.opt_in && wanted.opt_out {
        return Err("ERR You can't specify both OPTIN mode and OPTOUT mode".to_owned());
    }
    if before.is_some_and(|before| (wanted.opt_in && before.opt_out) || (wanted.opt_out && before.opt_in)) {
        return Err(
            "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then \
                    re-enabling it with a different mode."
                .to_owned(),
        );
    }
    let existing = before.map_or(&[][..], |before| &before.prefixes);
    if existing.len() + wanted.prefixes.len() > PREFIXES_MAX {
        return Err(too_many_prefixes());
    }
    // Who broadcasts without a prefix hears of all keys, from then on or already.
    if wanted.prefixes.is_empty() {
        return Ok(wanted);
    }
    let all = before.filter(|before| before.prefixes.is_empty()).map(|_| Box::default());
    for (at, prefix) in wanted.prefixes.iter().enumerate() {
        let others = existing.iter().chain(&all).map(|other| ("an existing", other));
        let others = others.chain(wanted.prefixes[at + 1..].iter().map(|other| ("another provided", other)));
        for (which, other) in others {
            if prefix.starts_with(other) || other.starts_with(prefix) {
                let [prefix, other] = [prefix, other].map(|bytes| String::from_utf8_lossy(bytes));
                return Err(format!(
                    "ERR Prefix '{prefix}' overlaps with {which} prefix '{other}'. Prefixes for a single client must \
                     not overlap."
                ));
            }
        }
    }
    wanted.prefixes.extend_from_slice(existing);
    Ok(wanted)
}

/// `CLIENT CACHING YES | NO`
pub(super) fn caching<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let Some(tracked) = &mut connection.tracked else {
        return pass.error(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode \
             enabled",
        );
    };
    let what = args.get(2).unwrap_or_default();
    if is(what, "YES") {
        if !tracked.options.opt_in {
            return pass
                .error("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
        }
    } else if is(what, "NO") {
        if !tracked.options.opt_out {
            return pass
                .error("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
        }
    } else {
        return pass.syntax_error();
    }
    tracked.caching = true;
    pass.direct().extend_from_slice(write::OK);
}

/// Who receives the invalidations: -1 without tracking, 0 for the client itself.
pub(crate) fn redirection(tracked: Option<&Tracked>) -> i64 {
    tracked.map_or(-1, |tracked| tracked.options.redirect.map_or(0, u64::cast_signed))
}

/// `CLIENT GETREDIR`
pub(super) fn getredir<'a>(_: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    write::integer(pass.direct(), redirection(connection.tracked.as_deref()));
}

/// `CLIENT TRACKINGINFO`
pub(super) fn trackinginfo<'a>(_: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let tracked = connection.tracked.as_deref();
    let version = pass.version;
    let mut flags = vec![if tracked.is_some() { "on" } else { "off" }];
    if let Some(tracked) = tracked {
        let Options { broadcast, opt_in, opt_out, no_loop, .. } = tracked.options;
        for (has, name) in [
            (broadcast, "bcast"),
            (opt_in, "optin"),
            (opt_in && tracked.caching, "caching-yes"),
            (opt_out, "optout"),
            (opt_out && tracked.caching, "caching-no"),
            (no_loop, "noloop"),
            (tracked.is_broken(), "broken_redirect"),
        ] {
            flags.extend(has.then_some(name));
        }
    }
    let out = pass.direct();
    write::map(out, 3, version);
    write::bulk(out, b"flags");
    write::set(out, flags.len(), version);
    for flag in flags {
        write::bulk(out, flag.as_bytes());
    }
    write::bulk(out, b"redirect");
    write::integer(out, redirection(tracked));
    write::bulk(out, b"prefixes");
    let prefixes = tracked.map_or(&[][..], |tracked| &tracked.options.prefixes);
    if tracked.is_some_and(|tracked| tracked.options.broadcast) && prefixes.is_empty() {
        return names(out, &[""]);
    }
    write::array(out, prefixes.len());
    for prefix in prefixes {
        write::bulk(out, prefix);
    }
}
