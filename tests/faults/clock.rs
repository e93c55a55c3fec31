//! A clock that jumps, as when NTP sets it or a laptop wakes up: time spans are measured with CLOCK_MONOTONIC, which
//! does not. The other one tells people when something happened, and no more.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use super::support::holdings::*;
use super::support::tls::{TlsPeer, session};
use super::support::*;

/// Where the source may ask what time of day it is, and for whom.
const MAY_ASK: [(&str, &str); 5] = [
    ("logging.rs", "timestamp_millis"),       // the time in front of a line
    ("lesson/file.rs", "CLOCK_REALTIME"),     // once, at the head of a trace: to find its moments in a capture
    ("timeline/packet.rs", "CLOCK_REALTIME"), // a comment on what a capture has
    ("daemon/proc.rs", "SystemTime"),         // `status`: since when a daemon runs
    ("daemon/control.rs", "SystemTime"),      // the same, for people
];

#[test]
fn nothing_but_what_people_read_asks_for_the_time_of_day() {
    let mut found = Vec::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    look_through(&src, &mut |path, text| {
        let name = path.strip_prefix(&src).unwrap().to_str().unwrap().to_string();
        for word in ["SystemTime", "CLOCK_REALTIME", "timestamp_", "gettimeofday", "localtime", "libc::time("] {
            let code = |line: &&str| line.contains(word) && !line.contains("SYS_");
            found.extend(text.lines().find(code).map(|line| (name.clone(), line.trim().to_string())));
        }
    });
    let strangers: Vec<_> = found.iter().filter(|(name, _)| !MAY_ASK.iter().any(|(may, _)| may == name)).collect();
    assert!(strangers.is_empty(), "{strangers:?}");
    for (name, word) in MAY_ASK {
        assert!(found.iter().any(|(file, line)| file == name && line.contains(word)), "{name} has no {word} any more");
    }
}

fn look_through(folder: &Path, look: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            look_through(&path, look);
        } else {
            look(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}

/// With each look a year forth, or two back: whatever asks for the time of day gets this.
const JUMPING: &str = r#"
#define _GNU_SOURCE
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long jumped(void) {
    static volatile long looks;
    return (++looks % 3 - 1) * 31536000L;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += jumped();
    return failed;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec; now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *where) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (where) *where = exact.tv_sec;
    return exact.tv_sec;
}
"#;

/// A shim as a library; `None`, and it is said why, where there is no compiler.
fn built(shim: &str, dir: &Path) -> Option<std::path::PathBuf> {
    let (source, library) = (dir.join("clock.c"), dir.join("clock.so"));
    fs::write(&source, shim).unwrap();
    let made = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).args([&library, &source]).output();
    match made {
        Ok(made) if made.status.success() => Some(library),
        why => {
            eprintln!("skipped: no C compiler: {why:?}");
            None
        }
    }
}

#[test]
fn a_clock_that_jumps_by_years_ends_no_conversation_and_no_time_limit() {
    let dir = tempfile::tempdir().unwrap();
    let Some(clock) = built(JUMPING, dir.path()) else { return };
    let mut command = Command::new(BIN);
    command.args(["server", "--listen", "127.0.0.1:0", "--mode", "relay", "--tls"]).env("LD_PRELOAD", &clock);
    command.args(["--cert", &cert("server.pem"), "--key", &cert("server.key")]);
    command.args(["--idle-timeout", "600", "--handshake-timeout", "5", "--slow-timeout", "600"]);
    let mut server = Server::from_command(command);
    let (mut speaker, mut listener) = (TlsPeer::join(&server), TlsPeer::join(&server));
    speaker.line_with("손님2");
    let before = Before::of(server.pid());
    for n in 0..300 {
        speaker.send(format!("{n}\n"));
        assert_eq!(listener.line(), format!("[손님1] {n}"));
    }
    let mut silent = server.connect(); // its five seconds are neither over at once nor never
    for n in 0..20 {
        TlsPeer::join(&server).end();
        listener.line_with(&format!("손님{} 님이 들어왔습니다", n + 4));
        listener.line_with("나갔습니다");
    }
    assert!(silent.rest().contains("TLS"));
    server.wait_for_log("TLS handshake took too long");
    let log = server.log();
    let years = |year: &&str| log.lines().any(|line| line.starts_with(*year));
    let year: u32 = log_year();
    let jumped = [year - 1, year, year + 1].map(|year| year.to_string());
    assert!(jumped.iter().all(|year| years(&year.as_str())), "the clock has not jumped: {log}");
    assert_eq!(log.matches("took too long").count(), 1, "{log}");
    assert!(!log.contains("idle") && !log.contains("slowly"), "{log}");
    before.is_back(KEPT_KB);
    server.signal(Signal::SIGTERM);
    assert!(listener.rest().ends_with("* 서버를 종료합니다. 안녕히 가십시오.\n"));
    assert_eq!(server.wait().code(), Some(0));
}

/// Thirteen hours later for whoever asks, once the file LATER is there. Children inherit that it was: they may look for none.
const LATER: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static int later;
int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!later) later = access(getenv("LATER"), F_OK) == 0;
    if (!failed && later) now->tv_sec += 13 * 3600;
    return failed;
}
"#;

#[test]
fn the_keys_of_session_tickets_live_half_a_day_however_long_the_server_does() {
    let dir = tempfile::tempdir().unwrap();
    let Some(clock) = built(LATER, dir.path()) else { return };
    let [ticket, later] = ["ticket", "later"].map(|name| dir.path().join(name).to_str().unwrap().to_string());
    for version in ["-tls1_2", "-tls1_3"] {
        let _ = fs::remove_file(&later);
        let mut command = Command::new(BIN);
        command.args(["server", "--listen", "127.0.0.1:0", "--mode", "relay", "--tls"]);
        command.args(["--cert", &cert("server.pem"), "--key", &cert("server.key")]);
        command.env("LD_PRELOAD", &clock).env("LATER", &later);
        let server = Server::from_command(command);
        let is_resumed = |how| session(&server, &[version, how, &ticket]).contains("Reused, TLSv1.");
        assert!(!is_resumed("-sess_out"));
        assert!(is_resumed("-sess_in"), "{version}");
        fs::write(&later, "").unwrap();
        assert!(!is_resumed("-sess_in"), "{version}: by keys that should be gone");
        assert!(!is_resumed("-sess_out"));
        assert!(is_resumed("-sess_in"), "{version}: by the new keys");
    }
}

fn log_year() -> u32 {
    let year = run(Command::new("date").args(["-u", "+%Y"]), b"").text();
    year.trim().parse().unwrap()
}
