//! Where and when figures were taken: they say nothing without it.

use std::fs;
use std::thread::available_parallelism;
use std::time::{SystemTime, UNIX_EPOCH};

/// A machine, a day and a commit.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// The day, in UTC: YYYY-MM-DD.
    pub date: String,
    /// What the processor calls itself.
    pub cpu: String,
    /// Cores that this program may use.
    pub cores: usize,
    /// Threads that ran or wanted to, on average over the minute before: other work that disturbs.
    pub load: f64,
    /// Version of the kernel.
    pub kernel: String,
    /// Short name of the commit that this program was built from, with a `+` if files differed from it then; `unknown` where
    /// there was no repository.
    pub commit: String,
}

impl Machine {
    /// This one, now.
    #[must_use]
    pub fn this() -> Self {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
        let loadavg = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            date: date(seconds / 86_400),
            cpu: model.map_or("unknown", |model| model.trim_start_matches([' ', '\t', ':'])).to_owned(),
            cores: available_parallelism().map_or(1, usize::from),
            load: loadavg.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
            kernel: kernel.trim().to_owned(),
            commit: env!("CRABCACHE_BENCH_COMMIT").to_owned(),
        }
    }
}

/// The day that is so many days after 1970-01-01, in the Gregorian calendar.
fn date(mut days: u64) -> String {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}", month + 1, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_as_the_calendar_has_them() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_454, "2026-01-01"),
            (20_784, "2026-11-27"),
        ] {
            assert_eq!(date(days), expected);
        }
    }

    #[test]
    fn this_machine_is_known() {
        let machine = Machine::this();
        assert!(
            machine.cores > 0
                && machine.load >= 0.0
                && machine.date.len() == 10
                && !machine.kernel.is_empty()
                && machine.commit == env!("CRABCACHE_BENCH_COMMIT"),
            "{machine:?}"
        );
    }
}
