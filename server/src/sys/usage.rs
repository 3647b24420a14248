//! What this process has used so far, for the reports.

use std::fs;

/// CPU time and resident memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Seconds of CPU time in user space.
    pub(crate) user_seconds: f64,
    /// Seconds of CPU time in the kernel.
    pub(crate) system_seconds: f64,
    /// Resident memory, in bytes.
    pub(crate) resident_bytes: u64,
    /// Highest resident memory so far, in bytes.
    pub(crate) resident_bytes_max: u64,
    /// Memory of the machine, in bytes.
    pub(crate) system_bytes: u64,
}

/// Asks the kernel.
#[must_use]
pub(crate) fn usage() -> Usage {
    // SAFETY: rusage is plain numbers, for which all zeros is a value; the kernel writes at most its size into it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Usage {
        user_seconds: seconds(usage.ru_utime),
        system_seconds: seconds(usage.ru_stime),
        resident_bytes: kib("/proc/self/status", "VmRSS:").unwrap_or(0) * 1024,
        resident_bytes_max: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
        system_bytes: kib("/proc/meminfo", "MemTotal:").unwrap_or(0) * 1024,
    }
}

/// The number behind `name` in a file of the kernel's.
fn kib(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
