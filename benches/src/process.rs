//! What Linux tells of processes and threads: memory, and CPU time to the nanosecond.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Resident memory of this process, in bytes; none where the system does not tell.
#[must_use]
pub fn rss() -> Option<u64> {
    memory_in("self", "VmRSS:")
}

/// Resident memory of a process, in bytes; none once it is gone.
#[must_use]
pub fn rss_of(pid: u32) -> Option<u64> {
    memory_in(&pid.to_string(), "VmRSS:")
}

/// The most memory that a process has had resident so far, in bytes; none once it is gone.
#[must_use]
pub fn rss_max_of(pid: u32) -> Option<u64> {
    memory_in(&pid.to_string(), "VmHWM:")
}

/// CPU time that the threads of a process have used so far, in nanoseconds: the first number of `schedstat` of each of
/// them. Threads that have ended are not in it. None once the process is gone.
#[must_use]
pub fn cpu_ns_of(pid: u32) -> Option<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let each = threads.filter_map(|thread| {
        let schedstat = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        schedstat.split(' ').next()?.parse::<u64>().ok()
    });
    Some(each.sum())
}

/// A moment of the calling thread's CPU clock.
#[derive(Clone, Copy, Debug)]
pub struct CpuTime(Duration);

impl CpuTime {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Self(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }

    /// CPU time that the calling thread has used since.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

fn memory_in(process: &str, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rss_is_known_on_linux() {
        assert_eq!(rss().is_some(), cfg!(target_os = "linux"));
        let this = std::process::id();
        assert_eq!(rss_of(this).is_some(), cfg!(target_os = "linux"));
        let before = rss_of(this);
        assert!(rss_max_of(this) >= before);
    }

    #[test]
    fn cpu_time_runs_while_working() {
        let (start, mut sum) = (CpuTime::now(), 0_u64);
        while start.elapsed() < Duration::from_millis(2) {
            sum = std::hint::black_box(sum + 1);
        }
        let asleep = CpuTime::now();
        std::thread::sleep(Duration::from_millis(20));
        assert!(asleep.elapsed() < Duration::from_millis(15));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn cpu_time_grows_with_work() {
        let pid = std::process::id();
        let before = cpu_ns_of(pid).expect("it runs");
        let mut sum = 0_u64;
        while cpu_ns_of(pid).expect("it runs") < before + 2_000_000 {
            sum = std::hint::black_box(sum + 1);
        }
        // No process has this number: it is beyond the largest that Linux gives out.
        assert_eq!((cpu_ns_of(u32::MAX), rss_of(u32::MAX)), (None, None));
    }
}
