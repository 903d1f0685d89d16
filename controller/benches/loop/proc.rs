//! What Linux tells of a process: the memory that it holds, and what it has used of processors.

use std::time::Duration;

/// Memory in bytes; 0 where there is no /proc, or no such process.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// What is resident now, with what the process maps of its binary.
    pub resident: u64,
    /// The most that ever was.
    pub peak: u64,
}

impl Memory {
    /// Of the process with that number.
    pub fn of(pid: u32) -> Self {
        let status = proc(pid, "status");
        let of = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
            let kib = line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
            kib.unwrap_or(0) * 1024
        };
        Self { resident: of("VmRSS:"), peak: of("VmHWM:") }
    }
}

/// What the process with that number has used of processors so far.
pub fn processor_time(pid: u32) -> Duration {
    let stat = proc(pid, "stat");
    // The name may hold anything; the fields behind it are numbers, of which the 12th and 13th count ticks of 10 ms.
    let fields: Vec<u64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect())
        .unwrap_or_default();
    Duration::from_millis(10 * fields.iter().sum::<u64>())
}

fn proc(pid: u32, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
}
