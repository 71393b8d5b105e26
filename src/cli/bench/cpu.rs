//! CPU time, which a busy neighbour does not change as it does the clock on the wall; and memory.

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

/// Octets of memory that a process has resident.
///
/// `None` where the kernel does not say (`VmRSS` in `/proc/<pid>/status`, Linux).
pub fn memory_of_process(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}
