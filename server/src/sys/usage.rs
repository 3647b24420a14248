//! What this process has used so far, for the reports.

use std::fs;
use std::time::Duration;

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

/// Tells other threads how much CPU time a thread has used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuClock(libc::clockid_t);

impl CpuClock {
    /// That of the calling thread; none if the system has none.
    pub(crate) fn of_this_thread() -> Option<Self> {
        let mut clock = 0;
        // SAFETY: the thread is alive, since it is the one that calls; the number is written to a place of its type.
        let failed = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) };
        (failed == 0).then_some(Self(clock))
    }

    /// CPU time so far; none once the thread has ended.
    pub(crate) fn now(self) -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the time is written to a place of its type. A clock of a thread that has ended is refused.
        let failed = unsafe { libc::clock_gettime(self.0, &raw mut time) };
        if failed == 0 { Duration::new(time.tv_sec as u64, time.tv_nsec as u32) } else { Duration::ZERO }
    }
}

/// The number behind `name` in a file of the kernel's.
fn kib(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_time_of_another_thread_grows_while_it_works() {
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let worker = std::thread::spawn(move || {
            tell.send(CpuClock::of_this_thread().expect("a clock")).expect("somebody listens");
            while ended.try_recv().is_err() {}
        });
        let clock = told.recv().expect("it runs");
        let before = clock.now();
        while clock.now() < before + Duration::from_millis(5) {}
        end.send(()).expect("it listens");
        worker.join().expect("it ends");
    }
}
