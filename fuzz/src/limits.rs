//! Limits to parse under: such as a server has, and tight ones, so that inputs of a few bytes go beyond them.

use crabcache_protocol::Limits;

/// Each input is parsed under all of these.
pub const LIMITS: [Limits; 2] = [
    Limits { key_len_max: 250, value_len_max: 1 << 20, args_max: 1024, line_len_max: 65_536 },
    Limits { key_len_max: 5, value_len_max: 9, args_max: 4, line_len_max: 24 },
];
