//! What /proc says of a process: nothing here asks the process itself.
//!
//! - Notes: notes/14-watching.md
//! - Manual: proc_pid_stat(5), proc_pid_status(5), proc_pid_fd(5), proc_pid_net(5)
//! - Try: ls -l /proc/$(pgrep -x sockstep)/fd; cat /proc/net/tcp

use std::fmt;
use std::fs::{read_dir, read_link, read_to_string};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::unistd::{Pid, SysconfVar, Uid, sysconf};

/// A few of the 52 values of /proc/PID/stat; `start_ticks` counts from the machine's start.
#[derive(Debug, PartialEq, Eq)]
pub struct Stat {
    pub ppid: i32,
    pub session: i32,
    pub tty_nr: i32,
    start_ticks: u64,
}

/// A socket that waits for newcomers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    pub protocol: &'static str,
    pub addr: SocketAddr,
    inode: u64,
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, self.addr)
    }
}

fn dir(pid: Pid) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

fn garbled() -> io::Error {
    io::Error::other("unexpected content")
}

/// /proc/PID/comm: the name that ps, top and ss print.
pub fn name(pid: Pid) -> String {
    read_to_string(dir(pid).join("comm")).map_or("?".into(), |name| crate::text::excerpt(name.trim_end().as_bytes()))
}

pub fn stat(pid: Pid) -> io::Result<Stat> {
    parse_stat(&read_to_string(dir(pid).join("stat"))?).ok_or_else(garbled)
}

/// The name, which may hold anything, is in parentheses; the values behind it are counted from 3 on.
fn parse_stat(text: &str) -> Option<Stat> {
    let values: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let value = |number: usize| values.get(number - 3);
    Some(Stat {
        ppid: value(4)?.parse().ok()?,
        session: value(6)?.parse().ok()?,
        tty_nr: value(7)?.parse().ok()?,
        start_ticks: value(22)?.parse().ok()?,
    })
}

impl Stat {
    /// When the process was started, by the clock on the wall.
    pub fn started(&self) -> io::Result<SystemTime> {
        let ticks_a_second = sysconf(SysconfVar::CLK_TCK)?.and_then(|ticks| u64::try_from(ticks).ok()).unwrap_or(100);
        let stat = read_to_string("/proc/stat")?;
        let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
        let since_boot = Duration::from_millis(self.start_ticks * 1000 / ticks_a_second);
        Ok(UNIX_EPOCH + Duration::from_secs(boot.ok_or_else(garbled)?) + since_boot)
    }

    /// `/dev/pts/3`, or `None` without a terminal. The number is major and minor (proc_pid_stat(5)).
    pub fn terminal(&self) -> Option<String> {
        let (major, minor) = ((self.tty_nr >> 8) & 0xfff, (self.tty_nr & 0xff) | ((self.tty_nr >> 12) & 0xfff00));
        match major {
            0 => None,
            136..=143 => Some(format!("/dev/pts/{}", (major - 136) * 256 + minor)),
            4 => Some(format!("/dev/tty{minor}")),
            _ => Some(format!("{major}:{minor}")),
        }
    }
}

/// The effective user: the second number of `Uid:` in /proc/PID/status.
pub fn uid(pid: Pid) -> io::Result<Uid> {
    let status = read_to_string(dir(pid).join("status"))?;
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1)?.parse().ok());
    uid.map(Uid::from_raw).ok_or_else(garbled)
}

pub fn cwd(pid: Pid) -> io::Result<PathBuf> {
    read_link(dir(pid).join("cwd"))
}

/// Who works for it: its children, zombies included, and (under --no-fork) threads beside the first.
pub fn helpers(pid: Pid) -> io::Result<usize> {
    let tasks = dir(pid).join("task");
    let children = read_to_string(tasks.join(pid.to_string()).join("children"))?.split_whitespace().count();
    Ok(children + read_dir(tasks)?.count().saturating_sub(1))
}

/// The sockets of a process that wait for newcomers: its descriptors, held against the kernel's tables.
pub fn listening(pid: Pid) -> io::Result<Vec<Listening>> {
    // [14.inode]
    let inodes = socket_inodes(pid)?;
    Ok(tables(&dir(pid)).into_iter().filter(|socket| inodes.contains(&socket.inode)).collect())
}

/// The processes that have this port open, as far as we may look into them: `pid 4121 (sockstep)`.
pub fn holders_of(port: u16, protocol: &str) -> Vec<String> {
    let wanted = |socket: &Listening| socket.addr.port() == port && socket.protocol == protocol;
    let inodes: Vec<u64> =
        tables(Path::new("/proc/self")).into_iter().filter(wanted).map(|socket| socket.inode).collect();
    let pids = read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| Some(Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)));
    let holds = |pid: &Pid| socket_inodes(*pid).is_ok_and(|held| held.iter().any(|inode| inodes.contains(inode)));
    pids.filter(holds).map(|pid| format!("pid {pid} ({})", name(pid))).collect()
}

/// `/proc/PID/fd/3 -> socket:[12345]`
fn socket_inodes(pid: Pid) -> io::Result<Vec<u64>> {
    let links = read_dir(dir(pid).join("fd"))?.filter_map(|entry| read_link(entry.ok()?.path()).ok());
    let inode = |link: PathBuf| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    Ok(links.filter_map(inode).collect())
}

/// All listening TCP and all bound UDP sockets of the network namespace that the process lives in.
fn tables(process: &Path) -> Vec<Listening> {
    const LISTEN: &str = "0A"; // TCP_LISTEN in include/net/tcp_states.h
    const UNCONNECTED: &str = "07"; // TCP_CLOSE, which is what UDP shows
    let mut found = Vec::new();
    for (file, protocol, state) in
        [("tcp", "TCP", LISTEN), ("tcp6", "TCP", LISTEN), ("udp", "UDP", UNCONNECTED), ("udp6", "UDP", UNCONNECTED)]
    {
        let table = read_to_string(process.join("net").join(file)).unwrap_or_default(); // no IPv6, no table
        found.extend(table.lines().skip(1).filter_map(|line| parse_row(line, protocol, state)));
    }
    found
}

/// `  0: 0100007F:1B58 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 …`
fn parse_row(line: &str, protocol: &'static str, wanted: &str) -> Option<Listening> {
    let mut columns = line.split_whitespace().skip(1);
    let (address, state) = (columns.next()?, columns.nth(1)?);
    if state != wanted {
        return None; // most rows, on a machine with many connections
    }
    let (ip, port) = address.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok().filter(|port| *port != 0)?;
    Some(Listening { protocol, addr: SocketAddr::new(parse_ip(ip)?, port), inode: columns.nth(5)?.parse().ok()? })
}

/// Words of 32 bits as they lie in memory, printed as numbers.
fn parse_ip(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(IpAddr::from(Ipv4Addr::from(word(0)?))),
        32 => {
            let bytes: Vec<u8> = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            Some(IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_with_parentheses_does_not_move_the_values() {
        let behind: Vec<String> = (4..=52).map(|n| n.to_string()).collect();
        let text = format!("4121 (a) b) S {}\n", behind.join(" "));
        assert_eq!(parse_stat(&text), Some(Stat { ppid: 4, session: 6, tty_nr: 7, start_ticks: 22 }));
        assert_eq!(parse_stat("4121 (a) S 1"), None);
    }

    #[test]
    fn a_terminal_has_a_name() {
        let terminal = |tty_nr| Stat { ppid: 0, session: 0, tty_nr, start_ticks: 0 }.terminal();
        assert_eq!(terminal(0), None);
        assert_eq!(terminal((136 << 8) | 3).as_deref(), Some("/dev/pts/3"));
        assert_eq!(terminal((4 << 8) | 1).as_deref(), Some("/dev/tty1"));
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_row_of_the_kernels_table_is_an_address() {
        let row = |line, state| parse_row(line, "TCP", state).map(|socket| (socket.addr.to_string(), socket.inode));
        let v4 = "  0: 0100007F:1B58 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1";
        assert_eq!(row(v4, "0A"), Some(("127.0.0.1:7000".into(), 12345)));
        assert_eq!(row(v4, "01"), None);
        let v6 = "  1: 00000000000000000000000001000000:1B58 00000000000000000000000000000000:0000 0A \
                  00000000:00000000 00:00000000 00000000     0        0 7 1";
        assert_eq!(row(v6, "0A"), Some(("[::1]:7000".into(), 7)));
        assert_eq!(row("garbage", "0A"), None);
    }

    proptest! {
        /// A process may call itself what it likes.
        #[test]
        fn whatever_a_process_is_called_its_values_are_found(name in "(\\PC|[() \n]){0,16}", ppid: i32, start_ticks: u64) {
            let behind: Vec<String> = (5..=52).map(|n| if n == 22 { start_ticks.to_string() } else { n.to_string() }).collect();
            let stat = parse_stat(&format!("4121 ({name}) S {ppid} {}\n", behind.join(" ")));
            prop_assert_eq!(stat, Some(Stat { ppid, session: 6, tty_nr: 7, start_ticks }));
        }

        #[test]
        fn any_text_is_a_row_or_none(line in "\\PC{0,60}|( ?[0-9A-Fa-f:+가]{0,33}){0,12}", tty_nr: i32) {
            let _ = (parse_stat(&line), parse_row(&line, "TCP", "0A"), parse_ip(&line));
            let _ = Stat { ppid: 0, session: 0, tty_nr, start_ticks: 0 }.terminal();
        }
    }
}
