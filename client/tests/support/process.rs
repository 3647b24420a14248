//! Processes of their own, so that they can be killed: this test program once more, for one of its tests, which is ignored
//! otherwise.

use std::process::{Child, Command, ExitStatus, Stdio};

/// A process that is killed when the test ends.
pub(crate) struct Killable(Child);

impl Killable {
    /// Runs the test of this name, which is told `value` by the environment.
    pub(crate) fn start(test: &str, variable: &str, value: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap());
        process.args(["--exact", test, "--ignored", "--nocapture"]).env(variable, value);
        Self(process.stdout(Stdio::null()).spawn().unwrap())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// By SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
    }

    /// Waits for the end.
    pub(crate) fn join(mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        self.0.wait().unwrap();
    }
}
