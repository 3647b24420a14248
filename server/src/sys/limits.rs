//! The limit on open files, which is a limit on clients.

/// Raises the limit on open files towards `wanted`, as far as this process may; gives what it is now.
#[must_use]
pub(crate) fn raise_open_files(wanted: usize) -> usize {
    let wanted = wanted as libc::rlim_t;
    // SAFETY: rlimit is two numbers, for which all zeros is a value; the kernel reads or writes just those.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return usize::MAX;
        }
        if limit.rlim_cur < wanted {
            let raised = libc::rlimit { rlim_cur: wanted.min(limit.rlim_max), rlim_max: limit.rlim_max };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) == 0 {
                limit = raised;
            }
        }
        usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
    }
}
