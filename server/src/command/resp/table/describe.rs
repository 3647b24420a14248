//! A command in the words of COMMAND INFO and COMMAND DOCS.

use crabcache_protocol::resp::{Version, write};

use super::super::flags;
use super::flags::{CATEGORIES, FLAGS};
use super::syntax::{self, pair};
use super::{Command, Keys, Others};

impl Command {
    /// Its entry in the answer to COMMAND INFO.
    pub(in crate::command::resp) fn describe(&self, out: &mut Vec<u8>, version: Version) {
        write::array(out, 10);
        write::bulk(out, self.name.as_bytes());
        write::integer(out, i64::from(self.arity));
        let own: Vec<_> = FLAGS.iter().filter(|(flag, _)| self.is(*flag)).map(|(_, name)| *name).collect();
        flags(out, &own, version);
        let (first, last, step) = self.key_range();
        for number in [first, last, step] {
            write::integer(out, i64::from(number));
        }
        let categories: Vec<_> = self.category_names().collect();
        flags(out, &categories.iter().map(String::as_str).collect::<Vec<_>>(), version);
        write::set(out, self.tips.len(), version);
        self.tips.iter().for_each(|tip| write::bulk(out, tip.as_bytes()));
        write::set(out, self.keys.len(), version);
        for keys in self.keys {
            keys.describe(out, version);
        }
        write::set(out, self.subcommands.len(), version);
        for command in self.subcommands {
            command.describe(out, version);
        }
    }

    /// First key, last key and step, over all places where keys can be.
    fn key_range(&self) -> (i32, i32, i32) {
        match self.keys {
            [Keys { first, others: Others::Range { last, step }, .. }] => {
                (*first, if *last < 0 { *last } else { first + last }, *step)
            }
            [Keys { first, others: Others::Range { .. }, .. }, Keys { others: Others::Named, .. }, ..] => {
                (*first, *first, 1)
            }
            [Keys { first, .. }, .., Keys { first: next, others: Others::Range { last, .. }, .. }] => {
                (*first, if *last < 0 { *last } else { next + last }, 1)
            }
            _ => (0, 0, 0),
        }
    }

    /// The names of its categories.
    fn category_names(&self) -> impl Iterator<Item = String> {
        let bits = self.categories_bits();
        let own = CATEGORIES.iter().enumerate().filter(move |(at, _)| bits & 1 << at != 0);
        own.map(|(_, name)| format!("@{name}"))
    }

    /// Its entry in the answer to COMMAND DOCS: name and map.
    pub(in crate::command::resp) fn document(&self, out: &mut Vec<u8>, version: Version) {
        write::bulk(out, self.name.as_bytes());
        let arguments = syntax::arguments(self.syntax);
        let more = [!arguments.is_empty(), !self.subcommands.is_empty()];
        let deprecated = if self.deprecated.is_some() { 3 } else { 0 };
        write::map(out, 4 + deprecated + more.iter().filter(|has| **has).count(), version);
        pair(out, "summary", self.summary);
        pair(out, "since", self.since);
        pair(out, "group", self.group);
        pair(out, "complexity", self.complexity);
        if let Some((since, by)) = self.deprecated {
            write::bulk(out, b"doc_flags");
            flags(out, &["deprecated"], version);
            pair(out, "deprecated_since", since);
            pair(out, "replaced_by", by);
        }
        if !arguments.is_empty() {
            write::bulk(out, b"arguments");
            write::array(out, arguments.len());
            for argument in &arguments {
                argument.write(out, version);
            }
        }
        if !self.subcommands.is_empty() {
            write::bulk(out, b"subcommands");
            write::map(out, self.subcommands.len(), version);
            for command in self.subcommands {
                command.document(out, version);
            }
        }
    }
}

/// Redis' notes on keys of SORT.
const NAMED: &str = "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of \
                     the key we sort";
const STORED: &str = "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the \
                      argument array";

impl Keys {
    fn describe(&self, out: &mut Vec<u8>, version: Version) {
        let notes = match self.others {
            Others::Stored => Some(STORED),
            Others::Named => Some(NAMED),
            _ => None,
        };
        write::map(out, if notes.is_some() { 4 } else { 3 }, version);
        if let Some(notes) = notes {
            pair(out, "notes", notes);
        }
        write::bulk(out, b"flags");
        flags(out, &self.does.split(' ').collect::<Vec<_>>(), version);
        if notes.is_some() {
            for search in ["begin_search", "find_keys"] {
                write::bulk(out, search.as_bytes());
                write::map(out, 2, version);
                pair(out, "type", "unknown");
                write::bulk(out, b"spec");
                write::map(out, 0, version);
            }
            return;
        }
        write::bulk(out, b"begin_search");
        write::map(out, 2, version);
        pair(out, "type", "index");
        write::bulk(out, b"spec");
        numbers(out, &[("index", self.first)], version);
        write::bulk(out, b"find_keys");
        write::map(out, 2, version);
        match self.others {
            Others::Range { last, step } => {
                pair(out, "type", "range");
                write::bulk(out, b"spec");
                numbers(out, &[("lastkey", last), ("keystep", step), ("limit", 0)], version);
            }
            Others::Counted => {
                pair(out, "type", "keynum");
                write::bulk(out, b"spec");
                numbers(out, &[("keynumidx", 0), ("firstkey", 1), ("keystep", 1)], version);
            }
            Others::Stored | Others::Named => {}
        }
    }
}

fn numbers(out: &mut Vec<u8>, numbers: &[(&str, i32)], version: Version) {
    write::map(out, numbers.len(), version);
    for (name, number) in numbers {
        write::bulk(out, name.as_bytes());
        write::integer(out, i64::from(*number));
    }
}
