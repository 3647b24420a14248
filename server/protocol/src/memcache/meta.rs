//! The meta commands: two letters, a key, and flags of one letter, some with a token behind it.
//!
//! ```text
//! mg <key> <flag>*\r\n                        get      md: delete, ma: arithmetic, me: debug, mn: nothing
//! ms <key> <bytes> <flag>*\r\n<value>\r\n     set
//! ```
//! The answer repeats some flags in the order in which they were sent, so the flags are kept as they stand in the line,
//! beside what they mean. `E`, `x`, and `C` of `mg` are those of later versions than 1.6.18.

use super::line::{self, WordsIter};
use super::{KEY_LEN_MAX, Refusal, Refused, Request, base64};
use crate::{Limits, Parsed, number};

/// A meta command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta<'a> {
    /// Which.
    pub verb: Verb,
    /// The key as it was sent: in base64 if [`Options::binary`] says so. Empty for `mn`.
    pub key: &'a [u8],
    /// The flags as they were sent.
    pub flags: Flags<'a>,
    /// What they mean.
    pub options: Options,
    /// The value of `ms`.
    pub value: &'a [u8],
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `mg`
    Get,
    /// `ms`
    Set,
    /// `md`
    Delete,
    /// `ma`
    Arithmetic,
    /// `me`
    Debug,
    /// `mn`
    NoOp,
}

/// What the flags mean, all commands together; those of other commands are read and ignored, as memcached does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `b`: the key is in base64.
    pub binary: bool,
    /// `q`: do not answer the expected.
    pub quiet: bool,
    /// `v`: answer the value.
    pub value: bool,
    /// `u`: do not count this as a use.
    pub no_update: bool,
    /// `I`: mark as stale.
    pub invalidate: bool,
    /// `x`: leave an empty value.
    pub remove_value: bool,
    /// `c`: answer the cas unique.
    pub wants_cas: bool,
    /// `t`: answer the seconds that are left.
    pub wants_ttl: bool,
    /// `s`: answer the length.
    pub wants_len: bool,
    /// `T` came before `R`.
    pub touch_first: bool,
    /// `T` came before `N`.
    pub touch_before_vivify: bool,
    /// `M`: the mode's letter.
    pub mode: Option<u8>,
    /// `F`: the client's own number.
    pub client_flags: u32,
    /// `N`: create what is absent, with this exptime.
    pub vivify: Option<i64>,
    /// `R`: who finds less than this left is to store anew.
    pub recache: Option<i64>,
    /// `T`: the new exptime.
    pub exptime: Option<i64>,
    /// `C`: only if the item has this cas unique.
    pub cas: Option<u64>,
    /// `E`: the cas unique that the item gets.
    pub new_cas: Option<u64>,
    /// `D`: what `ma` adds or subtracts.
    pub delta: Option<u64>,
    /// `J`: what `ma` creates.
    pub initial: u64,
}

/// The flags of a command, as they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags<'a> {
    text: &'a [u8],
}

impl<'a> Flags<'a> {
    /// Those of a text that came from [`Flags::text`].
    #[must_use]
    pub fn new(text: &'a [u8]) -> Self {
        Self { text }
    }

    /// As they stand in the line.
    #[must_use]
    pub fn text(self) -> &'a [u8] {
        self.text
    }
}

impl<'a> IntoIterator for Flags<'a> {
    /// The letter, and what stands behind it.
    type Item = (u8, &'a [u8]);
    type IntoIter = FlagsIter<'a>;

    fn into_iter(self) -> FlagsIter<'a> {
        FlagsIter(WordsIter::new(self.text))
    }
}

/// Iterator over [`Flags`].
#[derive(Clone, Debug)]
pub struct FlagsIter<'a>(WordsIter<'a>);

impl<'a> Iterator for FlagsIter<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (letter, token) = self.0.next()?.split_first()?;
        Some((*letter, token))
    }
}

/// Most flags of a command: memcached counts 20 words, the two of the command and one behind the last among them.
const FLAGS_MAX: usize = 17;
/// Longest token of `O`, in bytes.
const OPAQUE_LEN_MAX: usize = 31;

/// The command of these two letters.
pub(super) fn verb(word: &[u8]) -> Option<Verb> {
    Some(match word {
        b"mg" => Verb::Get,
        b"ms" => Verb::Set,
        b"md" => Verb::Delete,
        b"ma" => Verb::Arithmetic,
        b"me" => Verb::Debug,
        b"mn" => Verb::NoOp,
        _ => return None,
    })
}

/// Reads what follows the verb; for `ms`, the value behind the line.
pub(super) fn parse<'a>(
    verb: Verb,
    text: &'a [u8],
    input: &'a [u8],
    line_len: usize,
    limits: &Limits,
) -> Parsed<Request<'a>> {
    let refused = |refusal, skip| {
        let refused = Refused { refusal, noreply: false, skip, stale_key: None, binary: false };
        Parsed::Complete { value: Request::Refused(refused), consumed: line_len }
    };
    let (key, rest) = line::split_word(text);
    if verb == Verb::NoOp {
        let value = Request::Meta(Meta {
            verb,
            key: b"",
            flags: Flags { text: b"" },
            options: Options::default(),
            value: b"",
        });
        return Parsed::Complete { value, consumed: line_len };
    }
    if key.is_empty() {
        let refusal = if verb == Verb::Debug { Refusal::BadFormat } else { Refusal::UnknownCommand };
        return refused(refusal, 0);
    }
    let (len, rest) = if verb == Verb::Set { line::split_word(rest) } else { (&b"0"[..], rest) };
    // Any length up to memcached's can be skipped; after anything else nobody knows where the value ends.
    let len = number::parse_u64_lenient(len).filter(|&len| len <= i32::MAX as u64 - 2);
    let (Some(len), true) = (len, line::is_key(key, limits)) else {
        let skip = len.filter(|_| verb == Verb::Set).map_or(0, |len| len + 2);
        return refused(Refusal::BadFormat, skip);
    };
    let skip = if verb == Verb::Set { len + 2 } else { 0 };
    let options = match options(verb, key, rest) {
        Ok(options) => options,
        Err(refusal) => return refused(refusal, skip),
    };
    let mut meta = Meta { verb, key, flags: Flags { text: rest }, options, value: b"" };
    if verb != Verb::Set {
        return Parsed::Complete { value: Request::Meta(meta), consumed: line_len };
    }
    let Some(len) = usize::try_from(len).ok().filter(|&len| len <= limits.value_len_max) else {
        let refused = Refused {
            refusal: Refusal::TooLarge,
            noreply: false,
            skip,
            stale_key: Some(key),
            binary: options.binary,
        };
        return Parsed::Complete { value: Request::Refused(refused), consumed: line_len };
    };
    let end = line_len + len;
    match input.get(end..end + 2) {
        None => Parsed::Incomplete { at_least: end + 2 },
        Some(b"\r\n") => {
            meta.value = &input[line_len..end];
            Parsed::Complete { value: Request::Meta(meta), consumed: end + 2 }
        }
        Some(_) => {
            let refused = Refused {
                refusal: Refusal::BadDataChunk,
                noreply: false,
                skip: 0,
                stale_key: None,
                binary: false,
            };
            Parsed::Complete { value: Request::Refused(refused), consumed: end + 2 }
        }
    }
}

/// What the flags mean. Of several errors the last one is told, but an unknown letter or one that comes twice at once.
fn options(verb: Verb, key: &[u8], text: &[u8]) -> Result<Options, Refusal> {
    if verb == Verb::Debug {
        // Only `b` is looked at, and only in the first place.
        let binary = line::split_word(text).0 == b"b";
        let known = !binary || base64::decode(key, &mut [0; KEY_LEN_MAX]).is_some();
        return if known { Ok(Options { binary, ..Options::default() }) } else { Err(Refusal::BadFormat) };
    }
    let flags = Flags { text };
    let one_text_for_all = matches!(verb, Verb::Delete | Verb::Arithmetic);
    if flags.into_iter().count() > FLAGS_MAX - usize::from(verb == Verb::Set) {
        return Err(if verb == Verb::Get { Refusal::FlagsAreTooLong } else { Refusal::FlagsTooLong });
    }
    let mut options = Options::default();
    let (mut seen, mut error) = (0_u128, None);
    for (letter, token) in flags {
        let bit = if letter < 127 { 1 << letter } else { seen };
        if letter >= 127 || seen & bit != 0 {
            return Err(if one_text_for_all {
                Refusal::InvalidOrDuplicateFlag
            } else {
                Refusal::DuplicateFlag
            });
        }
        seen |= bit;
        match flag(&mut options, verb, key, letter, token) {
            Ok(()) => {}
            Err(_) if one_text_for_all => return Err(Refusal::InvalidOrDuplicateFlag),
            Err(Refusal::InvalidFlag) => return Err(Refusal::InvalidFlag),
            Err(refusal) => error = Some(refusal),
        }
    }
    if let Some(error) = error {
        return Err(error);
    }
    let too_long = flags.into_iter().any(|(letter, token)| letter == b'O' && token.len() > OPAQUE_LEN_MAX);
    if too_long {
        return Err(Refusal::OpaqueTooLong);
    }
    match (verb, options.mode) {
        (Verb::Set, Some(mode)) if !b"EAPRS".contains(&mode) => Err(Refusal::InvalidSetMode),
        (Verb::Arithmetic, Some(mode)) if !b"I+D-".contains(&mode) => Err(Refusal::InvalidArithmeticMode),
        _ => Ok(options),
    }
}

/// Takes one flag over.
fn flag(options: &mut Options, verb: Verb, key: &[u8], letter: u8, token: &[u8]) -> Result<(), Refusal> {
    let exptime = || {
        let exptime = number::parse_i64_lenient(token).filter(|&exptime| i32::try_from(exptime).is_ok());
        exptime.map(Some).ok_or(Refusal::BadToken)
    };
    let unsigned = |refusal| number::parse_u64_lenient(token).ok_or(refusal);
    match letter {
        b'b' => {
            options.binary = true;
            if base64::decode(key, &mut [0; KEY_LEN_MAX]).is_none() {
                return Err(Refusal::BadBase64);
            }
        }
        b'N' => {
            options.vivify = exptime()?;
            options.touch_before_vivify = options.exptime.is_some();
        }
        b'T' => options.exptime = exptime()?,
        b'R' => {
            options.recache = exptime()?;
            options.touch_first = options.exptime.is_some();
        }
        b'c' => options.wants_cas = true,
        b't' => options.wants_ttl = true,
        b's' => options.wants_len = true,
        b'v' => options.value = true,
        b'u' => options.no_update = true,
        b'q' => options.quiet = true,
        b'I' => options.invalidate = true,
        b'x' if verb == Verb::Delete => options.remove_value = true,
        b'F' => {
            let flags = number::parse_u64_lenient(token).and_then(|flags| u32::try_from(flags).ok());
            options.client_flags = flags.ok_or(Refusal::BadFormat)?;
        }
        // To `ma`, as to memcached, 0 is no cas unique.
        b'C' => {
            let cas = unsigned(Refusal::BadToken)?;
            options.cas = (cas != 0 || verb != Verb::Arithmetic).then_some(cas);
        }
        b'E' => options.new_cas = Some(unsigned(Refusal::BadToken)?),
        b'M' => match *token {
            [mode] => options.mode = Some(mode),
            _ => return Err(Refusal::BadModeLength),
        },
        b'J' => options.initial = unsigned(Refusal::BadInitial)?,
        b'D' => options.delta = Some(unsigned(Refusal::BadDelta)?),
        b'O' | b'P' | b'L' | b'k' | b'f' | b'l' | b'h' => {}
        _ => return Err(Refusal::InvalidFlag),
    }
    Ok(())
}

const _: () = assert!(FLAGS_MAX < 20 && KEY_LEN_MAX <= 250);

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { key_len_max: 250, value_len_max: 1024, args_max: 64, line_len_max: 4096 };

    fn read(input: &[u8]) -> Request<'_> {
        match crate::memcache::parse(input, &LIMITS) {
            Ok(Parsed::Complete { value, .. }) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_keep_their_order_and_tokens() {
        let Request::Meta(meta) = read(b"mg  key  v t  Oab T30 R5 k \r\n") else { panic!() };
        assert_eq!((meta.verb, meta.key), (Verb::Get, &b"key"[..]));
        let flags: [(u8, &[u8]); 6] =
            [(b'v', b""), (b't', b""), (b'O', b"ab"), (b'T', b"30"), (b'R', b"5"), (b'k', b"")];
        assert!(meta.flags.into_iter().eq(flags));
        let expected = Options {
            value: true,
            wants_ttl: true,
            exptime: Some(30),
            recache: Some(5),
            touch_first: true,
            ..Options::default()
        };
        assert_eq!(meta.options, expected);
    }

    #[test]
    fn a_value_follows_ms() {
        let input = b"ms key 5 T0 F7 MA\r\nvalue\r\n";
        let Request::Meta(meta) = read(input) else { panic!() };
        assert_eq!((meta.verb, meta.key, meta.value), (Verb::Set, &b"key"[..], &b"value"[..]));
        assert_eq!((meta.options.client_flags, meta.options.mode), (7, Some(b'A')));
        let incomplete = crate::memcache::parse(&input[..22], &LIMITS);
        assert_eq!(incomplete, Ok(Parsed::Incomplete { at_least: input.len() }));
    }

    #[test]
    fn refusals_table() {
        let table: [(&[u8], &str, u64); 19] = [
            (b"mg\r\n", "ERROR", 0),
            (b"me\r\n", "CLIENT_ERROR bad command line format", 0),
            (b"ms k\r\n", "CLIENT_ERROR bad command line format", 0),
            (b"ms k S2\r\n", "CLIENT_ERROR bad command line format", 0),
            (b"ms k -1\r\n", "CLIENT_ERROR bad command line format", 0),
            (b"mg k z\r\n", "CLIENT_ERROR invalid flag", 0),
            (b"mg k v v\r\n", "CLIENT_ERROR duplicate flag", 0),
            (b"mg k Nx\r\n", "CLIENT_ERROR bad token in command line format", 0),
            (b"mg k M\r\n", "CLIENT_ERROR incorrect length for M token", 0),
            (b"mg !! b\r\n", "CLIENT_ERROR error decoding key", 0),
            (b"mg k Oabcdefghijklmnopqrstuvwxyz0123456789\r\n", "CLIENT_ERROR opaque token too long", 0),
            (b"ms k 2 MX\r\nab\r\n", "CLIENT_ERROR invalid mode for ms M token", 4),
            (b"ms k 2 Fx\r\nab\r\n", "CLIENT_ERROR bad command line format", 4),
            (b"ms k 2 Dx\r\nab\r\n", "CLIENT_ERROR invalid numeric delta value", 4),
            (b"ms k 2 Jx\r\nab\r\n", "CLIENT_ERROR invalid numeric initial value", 4),
            (b"ms k 2000\r\n", "SERVER_ERROR object too large for cache", 2002),
            (b"ma k Mx\r\n", "CLIENT_ERROR invalid mode for ma M token", 0),
            (b"md k z\r\n", "CLIENT_ERROR invalid or duplicate flag", 0),
            (b"mg k a b c d e f g h i j k l m n o p q r\r\n", "CLIENT_ERROR options flags are too long", 0),
        ];
        for (input, text, skip) in table {
            let Request::Refused(refused) = read(input) else { panic!("{}", input.escape_ascii()) };
            assert_eq!((refused.refusal.text(), refused.skip), (text, skip), "{}", input.escape_ascii());
        }
    }
}
