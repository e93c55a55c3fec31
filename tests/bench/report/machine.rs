//! What the numbers were measured on: never whose machine it is, and where.

use std::fs::read_to_string;
use std::process::Command;

use tinyjson::JsonValue;

use super::json::{number, object, text};

pub struct Machine {
    cpu: String,
    cores: u32,
    memory_gib: f64,
    kernel: String,
    rustc: String,
    openssl: &'static str,
    date: String,
}

impl Machine {
    pub fn this() -> Machine {
        Machine {
            cpu: value_of("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into()),
            cores: std::thread::available_parallelism().map_or(0, |cores| cores.get() as u32),
            memory_gib: value_of("/proc/meminfo", "MemTotal")
                .and_then(|total| total.strip_suffix(" kB")?.parse::<f64>().ok())
                .map_or(0.0, |kib| kib / 1024.0 / 1024.0),
            kernel: read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim_end().into(),
            rustc: said_by("rustc", "--version"),
            openssl: openssl::version::version(),
            date: said_by("date", "+%Y-%m-%d"),
        }
    }

    pub fn in_words(&self) -> String {
        let Machine { cpu, cores, memory_gib, kernel, rustc, openssl, date } = self;
        let unoptimized = if cfg!(debug_assertions) { ". 최적화하지 않은 빌드" } else { "" };
        format!(
            "{date}, {cpu}, 코어 {cores}개, 메모리 {memory_gib:.0} GiB, Linux {kernel}, {rustc}, {openssl}{unoptimized}"
        )
    }

    pub fn in_json(&self) -> JsonValue {
        object([
            ("cpu", text(&self.cpu)),
            ("cores", number(self.cores)),
            ("memory_gib", number(self.memory_gib)),
            ("kernel", text(&self.kernel)),
            ("rustc", text(&self.rustc)),
            ("openssl", text(self.openssl)),
            ("date", text(&self.date)),
            ("optimized", JsonValue::Boolean(!cfg!(debug_assertions))),
        ])
    }
}

/// Of the first line `key : value`.
fn value_of(file: &str, key: &str) -> Option<String> {
    let all = read_to_string(file).ok()?;
    let (_, value) = all.lines().find_map(|line| line.strip_prefix(key)?.split_once(':'))?;
    Some(value.trim().into())
}

fn said_by(program: &str, option: &str) -> String {
    let said = Command::new(program).arg(option).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&said).trim().into()
}
