//! CONFIG: the settings, of which some can be changed.

use crabcache_protocol::number::parse_i64;
use crabcache_protocol::resp::{Args, write};

use super::connection::ECHOED_MAX;
use super::glob;
use crate::connection::Connection;
use crate::database::DATABASES;
use crate::net::listener::KEEPALIVE;
use crate::reactor::batch::Pass;
use crate::shared::Shared;

/// One setting.
struct Parameter {
    name: &'static str,
    get: fn(&Shared<'_>) -> String,
    set: Set,
}

/// How a setting takes a new value. Where it does not, the value that it has is taken nevertheless.
enum Set {
    /// It stays as the server was started.
    Never,
    /// A number from and to these, and what to do with it.
    Number(i64, i64, fn(&Shared<'_>, i64) -> Result<(), String>),
    /// Yes or no.
    Switch(fn(&Shared<'_>, bool)),
    /// A text.
    Text(fn(&Shared<'_>, &str) -> Result<(), String>),
    /// Anything, since it makes no difference here; tools insist on it.
    Immaterial,
}

const fn fixed(name: &'static str, get: fn(&Shared<'_>) -> String) -> Parameter {
    Parameter { name, get, set: Set::Never }
}

const fn immaterial(name: &'static str, get: fn(&Shared<'_>) -> String) -> Parameter {
    Parameter { name, get, set: Set::Immaterial }
}

const fn number(
    name: &'static str,
    get: fn(&Shared<'_>) -> String,
    (min, max): (i64, i64),
    set: fn(&Shared<'_>, i64) -> Result<(), String>,
) -> Parameter {
    Parameter { name, get, set: Set::Number(min, max, set) }
}

/// In the order of their names.
const PARAMETERS: &[Parameter] = &[
    fixed("appendonly", |_| "no".to_owned()),
    fixed("bind", |shared| shared.tcp().map(|address| address.ip().to_string()).unwrap_or_default()),
    fixed("cluster-enabled", |_| "no".to_owned()),
    fixed("databases", |_| DATABASES.to_string()),
    fixed("io-threads", |shared| shared.seats.len().to_string()),
    immaterial("latency-monitor-threshold", |_| "0".to_owned()),
    Parameter {
        name: "latency-tracking",
        get: |shared| yes_or_no(shared.settings.times_requests()),
        set: Set::Switch(|shared, on| shared.settings.set_times_requests(on)),
    },
    Parameter {
        name: "latency-tracking-info-percentiles",
        get: |shared| {
            let percentiles = shared.settings.percentiles();
            percentiles.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
        },
        set: Set::Text(|shared, text| {
            let wanted: Option<Vec<f64>> = text.split_whitespace().map(|word| word.parse().ok()).collect();
            let wanted = wanted.ok_or("Invalid latency-tracking-info-percentiles parameters")?;
            if !wanted.iter().all(|percent| (0.0..=100.0).contains(percent)) {
                return Err(
                    "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".to_owned()
                );
            }
            shared.settings.set_percentiles(wanted);
            Ok(())
        }),
    },
    number(
        "maxclients",
        |shared| shared.settings.connections_max().to_string(),
        (1, 4_294_967_295),
        |shared, max| {
            let possible = shared.settings.set_connections_max(usize::try_from(max).unwrap_or(usize::MAX));
            possible.then_some(()).ok_or_else(|| "more than the server was started for".to_owned())
        },
    ),
    fixed("maxmemory", |shared| shared.config.memory_bytes.to_string()),
    fixed("maxmemory-policy", |_| "allkeys-lfu".to_owned()),
    fixed("port", |shared| shared.tcp().map_or(0, |address| address.port()).to_string()),
    fixed("proto-max-bulk-len", |shared| shared.bounds.item_len_max.to_string()),
    fixed("replica-read-only", |_| "yes".to_owned()),
    fixed("requirepass", |_| String::new()),
    Parameter {
        name: "save",
        get: |_| String::new(),
        set: Set::Text(|_, text| {
            // Nothing is saved, whatever is asked for; but that is understood.
            let numbers: Option<Vec<i64>> = text.split(' ').map(|word| parse_i64(word.as_bytes())).collect();
            let pairs = numbers.filter(|numbers| numbers.len().is_multiple_of(2));
            let is_fine = |pair: &[i64]| pair[0] >= 1 && pair[1] >= 0;
            let fine = text.is_empty() || pairs.is_some_and(|numbers| numbers.chunks(2).all(is_fine));
            fine.then_some(()).ok_or_else(|| "Invalid save parameters".to_owned())
        }),
    },
    number(
        "slowlog-log-slower-than",
        |shared| shared.settings.slow_micros().to_string(),
        (-1, i64::MAX),
        |shared, micros| {
            shared.settings.set_slow_micros(micros);
            Ok(())
        },
    ),
    number(
        "slowlog-max-len",
        |shared| shared.settings.slow_requests_max().to_string(),
        (0, i64::MAX),
        |shared, max| {
            // Each may take some KiB.
            let max = usize::try_from(max).map_or(SLOW_REQUESTS_MAX, |max| max.min(SLOW_REQUESTS_MAX));
            shared.settings.set_slow_requests_max(max);
            shared.slowlog.truncate(max);
            Ok(())
        },
    ),
    fixed("tcp-keepalive", |_| KEEPALIVE.as_secs().to_string()),
    number(
        "timeout",
        |shared| shared.settings.idle_seconds_max().to_string(),
        (0, i32::MAX as i64),
        |shared, seconds| {
            shared.settings.set_idle_seconds_max(seconds.unsigned_abs());
            // Workers that sleep without an end look again.
            shared.wake_all();
            Ok(())
        },
    ),
    number(
        "tracking-table-max-keys",
        |shared| shared.settings.tracked_keys_max().to_string(),
        (0, i64::MAX),
        |shared, max| {
            shared.settings.set_tracked_keys_max(usize::try_from(max).unwrap_or(usize::MAX));
            Ok(())
        },
    ),
];

/// Most slow requests that can be remembered.
const SLOW_REQUESTS_MAX: usize = 4096;

fn yes_or_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

/// What the patterns of a CONFIG GET may cost in comparisons; what is not known then is left out.
const GET_STEPS_MAX: usize = 4 << 20;

/// `CONFIG GET pattern ...`
pub(super) fn get<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if args.len() > ECHOED_MAX {
        return pass.error("ERR too many patterns at once");
    }
    let patterns: Vec<Vec<u8>> = args.iter().skip(2).map(<[u8]>::to_ascii_lowercase).collect();
    let mut steps = GET_STEPS_MAX;
    let wanted = PARAMETERS.iter().filter(|parameter| {
        patterns
            .iter()
            .any(|pattern| glob::matches_within(pattern, parameter.name.as_bytes(), &mut steps) == Some(true))
    });
    let wanted: Vec<_> = wanted.collect();
    pass.executor.note_work(GET_STEPS_MAX - steps);
    let (version, shared) = (pass.version, pass.shared());
    let out = pass.direct();
    write::map(out, wanted.len(), version);
    for parameter in wanted {
        write::bulk(out, parameter.name.as_bytes());
        write::bulk(out, (parameter.get)(shared).as_bytes());
    }
}

/// `CONFIG SET name value ...`: all of them, or none.
pub(super) fn set<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if !args.len().is_multiple_of(2) {
        return pass.syntax_error();
    }
    let shared = pass.shared();
    let mut wanted: Vec<(&Parameter, String)> = Vec::new();
    let mut rest = args.iter().skip(2);
    while let (Some(name), Some(value)) = (rest.next(), rest.next()) {
        let found = PARAMETERS.iter().find(|parameter| parameter.name.as_bytes().eq_ignore_ascii_case(name));
        let Some(parameter) = found else {
            let name = String::from_utf8_lossy(name);
            return pass
                .error(&format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'"));
        };
        if wanted.iter().any(|(other, _)| other.name == parameter.name) {
            return failed(parameter.name, "duplicate parameter", pass);
        }
        wanted.push((parameter, String::from_utf8_lossy(value).into_owned()));
    }
    // Nothing is changed unless all can be.
    let before: Vec<(&Parameter, String)> =
        wanted.iter().map(|(parameter, _)| (*parameter, (parameter.get)(shared))).collect();
    for (at, (parameter, value)) in wanted.iter().enumerate() {
        if let Err(why) = parameter.apply(shared, value) {
            before[..at].iter().for_each(|(parameter, value)| {
                // It was so a moment ago.
                let _ = parameter.apply(shared, value);
            });
            return failed(parameter.name, &why, pass);
        }
    }
    pass.direct().extend_from_slice(write::OK);
}

fn failed(name: &str, why: &str, pass: &mut Pass<'_, '_, '_>) {
    pass.error(&format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"));
}

impl Parameter {
    fn apply(&self, shared: &Shared<'_>, value: &str) -> Result<(), String> {
        match &self.set {
            Set::Never if (self.get)(shared).eq_ignore_ascii_case(value) => Ok(()),
            Set::Never => Err("can't set immutable config".to_owned()),
            Set::Immaterial => Ok(()),
            Set::Number(min, max, set) => {
                let number =
                    parse_i64(value.as_bytes()).ok_or("argument couldn't be parsed into an integer")?;
                if !(*min..=*max).contains(&number) {
                    return Err(format!("argument must be between {min} and {max} inclusive"));
                }
                set(shared, number)
            }
            Set::Switch(set) => {
                let on = match value.to_ascii_lowercase().as_str() {
                    "yes" => true,
                    "no" => false,
                    _ => return Err("argument must be 'yes' or 'no'".to_owned()),
                };
                set(shared, on);
                Ok(())
            }
            Set::Text(set) => set(shared, value),
        }
    }
}

/// `CONFIG RESETSTAT`
pub(super) fn resetstat<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    pass.run();
    pass.shared().reset_counters();
    pass.direct().extend_from_slice(write::OK);
}

/// `CONFIG REWRITE`: settings come from flags and the environment, never from a file.
pub(super) fn rewrite<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    pass.error("ERR The server is running without a config file");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_in_order() {
        assert!(PARAMETERS.is_sorted_by(|one, next| one.name < next.name));
    }
}
