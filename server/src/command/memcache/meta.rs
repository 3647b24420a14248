//! memcached's meta commands.
//!
//! Most of them are one operation. What the answer repeats of a request (its key, its flags in their order) is noted beside
//! the answers, and the operation itself tells the rest: `Note` is where. What is no operation of the engine (`ma` with
//! conditions or with an exptime of its own, `ms` that appends and creates) reads, and then writes, alone.
//!
//! What the engine does not know is answered as far as it does: `h` is 1 for an item that it counts as used, `l` and `la`
//! are 0, and there is one slab class.

use crabcache_engine::{
    Action, Condition, Count, Delta, End, Expiry, Invalidate, Lease, Millis, Op, Outcome, Put, Recache,
    StoreError, Value,
};
use crabcache_protocol::memcache::{Flags, KEY_LEN_MAX, Meta, Options, Verb, base64, write};
use crabcache_protocol::number;

use super::{AnyReply, Reply, expiry, forget, is_too_large};
use crate::large_values::LargeValues;
use crate::reactor::answers::Answers;
use crate::reactor::batch::Pass;

/// Where a request is noted: key, a blank, flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    verb: Verb,
    /// In [`Answers::notes`].
    start: u32,
    key_len: u8,
    flags_len: u16,
    /// The key is in base64.
    binary: bool,
    /// `q`, `v`
    quiet: bool,
    value: bool,
    /// `C`
    has_cas: bool,
}

/// Answers a meta command, or makes an operation of it.
pub(crate) fn serve<'a>(meta: &Meta<'a>, pass: &mut Pass<'a, '_, '_>) {
    if meta.verb == Verb::NoOp {
        pass.direct().extend_from_slice(b"MN\r\n");
    } else if meta.options.binary {
        let mut place = [0; KEY_LEN_MAX];
        let key = binary_key(meta, &mut place);
        pass.aside(|aside| carry_out(key, meta, aside));
    } else {
        carry_out(meta.key, meta, pass);
    }
}

/// Whether the value that it asks for is too much to be answered while memory is as short as it is.
pub(crate) fn is_too_much(meta: &Meta<'_>, pass: &mut Pass<'_, '_, '_>) -> bool {
    let mut place = [0; KEY_LEN_MAX];
    let key = if meta.options.binary { binary_key(meta, &mut place) } else { meta.key };
    meta.verb == Verb::Get && meta.options.value && pass.is_too_much(std::iter::once(key))
}

/// A key that was sent in base64: the parser has tried it.
fn binary_key<'b>(meta: &Meta<'_>, place: &'b mut [u8; KEY_LEN_MAX]) -> &'b [u8] {
    base64::decode(meta.key, place).unwrap_or_default()
}

fn carry_out<'a>(key: &'a [u8], meta: &Meta<'a>, pass: &mut Pass<'a, '_, '_>) {
    if meta.value.len() > LargeValues::FROM {
        pass.note_large(meta.value.len());
    }
    if meta.verb == Verb::Set && is_too_large(key, meta.value, pass) {
        forget(key, pass);
    }
    let note = AnyReply::Memcache(Reply::Meta(note(meta, pass)));
    let action = if tells_of_new(key, meta, pass) { None } else { action(meta, pass) };
    match action {
        Some(action) => pass.push(Op { key, action }, note),
        None => pass.alone(|pass| read_and_write(key, meta, note, pass)),
    }
}

/// Whether a counter is made of nothing, which is told to those, too, that do not want to hear of what was expected.
fn tells_of_new(key: &[u8], meta: &Meta<'_>, pass: &mut Pass<'_, '_, '_>) -> bool {
    let Options { quiet, vivify, .. } = meta.options;
    if meta.verb != Verb::Arithmetic || !quiet || vivify.is_none() {
        return false;
    }
    pass.run();
    pass.peek(key, |_| ()).is_none()
}

fn note(meta: &Meta<'_>, pass: &mut Pass<'_, '_, '_>) -> Note {
    let notes = &mut pass.executor.answers.notes;
    let start = notes.len() as u32;
    let flags = meta.flags.text();
    notes.extend_from_slice(meta.key);
    notes.extend_from_slice(flags);
    let Options { binary, quiet, value, cas, .. } = meta.options;
    Note {
        verb: meta.verb,
        start,
        key_len: meta.key.len() as u8,
        flags_len: flags.len() as u16,
        binary,
        quiet,
        value,
        has_cas: cas.is_some(),
    }
}

/// The operation that a command is, if it is one.
fn action<'a>(meta: &Meta<'a>, pass: &Pass<'_, '_, '_>) -> Option<Action<'a>> {
    let Options { cas, new_cas, .. } = meta.options;
    let now = pass.now();
    Some(match meta.verb {
        Verb::Get => Action::Lease(lease(&meta.options, pass)),
        Verb::Debug | Verb::NoOp => Action::Peek,
        Verb::Set => return set(meta, pass),
        Verb::Delete if meta.options.invalidate || meta.options.remove_value => {
            Action::Invalidate(invalidate(&meta.options, pass))
        }
        Verb::Delete => Action::Delete(cas.map_or(Condition::Always, Condition::Version)),
        Verb::Arithmetic => {
            let Options { vivify, exptime, wants_cas, wants_ttl, initial, .. } = meta.options;
            // A new item that never expires, and an old one that keeps its expiry, are the same thing to say.
            let one_expiry = vivify.is_none() || vivify == Some(0) && exptime.is_none();
            if cas.is_some() || new_cas.is_some() || wants_cas || wants_ttl || !one_expiry {
                return None;
            }
            Action::Count(Count {
                delta: delta(&meta.options),
                initial: vivify.map(|_| i128::from(initial)),
                expiry: exptime.map_or(Expiry::Keep, |exptime| expiry(exptime, now)),
            })
        }
    })
}

fn delta(options: &Options) -> Delta {
    let delta = options.delta.unwrap_or(1);
    if let Some(b'D' | b'-') = options.mode { Delta::Down(delta) } else { Delta::Up(delta) }
}

fn lease(options: &Options, pass: &Pass<'_, '_, '_>) -> Lease {
    let now = pass.now();
    let moment = |exptime| match expiry(exptime, now) {
        Expiry::At(at) => at,
        Expiry::Never | Expiry::Keep => Millis(u64::MAX),
    };
    // Of two moments for a new item, the one that was sent last.
    let vivify = options.vivify.map(|vivify| match options.exptime {
        Some(exptime) if !options.touch_before_vivify => exptime,
        _ => vivify,
    });
    Lease {
        vivify: vivify.map_or(Millis(0), moment),
        version: match (vivify, options.new_cas) {
            (None, _) => 0,
            (Some(_), Some(version)) => version,
            (Some(_), None) => pass.shared().new_version(),
        },
        recache: options.recache.filter(|&recache| recache != 0).map_or(Millis(0), moment),
        until: Millis(u64::MAX),
        touch: options.exptime.map_or(Expiry::Keep, |exptime| expiry(exptime, now)),
        touch_first: options.touch_first,
        peek: options.no_update,
    }
}

fn invalidate(options: &Options, pass: &Pass<'_, '_, '_>) -> Invalidate {
    let &Options { invalidate, remove_value, client_flags, exptime, cas, new_cas, .. } = options;
    let kept = if remove_value { Expiry::Never } else { Expiry::Keep };
    let fresh = || if invalidate { pass.shared().new_version() } else { 0 };
    Invalidate {
        stale: invalidate,
        clear: remove_value.then_some(client_flags),
        expiry: exptime.map_or(kept, |exptime| expiry(exptime, pass.now())),
        condition: cas.map_or(Condition::Always, Condition::Version),
        version: new_cas.unwrap_or_else(fresh),
    }
}

fn set<'a>(meta: &Meta<'a>, pass: &Pass<'_, '_, '_>) -> Option<Action<'a>> {
    let &Options { mode, cas, new_cas, wants_cas, wants_len, client_flags, .. } = &meta.options;
    let value = meta.value;
    let condition = match (mode, cas) {
        (Some(mode @ (b'A' | b'P')), _) => {
            if cas.is_some() || new_cas.is_some() || wants_cas || wants_len || meta.options.vivify.is_some() {
                return None;
            }
            let end = if mode == b'A' { End::Back } else { End::Front };
            return Some(Action::Concat { bytes: value, end, create: false });
        }
        (Some(b'E'), _) => Condition::Absent,
        (_, Some(cas)) => Condition::Version(cas),
        (Some(b'R'), None) => Condition::Present,
        _ => Condition::Always,
    };
    let expiry = expiry(meta.options.exptime.unwrap_or(0), pass.now());
    let or_stale = meta.options.invalidate && matches!(condition, Condition::Version(_));
    if wants_cas || new_cas.is_some() || or_stale {
        let version = new_cas.unwrap_or_else(|| pass.shared().new_version());
        let recache = Recache { value, flags: client_flags, expiry, condition, version, or_stale };
        return Some(Action::Recache(recache));
    }
    Some(Action::Put(Put { value, flags: client_flags, expiry, condition }))
}

/// What there is under a key.
struct Found {
    value: Vec<u8>,
    flags: u32,
    expires: Option<Millis>,
    version: u64,
}

/// Carries out a command that is no operation. No other worker writes meanwhile.
fn read_and_write<'a>(key: &'a [u8], meta: &Meta<'a>, note: AnyReply, pass: &mut Pass<'a, '_, '_>) {
    let options = &meta.options;
    let found = pass.peek(key, |value| Found {
        value: value.bytes().to_vec(),
        flags: value.flags(),
        expires: value.expires(),
        version: value.version(),
    });
    if let Some(found) = &found {
        // It was copied, into new memory.
        pass.executor.note_work(found.value.len() / 2);
    }
    let matches = |found: &Found| options.cas.is_none_or(|cas| cas == found.version);
    let vivify = options.vivify.map(|exptime| expiry(exptime, pass.now()));
    let touch = options.exptime.map(|exptime| expiry(exptime, pass.now()));
    let arithmetic = meta.verb == Verb::Arithmetic;
    // Nothing to be written: a write whose condition fails answers what has to be answered.
    let mut condition = Condition::Always;
    let mut value = Vec::new();
    let (flags, expires) = match &found {
        Some(found) if !matches(found) => {
            condition = Condition::Absent;
            (0, Expiry::Never)
        }
        Some(found) if arithmetic => {
            let Ok(number) = delta(options).apply(&found.value) else {
                pass.direct().extend_from_slice(write::NON_NUMERIC);
                pass.executor.answers.errors += 1;
                return;
            };
            number::write_u64(&mut value, number as u64);
            (found.flags, touch.unwrap_or_else(|| found.expires.map_or(Expiry::Never, Expiry::At)))
        }
        Some(found) => {
            let [front, back] = if options.mode == Some(b'A') {
                [&found.value[..], meta.value]
            } else {
                [meta.value, &found.value[..]]
            };
            value = [front, back].concat();
            (found.flags, found.expires.map_or(Expiry::Never, Expiry::At))
        }
        None => {
            let Some(expires) = vivify else {
                condition = Condition::Present;
                return push_aside(key, Recache { condition, ..Recache::default() }, note, pass);
            };
            if arithmetic {
                condition = Condition::Absent;
                number::write_u64(&mut value, options.initial);
                let touched = touch.filter(|_| !options.touch_before_vivify);
                (0, touched.unwrap_or(expires))
            } else {
                value.extend_from_slice(meta.value);
                (options.client_flags, expires)
            }
        }
    };
    let version = match options.new_cas {
        Some(version) => version,
        None if options.wants_cas => pass.shared().new_version(),
        None => 0,
    };
    let recache = Recache { value: &value, flags, expiry: expires, condition, version, or_stale: false };
    push_aside(key, recache, note, pass);
}

fn push_aside(key: &[u8], recache: Recache<'_>, note: AnyReply, pass: &mut Pass<'_, '_, '_>) {
    pass.aside(|aside| aside.push(Op { key, action: Action::Recache(recache) }, note));
}

/// The key and the flags that the answer repeats.
fn noted(notes: &[u8], note: Note) -> (&[u8], &[u8]) {
    notes[note.start as usize..][..usize::from(note.key_len) + usize::from(note.flags_len)]
        .split_at(usize::from(note.key_len))
}

/// Whether the version of a value is answered, or compared with a client's.
pub(crate) fn tells_version(notes: &[u8], note: Note) -> bool {
    let (_, flags) = noted(notes, note);
    note.verb == Verb::Debug || Flags::new(flags).into_iter().any(|(letter, _)| matches!(letter, b'c' | b'C'))
}

/// Writes the answer.
pub(crate) fn answer(to: &mut Answers<'_>, note: Note, op: &Op<'_>, outcome: Outcome<'_>, too_much: bool) {
    if let Outcome::Refused(error) = outcome
        && note.verb != Verb::Get
    {
        return refuse(&mut to.out, note, error);
    }
    let Answers { out, notes, now, .. } = to;
    let (key, flags) = noted(notes, note);
    let seen = Seen { note, key, flags: Flags::new(flags), now: *now };
    match note.verb {
        // As with `get`, a value that there is no memory for counts as evicted; but a lease that was won is told.
        Verb::Get if too_much && !matches!(outcome, Outcome::Won { .. }) => {
            to.errors += 1;
            seen.expected(out, "EN");
        }
        Verb::Get => seen.got(out, op, outcome, too_much),
        Verb::Debug | Verb::NoOp => seen.debug(out, outcome),
        Verb::Arithmetic => seen.counted(out, op, outcome),
        Verb::Set => seen.set(out, op, outcome),
        Verb::Delete => match outcome {
            Outcome::Removed(_) | Outcome::Touched(_) => seen.expected(out, "HD"),
            Outcome::NotStored { .. } => seen.short(out, "EX"),
            _ => seen.short(out, "NF"),
        },
    }
}

fn refuse(out: &mut Vec<u8>, note: Note, error: StoreError) {
    match error {
        StoreError::NotANumber => out.extend_from_slice(write::NON_NUMERIC),
        StoreError::TooLarge { .. } => write::server_error(out, "object too large for cache"),
        StoreError::Pressure | StoreError::NoPlace if note.verb == Verb::Arithmetic => {
            write::server_error(out, "out of memory");
        }
        StoreError::Pressure | StoreError::NoPlace => out.extend_from_slice(write::OUT_OF_MEMORY),
        error => write::server_error(out, &error.to_string()),
    }
}

/// A request as its answer sees it.
struct Seen<'n> {
    note: Note,
    key: &'n [u8],
    flags: Flags<'n>,
    now: Millis,
}

impl Seen<'_> {
    /// A code, the opaque token and the key.
    fn short(&self, out: &mut Vec<u8>, code: &str) {
        self.line(out, code, |_, _, _| {});
    }

    /// The same, unless it is what was expected and the client does not want to hear that.
    fn expected(&self, out: &mut Vec<u8>, code: &str) {
        if !self.note.quiet {
            self.short(out, code);
        }
    }

    /// A code and what the flags ask for; `more` knows what to say to those that are not the same for all commands.
    fn line(&self, out: &mut Vec<u8>, code: &str, more: impl Fn(&mut Vec<u8>, u8, &[u8])) {
        out.extend_from_slice(code.as_bytes());
        self.flags(out, more);
        out.extend_from_slice(b"\r\n");
    }

    fn flags(&self, out: &mut Vec<u8>, more: impl Fn(&mut Vec<u8>, u8, &[u8])) {
        for (letter, token) in self.flags {
            match letter {
                b'O' => {
                    out.extend_from_slice(b" O");
                    out.extend_from_slice(token);
                }
                b'k' => {
                    out.extend_from_slice(b" k");
                    out.extend_from_slice(self.key);
                    if self.note.binary {
                        out.extend_from_slice(b" b");
                    }
                }
                _ => more(out, letter, token),
            }
        }
    }

    /// Seconds left, or -1.
    fn ttl(&self, out: &mut Vec<u8>, expires: Option<Millis>) {
        match expires {
            Some(Millis(u64::MAX)) | None => out.extend_from_slice(b" t-1"),
            Some(at) => token(out, b't', at.0.saturating_sub(self.now.0).div_ceil(1000)),
        }
    }

    fn got(&self, out: &mut Vec<u8>, op: &Op<'_>, outcome: Outcome<'_>, too_much: bool) {
        let Action::Lease(lease) = op.action else { return };
        let (value, won) = match outcome {
            Outcome::Hit(value) => (Some(value), false),
            Outcome::Won { value } => (value, true),
            _ if self.note.quiet => return,
            _ => return self.short(out, "EN"),
        };
        let bytes = value.map_or(&[][..], |value| value.bytes());
        let placeholder = value.filter(|value| value.is_placeholder(self.now));
        let version = || value.map_or(lease.version, |value| value.version());
        // `C` keeps a value back that the client knows.
        let cas = self.flags.into_iter().find(|(letter, _)| *letter == b'C').map(|(_, token)| token);
        let known = cas.and_then(number::parse_u64_lenient).is_some_and(|cas| cas == version());
        let with_value = self.note.value && !known && !too_much;
        if with_value {
            out.extend_from_slice(b"VA ");
            number::write_u64(out, bytes.len() as u64);
        } else {
            out.extend_from_slice(b"HD");
        }
        let touched = std::cell::Cell::new(false);
        self.flags(out, |out, letter, _| match letter {
            b's' => token(out, b's', bytes.len() as u64),
            b'f' => token(out, b'f', value.map_or(0, |value| u64::from(value.flags()))),
            b'c' => token(out, b'c', version()),
            b'l' => token(out, b'l', 0),
            b'h' => token(out, b'h', u64::from(value.is_some_and(|value| value.is_used()))),
            b'T' => touched.set(true),
            b't' => {
                let expires = match (value, placeholder) {
                    (None, _) => Some(lease.vivify),
                    (_, Some(placeholder)) => placeholder.leased_until(self.now),
                    (Some(value), None) => match lease.touch {
                        Expiry::At(at) if touched.get() => Some(at),
                        Expiry::Never if touched.get() => None,
                        _ => value.expires(),
                    },
                };
                self.ttl(out, expires);
            }
            _ => {}
        });
        if value.is_some_and(|value| value.leased_until(self.now).is_some()) {
            out.extend_from_slice(b" Z");
        }
        if value.is_some_and(|value| value.is_stale()) {
            out.extend_from_slice(b" X");
        }
        if won {
            out.extend_from_slice(b" W");
        }
        out.extend_from_slice(b"\r\n");
        if with_value {
            out.extend_from_slice(bytes);
            out.extend_from_slice(b"\r\n");
        }
    }

    fn set(&self, out: &mut Vec<u8>, op: &Op<'_>, outcome: Outcome<'_>) {
        let (code, stored) = match outcome {
            Outcome::Stored { .. } | Outcome::Length(_) => ("HD", true),
            Outcome::NotStored { found: Some(_) } if self.note.has_cas => ("EX", false),
            Outcome::NotStored { found: None } if self.note.has_cas && !self.concatenates() => ("NF", false),
            _ => ("NS", false),
        };
        if stored && self.note.quiet {
            return;
        }
        self.line(out, code, |out, letter, _| match (letter, op.action) {
            (b'c', Action::Recache(recache)) if stored => token(out, b'c', recache.version),
            (b'c', _) => token(out, b'c', 0),
            (b's', Action::Recache(Recache { value, .. }) | Action::Put(Put { value, .. })) => {
                token(out, b's', value.len() as u64);
            }
            _ => {}
        });
    }

    fn concatenates(&self) -> bool {
        self.flags.into_iter().any(|(letter, token)| letter == b'M' && matches!(token, b"A" | b"P"))
    }

    fn counted(&self, out: &mut Vec<u8>, op: &Op<'_>, outcome: Outcome<'_>) {
        let mut digits = Vec::new();
        match (op.action, outcome) {
            (_, Outcome::Number(number)) => number::write_u64(&mut digits, number as u64),
            (Action::Recache(recache), Outcome::Stored { .. }) => digits.extend_from_slice(recache.value),
            (_, Outcome::NotStored { found: Some(_) }) => return self.short(out, "EX"),
            _ => return self.short(out, "NF"),
        }
        let new = matches!(op.action, Action::Recache(Recache { condition: Condition::Absent, .. }));
        if self.note.quiet && !new {
            return;
        }
        if self.note.value {
            out.extend_from_slice(b"VA ");
            number::write_u64(out, digits.len() as u64);
        } else {
            out.extend_from_slice(b"HD");
        }
        self.flags(out, |out, letter, _| match (letter, op.action) {
            (b'c', Action::Recache(recache)) => token(out, b'c', recache.version),
            (b't', Action::Recache(Recache { expiry: Expiry::At(at), .. })) => self.ttl(out, Some(at)),
            (b't', _) => self.ttl(out, None),
            _ => {}
        });
        out.extend_from_slice(b"\r\n");
        if self.note.value {
            out.extend_from_slice(&digits);
            out.extend_from_slice(b"\r\n");
        }
    }

    fn debug(&self, out: &mut Vec<u8>, outcome: Outcome<'_>) {
        let Outcome::Hit(value) = outcome else {
            return out.extend_from_slice(b"EN\r\n");
        };
        out.extend_from_slice(b"ME ");
        out.extend_from_slice(self.key);
        out.extend_from_slice(describe(&value, self.now).as_bytes());
    }
}

/// What `me` tells of an item, in the form of later versions than 1.6.18: `exp` is the seconds that are left.
fn describe(value: &Value<'_>, now: Millis) -> String {
    let left = value.expires().map(|at| at.0.saturating_sub(now.0).div_ceil(1000));
    let exp = left.map_or("-1".to_owned(), |left| left.to_string());
    let fetched = if value.is_used() { "yes" } else { "no" };
    format!(" exp={exp} la=0 cas={} fetch={fetched} cls=1 size={}\r\n", value.version(), value.item_bytes())
}

fn token(out: &mut Vec<u8>, letter: u8, number: u64) {
    out.extend_from_slice(&[b' ', letter]);
    number::write_u64(out, number);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wants_to_hear_of_no_miss_hears_of_none_for_want_of_memory() {
        for (quiet, expected) in [(false, &b"EN\r\n"[..]), (true, b"")] {
            let large = LargeValues::default();
            let mut answers = Answers::new(&large);
            answers.notes.push(b'k');
            let note = Note {
                verb: Verb::Get,
                start: 0,
                key_len: 1,
                flags_len: 0,
                binary: false,
                quiet,
                value: true,
                has_cas: false,
            };
            answer(&mut answers, note, &Op::get(b"k"), Outcome::Miss, true);
            assert_eq!((answers.out.as_slice(), answers.errors), (expected, 1));
        }
    }
}
