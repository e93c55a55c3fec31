//! What /proc says of processes that may end while one looks.
//!
//! - Manual: proc_pid_smaps(5) (smaps_rollup), proc_pid_status(5), proc_pid_task(5)
#![allow(dead_code, clippy::print_stderr)] // not every load needs all of it, and each talks to a person

use std::fs::{read_dir, read_to_string};
use std::io::ErrorKind;
use std::sync::Once;

/// Of all its threads, zombies included.
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// A line `Key:  1234 kB`; nothing of a process that has just ended, or into which only root may look.
pub fn kb(pid: u32, file: &str, key: &str) -> u64 {
    static TOLD: Once = Once::new();
    let text = read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_else(|error| {
        if error.kind() == ErrorKind::PermissionDenied {
            TOLD.call_once(|| eprintln!("TLS를 맡은 자식의 메모리는 root만 볼 수 있어 0으로 셉니다"));
        }
        String::new()
    });
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
