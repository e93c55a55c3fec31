//! What a server's memory is made of.
//!
//! - Manual: proc_pid_smaps(5) (smaps_rollup), proc_pid_status(5)

use tinyjson::JsonValue;

use crate::cpu;
use crate::proc::kb;
use crate::report::json::{number, object};

/// In KB, of all processes of the servers.
#[derive(Default)]
pub struct Memory {
    /// Its own: not shared, and not to be read from a file again.
    pub private_dirty: u64,
    /// What is shared counts in parts.
    pub pss: u64,
    pub page_tables: u64,
}

impl Memory {
    pub fn of_servers() -> Memory {
        let mut sum = Memory::default();
        for pid in cpu::servers() {
            sum.private_dirty += kb(pid, "smaps_rollup", "Private_Dirty:");
            sum.pss += kb(pid, "smaps_rollup", "Pss:");
            sum.page_tables += kb(pid, "status", "VmPTE:");
        }
        sum
    }

    pub fn in_json(&self) -> JsonValue {
        let kb = |kb: u64| number(kb as f64);
        object([
            ("private_dirty", kb(self.private_dirty)),
            ("pss", kb(self.pss)),
            ("page_tables", kb(self.page_tables)),
        ])
    }
}
