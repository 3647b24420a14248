//! How many cores this process may really use: its affinity, and the CPU quota of its control groups, whichever is
//! less. A container with two cores' quota on a machine of 64 must not start 64 workers.

use std::fs;
use std::path::Path;

use super::cgroup;

/// Cores that this process may use; at least one.
#[must_use]
pub(crate) fn usable() -> usize {
    let affine = affinity().unwrap_or(1);
    quota().map_or(affine, |quota| affine.min(quota)).max(1)
}

fn affinity() -> Option<usize> {
    // SAFETY: cpu_set_t is plain bits, for which all zeros is a value; the kernel writes at most its size into it.
    let count = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) != 0 {
            return std::thread::available_parallelism().ok().map(std::num::NonZero::get);
        }
        libc::CPU_COUNT(&set)
    };
    usize::try_from(count).ok()
}

/// The quota of this process' control groups in whole cores, rounded up; none where nothing limits it.
fn quota() -> Option<usize> {
    cgroup::least("cpu", quota_v2, quota_v1).map(|cores| cores.ceil() as usize)
}

fn quota_v2(group: &Path) -> Option<f64> {
    parse_v2(&fs::read_to_string(group.join("cpu.max")).ok()?)
}

fn quota_v1(group: &Path) -> Option<f64> {
    let quota: f64 = fs::read_to_string(group.join("cpu.cfs_quota_us")).ok()?.trim().parse().ok()?;
    let period: f64 = fs::read_to_string(group.join("cpu.cfs_period_us")).ok()?.trim().parse().ok()?;
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// `cpu.max` is `QUOTA PERIOD` in microseconds, or `max PERIOD`.
fn parse_v2(text: &str) -> Option<f64> {
    let mut fields = text.split_whitespace();
    let quota: f64 = fields.next()?.parse().ok()?;
    let period: f64 = fields.next()?.parse().ok()?;
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_of_cgroup_v2() {
        assert_eq!(parse_v2("max 100000\n"), None);
        assert_eq!(parse_v2("150000 100000\n"), Some(1.5));
        assert_eq!(parse_v2("200000 100000"), Some(2.0));
        assert_eq!(parse_v2(""), None);
    }

    #[test]
    fn at_least_one_core() {
        assert!(usable() >= 1);
    }
}
