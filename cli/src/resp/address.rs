//! Where a server of RESP is: `redis://[[user]:password@]host[:port][/db]`, or `redis+unix:///path`.

use std::fmt;
use std::path::PathBuf;

use crate::failure::Failure;

const SCHEMES: [&str; 3] = ["redis://", "valkey://", "resp://"];
const UNIX: &str = "redis+unix://";
const PORT: &str = "6379";

/// Where the server is, and who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) place: Place,
    pub(crate) user: Option<Vec<u8>>,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) database: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `host:port`
    Tcp(String),
    Unix(PathBuf),
}

impl Address {
    /// None if it is not for RESP.
    pub(crate) fn parse(text: &str) -> Option<Result<Self, Failure>> {
        if let Some(path) = text.strip_prefix(UNIX) {
            let place = Place::Unix(path.into());
            return Some(Ok(Self { place, user: None, password: None, database: None }));
        }
        let rest = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme))?;
        // Without the text, which may have a password.
        let wrong = || {
            Failure::Wrong(
                "not an address of RESP: expected redis://[user:password@]host[:port][/db]".to_owned(),
            )
        };
        Some(Self::parse_rest(rest).ok_or_else(wrong))
    }

    fn parse_rest(rest: &str) -> Option<Self> {
        let (credentials, rest) = rest.rsplit_once('@').map_or((None, rest), |(who, rest)| (Some(who), rest));
        let (host, database) = match rest.trim_end_matches('/').split_once('/') {
            Some((host, number)) => (host, Some(number.parse().ok()?)),
            None => (rest.trim_end_matches('/'), None),
        };
        let has_port =
            host.rsplit_once(':').is_some_and(|(name, _)| !name.contains(':') || name.ends_with(']'));
        let place = if has_port { host.to_owned() } else { format!("{host}:{PORT}") };
        let (name, port) = place.rsplit_once(':')?;
        let bad_name = name.is_empty() || name.contains('/') || name.contains(':') && !name.starts_with('[');
        if bad_name || port.parse::<u16>().is_err() {
            return None;
        }
        let mut address = Self { place: Place::Tcp(place), user: None, password: None, database };
        if let Some(credentials) = credentials {
            let (user, password) = credentials.split_once(':').unwrap_or(("", credentials));
            address.user = Some(unescaped(user)?).filter(|user| !user.is_empty());
            address.password = Some(unescaped(password)?);
        }
        Some(address)
    }
}

/// Without the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp(host_port) => f.write_str(host_port)?,
            Place::Unix(path) => write!(f, "{}", path.display())?,
        }
        self.database.map_or(Ok(()), |database| write!(f, "/{database}"))
    }
}

/// `%40` is `@`.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut out = parts.next()?.as_bytes().to_vec();
    for part in parts {
        out.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        out.extend_from_slice(&part.as_bytes()[2..]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse() {
        let parse = |text: &str| Address::parse(text).unwrap().unwrap();
        for (text, shown) in [
            ("redis://localhost", "localhost:6379"),
            ("valkey://[::1]:7000/3", "[::1]:7000/3"),
            ("resp://[::1]/", "[::1]:6379"),
            ("redis+unix:///run/redis.sock", "/run/redis.sock"),
            ("redis://me:p%40ss%3A@h:1/2", "h:1/2"),
        ] {
            assert_eq!(parse(text).to_string(), shown, "{text}");
        }
        let who = parse("redis://me:p%40ss%3A@h:1/2");
        assert_eq!((who.user.as_deref(), who.password.as_deref()), (Some(&b"me"[..]), Some(&b"p@ss:"[..])));
        let who = parse("redis://:secret@h");
        assert_eq!((who.user, who.password.as_deref()), (None, Some(&b"secret"[..])));
        for bad in
            ["redis://", "redis://:6379", "redis://h:x", "redis://h/x", "redis://h:1:2", "redis://a%zz@h"]
        {
            assert!(Address::parse(bad).unwrap().is_err(), "{bad}");
        }
        assert!(Address::parse("127.0.0.1:7001").is_none());
    }
}
