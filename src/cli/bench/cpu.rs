//! CPU time, which a busy neighbour does not change as it does the clock on the wall.

use std::time::Duration;

/// CPU time of all living threads of a process, to the nanosecond.
///
/// `None` where the kernel does not say (`/proc/<pid>/task/*/schedstat`, Linux). Threads that ended are
/// not counted: measure processes whose threads stay.
pub fn of_process(pid: u32) -> Option<Duration> {
    let mut nanoseconds = 0_u64;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let stat = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        nanoseconds += stat.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanoseconds))
}

/// CPU time of this process.
pub fn of_self() -> Option<Duration> {
    of_process(std::process::id())
}
