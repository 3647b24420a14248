//! ACL, where there is one user: everybody, who may do everything.

use crabcache_protocol::resp::{Args, write};

use super::table::flags::CATEGORIES;
use super::{is, names, table};
use crate::connection::Connection;
use crate::reactor::batch::Pass;

/// The only user.
pub(super) const USER: &str = "default";

/// `ACL WHOAMI`
pub(super) fn whoami<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    write::bulk(pass.direct(), USER.as_bytes());
}

/// `ACL USERS`
pub(super) fn users<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    names(pass.direct(), &[USER]);
}

/// `ACL LIST`
pub(super) fn list<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    names(pass.direct(), &[&format!("user {USER} on nopass ~* &* +@all")]);
}

/// `ACL GETUSER username`
pub(super) fn getuser<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let version = pass.version;
    let out = pass.direct();
    if args.get(2) != Some(USER.as_bytes()) {
        return write::nil(out, version);
    }
    write::map(out, 6, version);
    write::bulk(out, b"flags");
    write::set(out, 2, version);
    write::bulk(out, b"on");
    write::bulk(out, b"nopass");
    write::bulk(out, b"passwords");
    write::array(out, 0);
    for (name, text) in [("commands", "+@all"), ("keys", "~*"), ("channels", "&*")] {
        write::bulk(out, name.as_bytes());
        write::bulk(out, text.as_bytes());
    }
    write::bulk(out, b"selectors");
    write::array(out, 0);
}

/// `ACL CAT [category]`
pub(super) fn cat<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let shown: Vec<&str> = match args.get(2) {
        None => CATEGORIES.to_vec(),
        Some(wanted) if args.len() == 3 => {
            let Some(at) = CATEGORIES.iter().position(|name| is(wanted, name)) else {
                let wanted = String::from_utf8_lossy(wanted);
                return pass.error(&format!("ERR Unknown category '{wanted}'"));
            };
            let all = table::all().map(|found| found.command);
            all.filter(|command| command.categories_bits() & 1 << at != 0)
                .map(|command| command.name)
                .collect()
        }
        Some(_) => return pass.wrong_subcommand(args),
    };
    names(pass.direct(), &shown);
}
