//! --chroot: a child's `/` is another, and only a child's.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// The capability that is kept until a child has used it.
const CAP_SYS_CHROOT: &str = "0000000000040000";
const NO_CAPABILITY: &str = "0000000000000000";

fn root_of(pid: i32) -> String {
    std::fs::read_link(format!("/proc/{pid}/root")).unwrap().to_str().unwrap().to_string()
}

fn jail(home: &Home) -> String {
    std::fs::create_dir(home.path("empty")).unwrap();
    home.text("empty")
}

fn is_root() -> bool {
    if !geteuid().is_root() {
        eprintln!("skipped: needs root");
    }
    geteuid().is_root()
}

#[test]
fn a_child_lives_in_another_root_and_its_parent_does_not() {
    if !is_root() {
        return;
    }
    for user in ["nobody", "root"] {
        let home = Home::new();
        let jail = jail(&home);
        let server = Server::start(&["--mode", "relay", "--user", user, "--chroot", &jail]);
        let mut peer = server.join();
        peer.send("/who\n");
        assert!(peer.line().contains("손님1"));
        let child = only_child(&server);
        assert_confined(child, "0");
        assert_eq!([root_of(child), root_of(server.pid())], [jail, "/".into()], "{user}");
    }
}

#[test]
fn one_capability_is_left_in_the_parent_and_not_in_force() {
    if !is_root() {
        return;
    }
    let home = Home::new();
    let server = Server::start(&["--user", "nobody", "--chroot", &jail(&home)]);
    let held = ["CapPrm", "CapEff", "CapInh", "CapAmb"].map(|set| status_of(server.pid(), set));
    assert_eq!(held, [CAP_SYS_CHROOT, NO_CAPABILITY, NO_CAPABILITY, NO_CAPABILITY]);
    assert_eq!(status_of(server.pid(), "NoNewPrivs"), "1");
}

#[test]
fn a_daemon_whose_children_are_elsewhere_reads_its_files_again() {
    if !is_root() {
        return;
    }
    let home = Home::new();
    let (jail, log) = (jail(&home), home.path("log"));
    let daemon = Daemon::start_in(&home, &["--mode", "relay", "--user", "nobody", "--chroot", &jail]);
    std::fs::set_permissions(home.dir(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let _before = daemon.join();
    std::fs::rename(&log, home.path("log.1")).unwrap();
    assert_eq!(home.control("reload").code(), 0);
    home.wait_for_log("SIGHUP: log opened anew");
    let _after = daemon.join();
    daemon.wait_for_children(2).into_iter().for_each(|child| assert_eq!(root_of(child), jail));
    assert_eq!(home.control("stop").code(), 0);
}

#[test]
fn what_cannot_be_a_root_is_refused_before_anybody_comes() {
    let refused = |args: &[&str], why: &str, hint: &str| {
        let addr = own_address(7000).to_string();
        let mut command = Command::new(BIN);
        command.args(["server", "--listen", &addr]).args(args);
        assert_refused(&Home::new(), command, &addr, why, hint);
    };
    let home = Home::new();
    let (jail, none) = (jail(&home), home.text("none"));
    refused(&["--chroot", &none], &format!("directory for --chroot {none}: ENOENT"), "디렉터리의 경로");
    refused(&["--chroot", BIN], &format!("directory for --chroot {BIN}: ENOTDIR"), "디렉터리의 경로");
    if is_root() {
        std::fs::set_permissions(&jail, std::fs::Permissions::from_mode(0o700)).unwrap();
        let done = run(
            Command::new(BIN).args(["server", "--listen", "127.0.0.1:0", "--user", "nobody", "--chroot", &jail]),
            b"",
        );
        let why = format!("sockstep: directory for --chroot {jail}: EACCES (Permission denied)\n힌트: ");
        assert!(done.code() == 1 && done.err.contains(&why) && done.err.contains("x 권한"), "{}", done.err);
        let addr = own_address(7000).to_string();
        binary_for_everybody(&home);
        let mut command = Command::new(home.path("sockstep"));
        command.args(["server", "--listen", &addr, "--chroot", "/"]).uid(65534).gid(65534).current_dir("/");
        assert_refused(&Home::new(), command, &addr, "--chroot /: EPERM", "root로 시작해야 합니다");
    } else {
        refused(&["--chroot", &jail], &format!("--chroot {jail}: EPERM"), "root로 시작해야 합니다");
    }
}
