//! `EVAL` and `EVALSHA` of scripts that are known.
//!
//! Locks and counters of many libraries are Lua scripts that never change. Here are those that are about strings: each is
//! known by the SHA1 of its text, and is an operation of ours, so that there is no interpreter. A text is looked at for
//! its SHA1 only. Nothing has to be loaded first, and nothing is forgotten by `SCRIPT FLUSH`.
//!
//! Each is carried out [alone](Pass::alone), as Redis does it. An error that a command within a script has is told as the
//! command tells it, without the line of the script.

use crabcache_engine::{
    Action, Condition, Count, Delta, Expiry, Op, Outcome, Put, StoreError, TouchCondition,
};
use crabcache_protocol::number::parse_i64;
use crabcache_protocol::resp::{Args, write};
use sha1_smol::Sha1;

use super::change::{Change, change, write_all};
use super::connection::ECHOED_MAX;
use super::expiry::{self, Moment, Unit};
use super::reply::{self, Kind, Reply};
use super::strings::{self, put};
use super::{is, one, two};
use crate::connection::Connection;
use crate::reactor::batch::Pass;

/// A script.
struct Script {
    /// Of its text.
    sha1: &'static str,
    /// How many keys it takes, at least.
    keys: usize,
    /// How many other arguments, at least.
    args: usize,
    run: for<'a> fn(Call<'a>, &mut Pass<'a, '_, '_>),
}

/// The most keys that a script may have, since everybody waits for it.
const KEYS_MAX: usize = 1024;

/// A text that is longer is none of them.
const TEXT_LEN_MAX: usize = 2048;

/// How many scripts are known.
pub(super) const KNOWN: usize = SCRIPTS.len();

const SCRIPTS: [Script; 28] = {
    const fn script(
        sha1: &'static str,
        keys: usize,
        args: usize,
        run: for<'a> fn(Call<'a>, &mut Pass<'a, '_, '_>),
    ) -> Script {
        Script { sha1, keys, args, run }
    }
    [
        // redis-py and valkey-py: Lock.release, Lock.reacquire, Lock.extend
        script("c3f8721cbb97f72bc19e972846bd7aaf91901658", 1, 1, delete_if_equal),
        script("1cac51482acf5858da00f6d685d68f886cd6b6b2", 1, 2, expire_if_equal),
        script("a4e8783852e6b949f9ef3a97212805108459a890", 1, 3, extend_if_equal),
        // redlock-py: unlock
        script("4e92fdc63815b3a0a2dd1c1df3694de73607c88d", 1, 1, delete_if_equal),
        // aiocache: release of its lock, cas
        script("ae3671744a5dbb24ea37ef607b8b10ac7856d43e", 1, 1, delete_if_equal),
        script("782e993d12091daacc7a3164ddf5c4624fe56042", 1, 2, replace_if_equal),
        // Laravel: Lock::release, Cache::add
        script("647c65a442733a1aa440f99908d249d13b4d6c4a", 1, 1, delete_if_equal),
        script("a08c9c69b7c07ae2485190873b90d128a23e502d", 1, 2, add),
        // django-redis: incr
        script("f4a7da3e5d8ea3b46642af08427151cae0190400", 1, 1, count_if_present),
        // redsync: Unlock until 4.9, Unlock, Extend, Extend with SetNXOnExtend
        script("00583931c4e4d483f6233879c133c71ed5393f9d", 1, 1, delete_if_equal),
        script("e950836ed1e694540c503ef9972b8de518044d3b", 1, 1, delete_if_equal_and_tell_absence),
        script("d75bb8b5bd13532ddedd17762e772346e39b321e", 1, 2, expire_if_equal),
        script("b6b55c439e02c6f52ffb8be7ec8c0d0ac816ea79", 1, 2, expire_if_equal_or_set_if_absent),
        // redis-semaphore: Mutex.release, its refresh
        script("7157921a7cc7cfba979acf6d63f073151df17d12", 1, 1, delete_if_equal),
        script("594683e49a64ebaf975caf5f8079a1d097c438f1", 1, 2, expire_if_equal),
        // redlock-rb: unlock, lock and extend, get_remaining_ttl
        script("8e4905cee18e7c3188d10f2b8b170e403baed34f", 1, 1, delete_if_equal),
        script("ceb2b2062e40c51a2b3963fd078bc71f11bdc65c", 1, 3, set_if_equal_or_absent),
        script("78d2ca48a6dc9ef6892059792a3a0c5237733d64", 1, 0, value_and_time_left),
        // node-redlock 4: lock, unlock, extend; 5: the same
        script("e5a322e2634ef59a516e8ea150cb085afafee684", 0, 2, set_all_if_absent),
        script("0f0f23b9048b36752b5be114f357ba083449f908", 0, 1, delete_those_equal),
        script("ce46f80993d5dac20dd066eb301a4e37994bdbed", 0, 2, expire_all_if_equal),
        script("96da70f7716f27d278a5218544df37fd8b0a5e4c", 0, 2, set_all_if_absent),
        script("e4612211c9f8f51c257e26e056b0a654b3187242", 0, 1, delete_those_equal),
        script("aed6f382e410db8ba7926d4e5e9aab410bf2a78a", 0, 2, expire_all_if_equal),
        // limits (Flask-Limiter): fixed window
        script("628bd136a573a06b346879695681af12ccef300f", 1, 2, count_and_expire),
        // rate-limit-redis (express-rate-limit): increment, get
        script("895b92e1712734e1b464999be23953485475357b", 1, 1, count_in_window),
        script("6aeb97ed6086dcdeafdc6fda3999a0d0e38ec96a", 1, 0, value_and_time_left),
        // rate-limiter-flexible: consume
        script("a1de965f42e177aa339706bd580f049065eca79a", 1, 2, count_points),
    ]
};

/// The script with this SHA1, in any case.
fn known(sha1: &[u8]) -> Option<&'static Script> {
    SCRIPTS.iter().find(|script| script.sha1.as_bytes().eq_ignore_ascii_case(sha1))
}

/// The script with this text.
fn known_text(text: &[u8]) -> Option<&'static Script> {
    (text.len() <= TEXT_LEN_MAX)
        .then(|| Sha1::from(text).digest().to_string())
        .and_then(|sha1| known(sha1.as_bytes()))
}

/// What a text is answered with that is none of them.
const UNKNOWN: &str = "ERR scripts are not interpreted here, and this one is none of those that are known";

/// What a script is called with.
#[derive(Clone, Copy)]
struct Call<'a> {
    args: Args<'a>,
    keys: usize,
}

impl<'a> Call<'a> {
    fn keys(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.args.into_iter().skip(3).take(self.keys)
    }

    fn key(self) -> &'a [u8] {
        self.args.get(3).unwrap_or_default()
    }

    /// An argument that is no key; the first one is 0. Those before it have to be walked over.
    fn arg(self, number: usize) -> &'a [u8] {
        self.args.get(3 + self.keys + number).unwrap_or_default()
    }
}

/// `EVAL script numkeys [key ...] [arg ...]`
pub(super) fn eval<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    run(args, known_text, UNKNOWN, pass);
}

/// `EVALSHA sha1 numkeys [key ...] [arg ...]`
pub(super) fn evalsha<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    const NOSCRIPT: &str = "NOSCRIPT No matching script. Please use EVAL.";
    // Redis looks at nothing else then.
    if one(&args).len() != 40 {
        return pass.error(NOSCRIPT);
    }
    run(args, known, NOSCRIPT, pass);
}

fn run<'a>(
    args: Args<'a>,
    find: impl FnOnce(&[u8]) -> Option<&'static Script>,
    unknown: &str,
    pass: &mut Pass<'a, '_, '_>,
) {
    let (name, keys) = two(&args);
    let keys = match parse_i64(keys) {
        None => return pass.not_an_integer(),
        Some(keys) if keys > args.len() as i64 - 3 => {
            return pass.error("ERR Number of keys can't be greater than number of args");
        }
        Some(..0) => return pass.error("ERR Number of keys can't be negative"),
        Some(keys) => keys as usize,
    };
    match find(name) {
        None => pass.error(unknown),
        Some(_) if keys > KEYS_MAX => pass.error(&format!("ERR a script takes at most {KEYS_MAX} keys")),
        Some(script) if keys < script.keys || args.len() - 3 - keys < script.args => {
            let Script { keys, args, .. } = script;
            pass.error(&format!(
                "ERR this script takes keys and other arguments: at least {keys} and {args}"
            ));
        }
        Some(script) => pass.alone(|pass| (script.run)(Call { args, keys }, pass)),
    }
}

/// `SCRIPT EXISTS sha1 [sha1 ...]`
pub(super) fn exists<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if args.len() > ECHOED_MAX {
        return pass.error("ERR too many scripts at once");
    }
    let out = pass.direct();
    write::array(out, args.len() - 2);
    args.iter().skip(2).for_each(|sha1| write::integer(out, known(sha1).is_some().into()));
}

/// `SCRIPT FLUSH [ASYNC | SYNC]`: what is known stays so.
pub(super) fn flush<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    match args.get(2) {
        None => pass.direct().extend_from_slice(write::OK),
        Some(how) if args.len() == 3 && (is(how, "ASYNC") || is(how, "SYNC")) => {
            pass.direct().extend_from_slice(write::OK);
        }
        Some(_) => pass.error("ERR SCRIPT FLUSH only support SYNC|ASYNC option"),
    }
}

/// `SCRIPT KILL`: none takes long enough for that.
pub(super) fn kill<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    pass.error("NOTBUSY No scripts in execution right now.");
}

/// `SCRIPT LOAD script`
pub(super) fn load<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    match known_text(two(&args).1) {
        Some(script) => write::bulk(pass.direct(), script.sha1.as_bytes()),
        None => pass.error(UNKNOWN),
    }
}

fn nil(pass: &mut Pass<'_, '_, '_>) {
    let version = pass.version;
    write::nil(pass.direct(), version);
}

fn integer(number: i64, pass: &mut Pass<'_, '_, '_>) {
    write::integer(pass.direct(), number);
}

/// Whether this is the value of a key; none if there is no value.
fn holds(key: &[u8], value: &[u8], pass: &mut Pass<'_, '_, '_>) -> Option<bool> {
    pass.peek(key, |found| found.bytes() == value)
}

/// The milliseconds that a key has left; none if it is not there or does not expire.
fn left(key: &[u8], pass: &mut Pass<'_, '_, '_>) -> Option<i64> {
    let mut end = None;
    pass.peek(key, |found| end = found.expires());
    end.map(|end| end.0.saturating_sub(pass.now().0) as i64)
}

fn call_holds(call: Call<'_>, pass: &mut Pass<'_, '_, '_>) -> bool {
    holds(call.key(), call.arg(0), pass) == Some(true)
}

/// KEYS: lock. ARGV: token. 1 if it was released.
fn delete_if_equal<'a>(call: Call<'a>, pass: &mut Pass<'a, '_, '_>) {
    if call_holds(call, pass) {
        pass.op(Op::delete(call.key()), Reply::Did);
    } else {
        integer(0, pass);
    }
}

/// The same, and -1 if there was no lock.
fn delete_if_equal_and_tell_absence<'a>(call: Call<'a>, pass: &mut Pass<'a, '_, '_>) {
    match holds(call.key(), call.arg(0), pass) {
        None => integer(-1, pass),
        Some(_) => delete_if_equal(call, pass),
    }
}

/// Lets a key expire, and answers whether that was done.
fn expire<'a>(key: &'a [u8], text: &[u8], pass: &mut Pass<'a, '_, '_>) {
    match expiry::moment(text, Unit::Millis, pass.now()) {
        Ok(moment) => {
            pass.op(Op { key, action: Action::Touch(moment, TouchCondition::Always) }, Reply::Did);
        }
        Err(fault) => fault.answer(pass, "pexpire"),
    }
}

/// KEYS: lock. ARGV: token, milliseconds. 1 if the lock lasts so long from now on.
fn expire_if_equal<'a>(call: Call<'a>, pass: &mut Pass<'a, '_, '_>) {
    if call_holds(call, pass) {
        expire(call.key(), call.arg(1), pass);
    } else {
        integer(0, pass);
    }
}

/// The same, but a lock that is gone is taken again.
fn expire_if_equal_or_set_if_absent<'a>(call: Call<'a>, pass: &mut Pass<'a, '_, '_>) {
    if call_holds(call, pass) {
        expire(call.key(), call.arg(1), pass);
    } else {
        set(call, Condition::Absent, Reply::Did, pass);
    }
}

/// KEYS: lock. ARGV: token, milliseconds, `0` where they are added to those left. 1 if that was done; 0, too, where the
/// lock does not expire.
fn extend_if_equal<'a>(call: Call<'a>, pass: &mut Pass<'a, '_, '_>) {
    let key = call.key();
    let Some(left) = left(key, pass).filter(|_| call_holds(call, pass)) else { return integer(0, pass) };
    if call.arg(2) != b"0" {
        return expire(key, call.arg(1), pass);
    }
    match parse_i64(call.arg(1)) {
        Some(more) => {
            let total = more.saturating_add(left).to_string();
            pass.aside(|pass| expire(key, total.as_bytes(), pass));
        }
        None => pass.not_an_integer(),
    }
}

/// Stores the token for some milliseconds.
fn set<'a>(call: Call<'a>, condition: Condition, reply: Reply, pass: &mut Pass<'a, '_, '_>) {
    match expiry::positive(call.arg(1), Unit::Millis, pass.now()) {
        Ok(expiry) => put(pass, call.key(), Put { value: call.arg(0), flags: 0, expiry, condition }, reply),
        Err(fault) => fault.answer(pass, "set"),
    }
}

/// KEYS: lock. ARGV: token, milliseconds, `yes` where it may be new. OK, or nil if somebody else has it.
fn set_if_equal_or_absent<'a>(call: Call<'a>, pass: &mut Pass<'a, '_, '_>) {
    if holds(call.key(), call.arg(0), pass).unwrap_or(call.arg(2) == b"yes") {
        set(call, Condition::Always, Reply::Ok, pass);
    } else {
        nil(pass);
    }
}

/// KEYS: item. ARGV: value, the one that it replaces, and perhaps when it expires, in the words of SET. OK, or 0 if the
/// item has another value.
fn replace_if_equal<'a>(call: Call<'a>, pass: &mut Pass<'a, '_, '_>) {
    if holds(call.key(), call.arg(1), pass) != Some(true) {
        return integer(0, pass);
    }
    let mut moment = Moment::default();
    let told = call.args.len() - 3 - call.keys == 4;
    if told && !moment.take(call.arg(2), "", &mut std::iter::once(call.arg(3))) {
        return pass.syntax_error();
    }
    match moment.expiry(pass.now()) {
        Ok(expiry) => {
            let expiry = expiry.unwrap_or(Expiry::Never);
            put(pass, call.key(), Put { value: call.arg(0), expiry, ..Put::default() }, Reply::Ok);
        }
        Err(fault) => fault.answer(pass, "set"),
    }
}

/// KEYS: item. ARGV: value, seconds. OK, or nil if there was a value.
fn add<'a>(call: Call<'a>, pass: &mut Pass<'a, '_, '_>) {
    let key = call.key();
    if pass.peek(key, |_| ()).is_some() {
        return nil(pass);
    }
    match expiry::positive(call.arg(1), Unit::Seconds, pass.now()) {
        Ok(expiry) => put(pass, key, Put { value: call.arg(0), expiry, ..Put::default() }, Reply::Ok),
        Err(fault) => fault.answer(pass, "setex"),
    }
}

/// Carries out the same on several keys, and answers on how many that had an effect.
fn on_all<'a>(
    keys: impl Iterator<Item = &'a [u8]>,
    action: impl Fn() -> Action<'a>,
    pass: &mut Pass<'a, '_, '_>,
) {
    let mut keys = keys.peekable();
    if keys.peek().is_none() {
        return integer(0, pass);
    }
    while let Some(key) = keys.next() {
        pass.op(Op { key, action: action() }, Reply::Tally { last: keys.peek().is_none() });
    }
}

/// KEYS: locks. ARGV: token, milliseconds. How many locks there are, or 0 if somebody has one of them.
fn set_all_if_absent<'a>(call: Call<'a>, pass: &mut Pass<'a, '_, '_>) {
    if call.keys == 0 || call.keys().any(|key| pass.peek(key, |_| ()).is_some()) {
        return integer(0, pass);
    }
    let expiry = match expiry::positive(call.arg(1), Unit::Millis, pass.now()) {
        Ok(expiry) => expiry,
        Err(fault) => return fault.answer(pass, "set"),
    };
    let token = call.arg(0);
    match write_all(call.keys().map(|key| (key, token)), expiry, pass) {
        Ok(()) => integer(call.keys as i64, pass),
        Err(error) => reply::refuse(pass, error),
    }
}

/// KEYS: locks. ARGV: token, milliseconds. How many locks last so long from now on: all, or 0 if one is not ours.
fn expire_all_if_equal<'a>(call: Call<'a>, pass: &mut Pass<'a, '_, '_>) {
    let token = call.arg(0);
    if call.keys == 0 || !call.keys().all(|key| holds(key, token, pass) == Some(true)) {
        return integer(0, pass);
    }
    match expiry::positive(call.arg(1), Unit::Millis, pass.now()) {
        Ok(expiry) => on_all(call.keys(), || Action::Touch(expiry, TouchCondition::Always), pass),
        Err(fault) => fault.answer(pass, "set"),
    }
}

/// KEYS: locks. ARGV: token. How many were ours, and are released.
fn delete_those_equal<'a>(call: Call<'a>, pass: &mut Pass<'a, '_, '_>) {
    let token = call.arg(0);
    let ours: Vec<_> = call.keys().filter(|key| holds(key, token, pass) == Some(true)).collect();
    on_all(ours.into_iter(), || Action::Delete(Condition::Always), pass);
}

/// KEYS: item. Its value, or nil, and the milliseconds that it has left, as PTTL tells them.
fn value_and_time_left<'a>(call: Call<'a>, pass: &mut Pass<'a, '_, '_>) {
    let key = call.key();
    write::array(pass.direct(), 2);
    pass.op(Op::get(key), Reply::Value);
    pass.op(Op { key, action: Action::Peek }, Reply::About(Kind::Pttl));
}

/// KEYS: counter. ARGV: number. The sum, or nil if there is no counter.
fn count_if_present<'a>(call: Call<'a>, pass: &mut Pass<'a, '_, '_>) {
    if pass.peek(call.key(), |_| ()).is_none() {
        return nil(pass);
    }
    match parse_i64(call.arg(0)) {
        Some(delta) => strings::count(pass, call.key(), delta),
        None => pass.not_an_integer(),
    }
}

/// Adds to a counter at once, and gives the sum.
fn add_to(key: &[u8], delta: i64, pass: &mut Pass<'_, '_, '_>) -> Result<i64, StoreError> {
    pass.note_write();
    let key = pass.place().stored(key);
    let count = Count { delta: Delta::Signed(delta), initial: Some(i128::from(delta)), expiry: Expiry::Keep };
    pass.executor.apply(&Op { key: &key, action: Action::Count(count) }, |outcome| match outcome {
        Outcome::Number(sum) => i64::try_from(sum).map_err(|_| StoreError::Overflow),
        Outcome::Refused(error) => Err(error),
        _ => Err(StoreError::NotANumber),
    })
}

/// Lets what is there expire, at once.
fn expire_at(key: &[u8], expiry: Expiry, pass: &mut Pass<'_, '_, '_>) {
    let key = pass.place().stored(key);
    pass.executor.apply(&Op { key: &key, action: Action::Touch(expiry, TouchCondition::Always) }, |_| ());
}

/// The answer of a counter that expires.
fn sum_and_time_left(sum: i64, left: i64, pass: &mut Pass<'_, '_, '_>) {
    write::array(pass.direct(), 2);
    integer(sum, pass);
    integer(left, pass);
}

/// KEYS: counter. ARGV: seconds, points. Adds the points, and answers with the sum; a counter that has no more lasts so
/// long.
fn count_and_expire<'a>(call: Call<'a>, pass: &mut Pass<'a, '_, '_>) {
    let Some(points) = parse_i64(call.arg(1)) else { return pass.not_an_integer() };
    let sum = match add_to(call.key(), points, pass) {
        Ok(sum) => sum,
        Err(error) => return reply::refuse(pass, error),
    };
    if sum == points {
        match expiry::moment(call.arg(0), Unit::Seconds, pass.now()) {
            Ok(expiry) => expire_at(call.key(), expiry, pass),
            Err(fault) => return fault.answer(pass, "expire"),
        }
    }
    integer(sum, pass);
}

/// KEYS: counter. ARGV: milliseconds of a window. Counts one more, from 1 on in a window that begins now if there is none.
fn count_in_window<'a>(call: Call<'a>, pass: &mut Pass<'a, '_, '_>) {
    let key = call.key();
    let counted = if let Some(left) = left(key, pass) {
        add_to(key, 1, pass).map(|sum| (sum, left))
    } else {
        match expiry::positive(call.arg(0), Unit::Millis, pass.now()) {
            Ok(expiry) => change(key, pass, |_| Change::Write(b"1".into(), expiry))
                .map(|()| (1, parse_i64(call.arg(0)).unwrap_or_default())),
            Err(fault) => return fault.answer(pass, "set"),
        }
    };
    match counted {
        Ok((sum, left)) => sum_and_time_left(sum, left, pass),
        Err(error) => reply::refuse(pass, error),
    }
}

/// KEYS: counter. ARGV: points, seconds. Adds the points, to a counter that lasts so long if there was none, or one
/// without an end.
fn count_points<'a>(call: Call<'a>, pass: &mut Pass<'a, '_, '_>) {
    let key = call.key();
    let (points, seconds) = (call.arg(0), call.arg(1));
    let expiry = match expiry::positive(seconds, Unit::Seconds, pass.now()) {
        Ok(expiry) => expiry,
        Err(fault) => return fault.answer(pass, "set"),
    };
    let Some(points) = parse_i64(points) else { return pass.not_an_integer() };
    let left = left(key, pass);
    match add_to(key, points, pass) {
        Err(error) => reply::refuse(pass, error),
        Ok(sum) => {
            let left = left.unwrap_or_else(|| {
                expire_at(key, expiry, pass);
                parse_i64(seconds).unwrap_or_default().saturating_mul(1000)
            });
            sum_and_time_left(sum, left, pass);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_found_by_their_sha1_in_any_case() {
        for script in &SCRIPTS {
            assert!(
                script.sha1.len() == 40
                    && script.sha1.bytes().all(|digit| b"0123456789abcdef".contains(&digit))
            );
            for sha1 in [script.sha1.to_owned(), script.sha1.to_uppercase()] {
                assert_eq!(known(sha1.as_bytes()).map(|found| found.sha1), Some(script.sha1), "named once");
            }
        }
        assert!(known(b"").is_none() && known(&[b'a'; 40]).is_none());
    }

    #[test]
    fn texts_are_found_by_their_sha1() {
        assert!(known_text(b"return 1").is_none() && known_text(&vec![b' '; TEXT_LEN_MAX + 1]).is_none());
    }
}
