//! Commands that an editor can complete and hint at.

use crate::args::session_command;

/// What is known about a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// One word, or two where there are subcommands.
    pub(crate) name: String,
    /// Its arguments in order.
    pub(crate) syntax: Vec<String>,
    /// Its flags, with their dashes.
    pub(crate) flags: Vec<String>,
    pub(crate) summary: String,
}

/// The commands of this program.
pub(crate) fn ours() -> Vec<Known> {
    let mut known: Vec<Known> = session_command().get_subcommands().flat_map(named).collect();
    let (name, summary) = ("help".to_owned(), "Explain a command".to_owned());
    known.push(Known { name, summary, ..Known::default() });
    known
}

/// The command by its name, and by the other names that help tells.
fn named(command: &clap::Command) -> Vec<Known> {
    let known = of(command);
    let other = |alias: &str| Known { name: alias.to_owned(), ..known.clone() };
    command.get_visible_aliases().map(other).chain([known.clone()]).collect()
}

fn of(command: &clap::Command) -> Known {
    let mut known = Known { name: command.get_name().to_owned(), ..Known::default() };
    known.summary = command.get_about().map(ToString::to_string).unwrap_or_default();
    for arg in command.get_positionals() {
        let name = arg.get_id().as_str();
        let several = if arg.get_num_args().is_some_and(|range| range.max_values() > 1) { "..." } else { "" };
        let text =
            if arg.is_required_set() { format!("{name}{several}") } else { format!("[{name}{several}]") };
        known.syntax.push(text);
    }
    for arg in command.get_opts() {
        let Some(long) = arg.get_long() else { continue };
        let value = arg.get_value_names().filter(|_| !is_switch(arg)).and_then(|names| names.first());
        let value = value.map(|name| format!(" {name}")).unwrap_or_default();
        known.syntax.push(format!("[--{long}{value}]"));
        known.flags.push(format!("--{long}"));
    }
    known
}

fn is_switch(arg: &clap::Arg) -> bool {
    matches!(arg.get_action(), clap::ArgAction::SetTrue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_commands_are_known() {
        let known = ours();
        let find = |name: &str| known.iter().find(|known| known.name == name).cloned().unwrap_or_default();
        assert_eq!(find("get").syntax, ["key"]);
        assert_eq!(find("mget").syntax, ["keys..."]);
        assert_eq!(find("incr").syntax, ["key", "[delta]"]);
        let put = find("put");
        assert_eq!(put.syntax[..4], ["key", "[value]", "[--file PATH]", "[--ttl TIME]"]);
        assert_eq!(put.flags, ["--file", "--ttl", "--if-absent", "--if-present"]);
        assert_eq!((find("set").syntax, find("set").flags), (put.syntax, put.flags));
        assert!(!find("quit").summary.is_empty());
    }
}
