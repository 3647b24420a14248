//! What is known of a call's time.

use std::time::Duration;

use crate::clock::Moment;

/// When a call began, when it has to be over, and the last look at the clock: whatever took no time needs no new one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) begun: Moment,
    pub(crate) now: Moment,
    pub(crate) deadline: Moment,
    /// How long an answer may take.
    pub(crate) timeout: Option<Duration>,
}

impl Call {
    /// A call that begins now.
    pub(crate) fn begin(timeout: Option<Duration>) -> Self {
        let now = Moment::now();
        let deadline = timeout.map_or(Moment::NEVER, |timeout| now.after(timeout));
        Self { begun: now, now, deadline, timeout }
    }

    /// Looks at the clock.
    pub(crate) fn look(&mut self) {
        self.now = Moment::now();
    }

    /// The end of a part of the call that may take so long.
    pub(crate) fn bounded(&self, timeout: Duration) -> Moment {
        self.begun.after(timeout).min(self.deadline)
    }

    /// The time from the last look to the deadline; none if there is no deadline.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.timeout.map(|_| self.deadline.since(self.now))
    }
}
