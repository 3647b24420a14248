//! COMMAND DOCS: what the server says about its commands, for completion and hints.

use crabcache_protocol::resp::reply::Reply;

use crate::known::Known;

/// All commands, and the subcommands of those that have some.
pub(crate) fn read(docs: Reply<'_>) -> Vec<Known> {
    let mut known = Vec::new();
    for (name, about) in pairs(docs) {
        add(&name, about, &mut known);
    }
    known.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    known
}

fn add(name: &str, about: Reply<'_>, known: &mut Vec<Known>) {
    let mut command = Known { name: name.replace('|', " ").to_uppercase(), ..Known::default() };
    let mut container = false;
    for (field, value) in pairs(about) {
        match field.as_str() {
            "summary" => command.summary = text(value),
            "arguments" => command.syntax = elements(value).map(syntax).collect(),
            "subcommands" => {
                container = true;
                for (name, about) in pairs(value) {
                    add(&name, about, known);
                }
            }
            _ => {}
        }
    }
    if !container {
        known.push(command);
    }
}

/// An argument as manuals write it: `[EX seconds | PX ms]`, `key [key ...]`.
fn syntax(argument: Reply<'_>) -> String {
    let (mut name, mut kind, mut token) = (String::new(), String::new(), String::new());
    let mut parts = Vec::new();
    let (mut optional, mut multiple, mut token_again) = (false, false, false);
    for (field, value) in pairs(argument) {
        match field.as_str() {
            "name" => name = text(value),
            "type" => kind = text(value),
            "token" => token = text(value),
            "arguments" => parts = elements(value).map(syntax).collect(),
            "flags" => {
                for flag in elements(value).map(text) {
                    optional |= flag == "optional";
                    multiple |= flag == "multiple";
                    token_again |= flag == "multiple_token";
                }
            }
            _ => {}
        }
    }
    let body = match kind.as_str() {
        "pure-token" => String::new(),
        "oneof" => parts.join("|"),
        "block" => parts.join(" "),
        _ => name,
    };
    let several = |text: String| if multiple { format!("{text} [{text} ...]") } else { text };
    let named = |body: String| {
        [&*token, &*body].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    };
    let out = if token_again || body.is_empty() { several(named(body)) } else { named(several(body)) };
    if optional { format!("[{out}]") } else { out }
}

fn text(reply: Reply<'_>) -> String {
    match reply {
        Reply::Simple(bytes) | Reply::Bulk(bytes) | Reply::Verbatim { text: bytes, .. } => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        _ => String::new(),
    }
}

fn elements(reply: Reply<'_>) -> impl Iterator<Item = Reply<'_>> {
    let items = match reply {
        Reply::Array(items) | Reply::Map(items) | Reply::Set(items) => Some(items),
        _ => None,
    };
    items.into_iter().flatten()
}

/// A map, which RESP2 writes as an array.
fn pairs(reply: Reply<'_>) -> impl Iterator<Item = (String, Reply<'_>)> {
    let mut items = elements(reply);
    std::iter::from_fn(move || Some((text(items.next()?), items.next()?)))
}

#[cfg(test)]
mod tests {
    use crabcache_protocol::resp::Version;
    use crabcache_protocol::resp::reply::{Progress, parse};
    use crabcache_protocol::resp::write::{array, bulk, map, simple};
    use crabcache_protocol::{Limits, Parsed};

    use super::*;

    /// `(name, type, token, flags)`, and the number of arguments inside, which follow.
    fn argument(out: &mut Vec<u8>, fields: [&str; 3], flags: &[&str], inside: usize) {
        map(out, 4 + usize::from(inside > 0), Version::Resp2);
        for (name, value) in ["name", "type", "token"].into_iter().zip(fields) {
            bulk(out, name.as_bytes());
            bulk(out, value.as_bytes());
        }
        bulk(out, b"flags");
        array(out, flags.len());
        for flag in flags {
            simple(out, flag.as_bytes());
        }
        if inside > 0 {
            bulk(out, b"arguments");
            array(out, inside);
        }
    }

    #[test]
    fn commands_are_read_with_their_syntax() {
        let mut out = Vec::new();
        map(&mut out, 2, Version::Resp2);
        bulk(&mut out, b"set");
        map(&mut out, 2, Version::Resp2);
        bulk(&mut out, b"summary");
        bulk(&mut out, b"Sets.");
        bulk(&mut out, b"arguments");
        array(&mut out, 5);
        argument(&mut out, ["key", "key", ""], &[], 0);
        argument(&mut out, ["expiry", "oneof", ""], &["optional"], 2);
        argument(&mut out, ["seconds", "integer", "EX"], &[], 0);
        argument(&mut out, ["keep", "pure-token", "KEEPTTL"], &[], 0);
        argument(&mut out, ["more", "string", ""], &["multiple"], 0);
        argument(&mut out, ["id", "integer", "ID"], &["optional", "multiple"], 0);
        argument(&mut out, ["pattern", "pattern", "GET"], &["optional", "multiple", "multiple_token"], 0);
        bulk(&mut out, b"config");
        map(&mut out, 1, Version::Resp2);
        bulk(&mut out, b"subcommands");
        map(&mut out, 1, Version::Resp2);
        bulk(&mut out, b"config|get");
        map(&mut out, 0, Version::Resp2);

        let limits = Limits { key_len_max: 99, value_len_max: 99, args_max: 99, line_len_max: 99 };
        let Ok(Parsed::Complete { value, .. }) = parse(&out, &limits, &mut Progress::default()) else {
            panic!("not a reply")
        };
        let known = read(value);
        let names: Vec<_> = known.iter().map(|known| known.name.as_str()).collect();
        assert_eq!(names, ["CONFIG GET", "SET"]);
        assert_eq!(
            known[1].syntax,
            [
                "key",
                "[EX seconds|KEEPTTL]",
                "more [more ...]",
                "[ID id [id ...]]",
                "[GET pattern [GET pattern ...]]"
            ]
        );
        assert_eq!(known[1].summary, "Sets.");
    }
}
