//! When requests are due.
//!
//! In a *closed loop* a request goes out when an answer has come in: a server that stalls is asked less, and the time that
//! those who would have come meanwhile had lost is in no figure (this is the *coordinated omission*). In an *open loop*
//! requests are due at their times whatever the server does, and count from these times.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// When to end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stop {
    /// After so many requests.
    Requests(u64),
    /// When this time is over; what is out by then is waited for.
    After(Duration),
}

/// Which requests may go out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    stop: Stop,
    /// Nanoseconds from one request to the next; none in a closed loop.
    step: Option<f64>,
    issued: u64,
}

impl Schedule {
    /// `rate` in requests per second; none for a closed loop.
    pub(super) fn new(stop: Stop, rate: Option<f64>) -> Self {
        Self { stop, step: rate.map(|rate| 1e9 / rate), issued: 0 }
    }

    pub(super) const fn is_open(&self) -> bool {
        self.step.is_some()
    }

    /// How many requests may go out at this moment.
    pub(super) fn due(&self, now: f64) -> u64 {
        let due = match (self.step, self.stop) {
            (None, Stop::Requests(count)) => count,
            (None, Stop::After(time)) => return if now < nanoseconds(time) { u64::MAX } else { 0 },
            (Some(_), Stop::After(time)) if now >= nanoseconds(time) => return 0,
            (Some(step), _) => ((now / step) as u64).saturating_add(1).min(self.total(step)),
        };
        due.saturating_sub(self.issued)
    }

    /// These many go out: since when the first of them counts, and how much later each further one.
    pub(super) fn issue(&mut self, count: u32, now: f64) -> (f64, f64) {
        let first = self.issued;
        self.issued += u64::from(count);
        self.step.map_or((now, 0.0), |step| (first as f64 * step, step))
    }

    /// The moment at which the next request is due, in nanoseconds after the start; none if there is none, or no such moment.
    pub(super) fn next(&self) -> Option<f64> {
        let step = self.step?;
        (self.issued < self.total(step)).then_some(self.issued as f64 * step)
    }

    /// Lets nothing go out from this moment on.
    pub(super) fn end(&mut self, now: f64) {
        if !self.is_over(now) {
            self.stop = Stop::After(Duration::from_nanos(now as u64));
        }
    }

    /// Whether no further request goes out.
    pub(super) fn is_over(&self, now: f64) -> bool {
        match (self.step, self.stop) {
            (Some(_), Stop::After(time)) if now >= nanoseconds(time) => true,
            (Some(step), _) => self.issued >= self.total(step),
            (None, _) => self.due(now) == 0,
        }
    }

    /// Since when each request counts that was due in the time that is over, but could not go out.
    pub(super) fn left_over(&self) -> impl Iterator<Item = f64> {
        let (issued, step) = (self.issued, self.step.unwrap_or(1.0));
        let total = self.step.map_or(issued, |step| self.total(step));
        (issued..total).map(move |number| number as f64 * step)
    }

    fn total(&self, step: f64) -> u64 {
        match self.stop {
            Stop::Requests(count) => count,
            Stop::After(time) => (nanoseconds(time) / step) as u64,
        }
    }
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_nanos() as f64
}

/// Wakes a poll at a moment, more exactly than its timeout does, which counts in milliseconds.
#[derive(Debug)]
pub(super) struct Timer(OwnedFd);

impl Timer {
    pub(super) fn register(registry: &Registry, token: Token) -> io::Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self(timer))
    }

    /// Once, after so many nanoseconds.
    pub(super) fn set(&self, nanoseconds: f64) -> io::Result<()> {
        let after = Duration::from_nanos(nanoseconds.max(1.0) as u64);
        let it_value = Timespec { tv_sec: after.as_secs() as i64, tv_nsec: after.subsec_nanos().into() };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &Itimerspec { it_interval, it_value })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_loop_ends_by_count_or_by_time() {
        let mut schedule = Schedule::new(Stop::Requests(10), None);
        assert_eq!(schedule.due(0.0), 10);
        assert_eq!(schedule.issue(4, 77.0), (77.0, 0.0));
        assert_eq!((schedule.due(1e12), schedule.is_over(0.0), schedule.next()), (6, false, None));
        schedule.issue(6, 78.0);
        assert!(schedule.is_over(0.0));
        let schedule = Schedule::new(Stop::After(Duration::from_micros(5)), None);
        assert!(schedule.due(4999.0) > 0 && schedule.due(5000.0) == 0 && schedule.is_over(5000.0));
    }

    #[test]
    fn an_open_loop_asks_at_its_times_whatever_happens() {
        // 1,000,000 a second: one each 1,000 ns, the first at once.
        let mut schedule = Schedule::new(Stop::Requests(10), Some(1e6));
        assert_eq!(schedule.due(0.0), 1);
        assert_eq!(schedule.issue(1, 300.0), (0.0, 1000.0));
        assert_eq!((schedule.due(999.0), schedule.next()), (0, Some(1000.0)));
        // Nobody could send for a while: all of them are due, and count from when they were.
        assert_eq!(schedule.due(5500.0), 5);
        assert_eq!(schedule.issue(5, 5500.0), (1000.0, 1000.0));
        assert_eq!(schedule.due(1e9), 4);
        schedule.issue(4, 1e9);
        assert_eq!((schedule.next(), schedule.is_over(0.0)), (None, true));
    }

    #[test]
    fn what_could_not_go_out_in_time_is_known() {
        let mut schedule = Schedule::new(Stop::After(Duration::from_secs(2)), Some(500.0));
        assert_eq!(schedule.due(1.999e9), 1000);
        schedule.issue(998, 1.9e9);
        assert!(!schedule.is_over(1.999e9) && schedule.is_over(2e9) && schedule.due(2e9) == 0);
        assert_eq!(schedule.left_over().collect::<Vec<_>>(), [998.0 * 2e6, 999.0 * 2e6]);
        assert_eq!(Schedule::new(Stop::After(Duration::ZERO), None).left_over().count(), 0);
    }
}
