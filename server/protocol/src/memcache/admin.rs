//! Commands for those who run memcached. Where they turn what is not there (slab classes, LRU lists, logs to watch), the
//! answer is the one of a memcached that has it switched off, and nothing is done.

use super::{Refusal, Request};
use crate::number;

/// In which form keys are dumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dump {
    /// A line of `name=value` for each item (`lru_crawler metadump`).
    Metadata,
    /// A line that asks for the item (`lru_crawler mgdump`).
    Requests,
}

const OK: &str = "OK";
const ERROR: &str = "ERROR";

/// Reads what follows the verb; none if it is no verb of these.
pub(super) fn command<'a>(
    verb: &[u8],
    words: &[&'a [u8]],
    noreply: bool,
) -> Option<Result<Request<'a>, Refusal>> {
    Some(Ok(match (verb, words) {
        (b"slabs", _) => return Some(slabs(words).map(Request::Fixed)),
        (b"lru_crawler", [b"metadump" | b"mgdump", class]) => {
            let form = if words[0] == b"metadump" { Dump::Metadata } else { Dump::Requests };
            match *class {
                b"all" | b"hash" | b"1" => Request::Dump(form),
                _ => Request::Fixed("BADCLASS invalid class id"),
            }
        }
        (b"lru_crawler", _) => return Some(lru_crawler(words).map(Request::Fixed)),
        (b"lru", _) => Request::Fixed(ERROR),
        (b"watch", _) => Request::Fixed("CLIENT_ERROR watch commands not allowed"),
        (b"shutdown", [] | [b"graceful"]) => Request::Shutdown { known: true },
        (b"shutdown", _) => Request::Shutdown { known: false },
        (b"cache_memlimit", [mebibytes] | [mebibytes, _]) => {
            match number::parse_u64_lenient(mebibytes).and_then(|number| u32::try_from(number).ok()) {
                Some(mebibytes) => Request::MemoryLimit { mebibytes, noreply },
                None => return Some(Err(Refusal::UnknownCommand)),
            }
        }
        (b"config", [b"get", b"cluster"]) => Request::ClusterConfig,
        _ => return None,
    }))
}

fn slabs(words: &[&[u8]]) -> Result<&'static str, Refusal> {
    let number = |text| number::parse_i64_lenient(text).ok_or(Refusal::BadFormat);
    match *words {
        [b"reassign", from, to] => {
            number(from)?;
            number(to)?;
            Ok("CLIENT_ERROR slab reassignment disabled")
        }
        [b"automove", b"ratio", _] => Ok(OK),
        [b"automove", level, ..] => Ok(if (0..=2).contains(&number(level)?) { OK } else { ERROR }),
        _ => Ok(ERROR),
    }
}

/// What has expired is swept all the time: there is nothing to start, and no way to stop it.
fn lru_crawler(words: &[&[u8]]) -> Result<&'static str, Refusal> {
    let number = |text| number::parse_u64_lenient(text).ok_or(Refusal::BadFormat);
    match *words {
        [b"disable"] => Ok("ERROR failed to stop lru crawler thread"),
        [b"tocrawl", items] => number(items).map(|_| OK),
        [b"sleep", micros] if number(micros)? > 1_000_000 => {
            Ok("CLIENT_ERROR sleep must be one second or less")
        }
        [b"enable"] | [b"crawl" | b"sleep", _] => Ok(OK),
        _ => Ok(ERROR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Parsed};

    #[test]
    fn commands_of_operators_table() {
        let limits = Limits { key_len_max: 250, value_len_max: 1024, args_max: 64, line_len_max: 4096 };
        let table: [(&str, Request<'_>); 19] = [
            ("slabs", Request::Fixed(ERROR)),
            ("slabs automove 1", Request::Fixed(OK)),
            ("slabs automove 3", Request::Fixed(ERROR)),
            ("slabs reassign 1 2", Request::Fixed("CLIENT_ERROR slab reassignment disabled")),
            ("lru mode flat", Request::Fixed(ERROR)),
            ("lru_crawler", Request::Fixed(ERROR)),
            ("lru_crawler enable", Request::Fixed(OK)),
            ("lru_crawler crawl all", Request::Fixed(OK)),
            ("lru_crawler sleep 1000001", Request::Fixed("CLIENT_ERROR sleep must be one second or less")),
            ("lru_crawler metadump all", Request::Dump(Dump::Metadata)),
            ("lru_crawler mgdump hash", Request::Dump(Dump::Requests)),
            ("lru_crawler metadump 7", Request::Fixed("BADCLASS invalid class id")),
            ("watch fetchers", Request::Fixed("CLIENT_ERROR watch commands not allowed")),
            ("shutdown", Request::Shutdown { known: true }),
            ("shutdown graceful", Request::Shutdown { known: true }),
            ("shutdown now", Request::Shutdown { known: false }),
            ("cache_memlimit 64", Request::MemoryLimit { mebibytes: 64, noreply: false }),
            ("cache_memlimit 64 noreply", Request::MemoryLimit { mebibytes: 64, noreply: true }),
            ("config get cluster", Request::ClusterConfig),
        ];
        for (text, expected) in table {
            let line = alloc::format!("{text} \r\n");
            let parsed = crate::memcache::parse(line.as_bytes(), &limits);
            assert_eq!(parsed, Ok(Parsed::Complete { value: expected, consumed: line.len() }), "{text}");
        }
    }
}
