//! From root to a user, and no way back: what is held against the kernel's own words about parent and child.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;
#[path = "support/udp.rs"]
mod udp;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use nix::unistd::{User, geteuid};
use support::daemon::*;
use support::tls::Issued;
use support::*;

/// What becomes of root: its number, and its group's. Skips the test, and says so, where we are not root.
fn nobody() -> Option<(u32, u32)> {
    if !geteuid().is_root() {
        eprintln!("skipped: needs root");
        return None;
    }
    let nobody = User::from_name("nobody").unwrap();
    if nobody.is_none() {
        eprintln!("skipped: there is no user nobody here");
    }
    nobody.map(|user| (user.uid.as_raw(), user.gid.as_raw()))
}

/// The kernel shows this identity, four times each, and not one capability.
#[track_caller]
fn assert_is(pid: i32, (uid, gid): (u32, u32)) {
    assert_eq!(status_of(pid, "Uid"), vec![uid.to_string(); 4].join(" "));
    assert_eq!(status_of(pid, "Gid"), vec![gid.to_string(); 4].join(" "));
    assert_eq!(status_of(pid, "Groups"), gid.to_string());
    for set in ["CapEff", "CapPrm", "CapAmb"] {
        assert_eq!(status_of(pid, set), "0000000000000000", "{set}");
    }
    assert_eq!(status_of(pid, "NoNewPrivs"), "1");
}

/// A port that only root may open.
fn privileged_address() -> String {
    own_address(7).to_string()
}

#[test]
fn in_the_foreground_root_becomes_nobody_and_its_children_with_it() {
    let Some(nobody) = nobody() else { return };
    for kind in [&["--mode", "relay"][..], &["--mode", "relay", "--no-fork"]] {
        let server = Server::start_on(&privileged_address(), &[kind, &["--user", "nobody"]].concat());
        let _peer = server.join();
        assert_is(server.pid(), nobody);
        server.children().into_iter().for_each(|child| assert_is(child, nobody));
        assert_eq!(server.children().len(), if kind.contains(&"--no-fork") { 0 } else { 1 });
        server.wait_for_log(&format!("running as nobody (uid {}, gid {})", nobody.0, nobody.1));
    }
}

#[test]
fn a_daemon_of_roots_becomes_nobody_and_its_children_with_it() {
    let Some(nobody) = nobody() else { return };
    let daemon = Daemon::start(&["--mode", "relay", "--user", "nobody", "--listen", &privileged_address()]);
    let (mut a, mut b) = (daemon.join(), daemon.join());
    a.line_with("손님2");
    assert_is(daemon.pid, nobody);
    daemon.wait_for_children(2).into_iter().for_each(|child| assert_is(child, nobody));
    b.send("누구십니까\n");
    assert_eq!(a.line(), "[손님2] 누구십니까");
    let status = daemon.home.control("status").text();
    assert!(status.contains(&format!("{} (nobody)", nobody.0)), "{status}");
    assert_eq!(daemon.home.control("stop").code(), 0);
    assert!(a.rest().contains("안녕히"));
}

#[test]
fn a_udp_server_of_roots_becomes_nobody() {
    let Some(nobody) = nobody() else { return };
    let daemon = Daemon::start(&["--udp", "--user", "nobody", "--listen", &privileged_address()]);
    assert_is(daemon.pid, nobody);
    udp::assert_echoed(daemon.addr, b"who are you");
}

/// Groups that the starter was in beside its own, as a login of root's is.
#[test]
fn the_groups_of_the_starter_are_left_behind() {
    let Some(nobody) = nobody() else { return };
    let mut command = Command::new("setpriv");
    command.args(["--groups", "0,4,27,100", BIN, "server", "--listen", "127.0.0.1:0", "--user", "nobody"]);
    let server = Server::from_command(command);
    assert_is(server.pid(), nobody);
}

#[test]
fn root_that_was_asked_for_by_name_stays_root() {
    if nobody().is_none() {
        return;
    }
    let daemon = Daemon::start(&["--user", "root"]);
    assert_eq!((status_of(daemon.pid, "Uid"), status_of(daemon.pid, "Gid")), ("0 0 0 0".into(), "0 0 0 0".into()));
    daemon.serves();
}

#[test]
fn a_key_for_root_alone_is_read_at_the_start_and_cannot_be_read_again() {
    if nobody().is_none() {
        return;
    }
    for as_daemon in [true, false] {
        let home = Home::new();
        let (ca, day) = (Issued::ca("test CA"), -1..10);
        let (ca_pem, _) = ca.write(home.dir(), "ca");
        let old = Issued::leaf("old", &[], day.clone(), Some(&ca));
        let (pem, key) = old.write(home.dir(), "server");
        let for_root_alone = || fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        for_root_alone();
        let args = home.args(&["--mode", "relay", "--tls", "--cert", &pem, "--key", &key, "--user", "nobody"]);
        let args: Vec<String> = args.into_iter().filter(|arg| as_daemon || arg != "--daemon").collect();
        let (addr, _server) = if as_daemon {
            let daemon = Daemon::from_command(&home, Command::new(BIN).args(args));
            (daemon.addr, None)
        } else {
            let mut command = Command::new(BIN);
            command.args(args);
            let server = Server::from_command(command);
            (server.addr, Some(server))
        };
        let join = || {
            let mut connector = openssl::ssl::SslConnector::builder(openssl::ssl::SslMethod::tls_client()).unwrap();
            connector.set_ca_file(&ca_pem).unwrap();
            let tcp = Peer::new(std::net::TcpStream::connect(addr).unwrap()).stream;
            let stream = connector.build().connect("127.0.0.1", tcp).unwrap();
            (stream.ssl().peer_certificate().unwrap().to_pem().unwrap(), stream)
        };
        let (shown, _before) = join();
        assert_eq!(shown, old.pem.to_pem().unwrap());
        Issued::leaf("new", &[], day, Some(&ca)).write(home.dir(), "server");
        for_root_alone();
        assert_eq!(home.control("reload").code(), 0);
        home.wait_for_log("the old certificate stays");
        let why = format!("SIGHUP: private key {key}: EACCES (Permission denied): the old certificate stays");
        assert!(home.log().contains(&why), "{}", home.log());
        assert_eq!(join().0, old.pem.to_pem().unwrap());
        chown(&key, Some(nobody().unwrap().0), None).unwrap();
        assert_eq!(home.control("reload").code(), 0);
        home.wait_for_log("certificate and key read anew");
        assert_ne!(join().0, old.pem.to_pem().unwrap());
    }
}

#[test]
fn a_log_file_that_the_server_has_made_belongs_to_the_user_and_is_opened_anew() {
    let Some((uid, gid)) = nobody() else { return };
    let home = Home::new();
    fs::create_dir(home.path("log.d")).unwrap();
    chown(home.path("log.d"), Some(uid), Some(gid)).unwrap();
    let log = home.path("log.d/log");
    let daemon = Daemon::start_in(&home, &["--user", "nobody", "--log-file", log.to_str().unwrap()]);
    let owner = |path: &Path| fs::metadata(path).map(|meta| (meta.uid(), meta.gid(), meta.mode() & 0o777)).unwrap();
    assert_eq!(owner(&log), (uid, gid, 0o640));
    daemon.serves();
    // First as it is, then as logrotate does it.
    assert_eq!(home.control("reload").code(), 0);
    eventually("the log opened anew", || fs::read_to_string(&log).unwrap().contains("SIGHUP: log opened anew"));
    fs::rename(&log, home.path("log.d/log.1")).unwrap();
    assert_eq!(home.control("reload").code(), 0);
    let new = || fs::read_to_string(&log).unwrap_or_default();
    eventually("a new log", || new().contains("SIGHUP: log opened anew"));
    assert_eq!(owner(&log), (uid, gid, 0o640));
    daemon.serves();
    assert_eq!(home.control("stop").code(), 0);
    assert!(new().contains("connected") && new().contains("stopped"), "{}", new());
}

#[test]
fn a_log_file_that_was_there_keeps_its_owner() {
    let Some(_) = nobody() else { return };
    let home = Home::new();
    fs::write(home.path("log"), "before\n").unwrap();
    fs::set_permissions(home.path("log"), fs::Permissions::from_mode(0o600)).unwrap();
    let daemon = Daemon::start_in(&home, &["--user", "nobody"]);
    daemon.serves();
    home.wait_for_log("connected");
    let meta = fs::metadata(home.path("log")).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o777), (0, 0, 0o600));
    assert!(home.log().starts_with("before\n"), "{}", home.log());
    // It cannot be opened anew: so it stays, and says so.
    assert_eq!(home.control("reload").code(), 0);
    let why = format!("SIGHUP: log file {}: EACCES (Permission denied): the old log stays", home.text("log"));
    home.wait_for_log(&why);
    daemon.serves();
    assert_eq!(home.control("stop").code(), 0);
    assert!(home.log().trim_end().contains("stopped"), "{}", home.log());
}

/// Who owns the folder could otherwise have root append to any file.
#[test]
fn a_log_file_that_is_a_link_is_not_followed_by_root_on_the_way_to_a_user() {
    let Some(_) = nobody() else { return };
    let home = Home::new();
    fs::write(home.path("precious"), "mine\n").unwrap();
    std::os::unix::fs::symlink(home.path("precious"), home.path("link")).unwrap();
    let link = home.text("link");
    let done = run(
        Command::new(BIN).args(["server", "--listen", "127.0.0.1:0", "--user", "nobody", "--log-file", &link]),
        b"",
    );
    assert_eq!((done.code(), done.text().as_str()), (1, ""));
    let why = format!("sockstep: log file {link}: is a symbolic link: refused under --user\n힌트: ");
    assert!(done.err.starts_with(&why), "{}", done.err);
    assert_eq!(fs::read_to_string(home.path("precious")).unwrap(), "mine\n");
    // Whoever stays root has been asked, and nobody else owns its folders.
    let daemon = Daemon::start_in(&home, &["--user", "root", "--log-file", &link]);
    daemon.serves();
    assert!(fs::read_to_string(home.path("precious")).unwrap().starts_with("mine\n20"));
}

#[test]
fn a_trace_file_that_is_a_link_is_not_followed_either() {
    let Some(_) = nobody() else { return };
    let home = Home::new();
    fs::write(home.path("precious"), "mine\n").unwrap();
    std::os::unix::fs::symlink(home.path("precious"), home.path("link")).unwrap();
    let link = home.text("link");
    let trace = format!("--trace={link}");
    let done = run(Command::new(BIN).args(["server", "--listen", "127.0.0.1:0", "--user", "nobody", &trace]), b"");
    assert_eq!((done.code(), done.text().as_str()), (1, ""));
    let why = format!("sockstep: trace file {link}: is a symbolic link: refused under --user\n힌트: ");
    assert!(done.err.starts_with(&why), "{}", done.err);
    assert_eq!(fs::read_to_string(home.path("precious")).unwrap(), "mine\n");
    Server::start(&["--user", "root", &trace]);
    assert!(fs::read_to_string(home.path("precious")).unwrap().starts_with("mine\n# sockstep-trace 1 "));
}

#[test]
fn a_pid_file_in_roots_folder_is_emptied_at_the_end_and_removed_by_stop() {
    let Some(_) = nobody() else { return };
    let home = Home::new(); // root's own: nobody may pass, and no more
    let daemon = Daemon::start_in(&home, &["--user", "nobody"]);
    assert_eq!(home.read("pid"), format!("{}\n", daemon.pid));
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    daemon.is_gone();
    assert_eq!(fs::read(home.pid_file()).unwrap(), b"");
    assert!(home.log().contains("emptied, not removed: EACCES"), "{}", home.log());
    assert_eq!(home.control("status").code(), 3);
    let daemon = Daemon::start_in(&home, &["--user", "nobody"]);
    assert_eq!(home.read("pid"), format!("{}\n", daemon.pid));
    assert_eq!(home.control("stop").code(), 0);
    assert!(!home.pid_file().exists());
}

#[test]
fn a_user_that_is_not_there_is_refused_before_the_port_opens() {
    let addr = own_address(7000).to_string();
    let done = run(Command::new(BIN).args(["server", "--listen", &addr, "--user", "no-such-user"]), b"");
    assert_eq!((done.code(), done.text().as_str()), (1, ""));
    assert!(done.err.starts_with("sockstep: user no-such-user: no such user\n힌트: "), "{}", done.err);
    assert!(std::net::TcpListener::bind(&addr).is_ok());
}

/// `sockstep ARGS` as uid 65534.
fn as_stranger(home: &Home, args: &[&str]) -> Command {
    let mut command = Command::new(home.path("sockstep"));
    command.args(args).uid(65534).gid(65534).current_dir("/");
    command
}

#[test]
fn who_is_not_root_may_become_only_itself() {
    let Some((uid, _)) = nobody() else { return };
    if uid != 65534 {
        return eprintln!("skipped: nobody is {uid} here");
    }
    let home = Home::new();
    binary_for_everybody(&home);
    let addr = own_address(7000).to_string();
    let done = run(&mut as_stranger(&home, &["server", "--listen", &addr, "--user", "root"]), b"");
    assert_eq!((done.code(), done.text().as_str()), (1, ""));
    let why = "sockstep: user root: EPERM (Operation not permitted)\n힌트: 다른 사용자의 권한으로 실행하려면 root로 시작해야 합니다.";
    assert!(done.err.starts_with(why), "{}", done.err);
    assert!(std::net::TcpListener::bind(&addr).is_ok());
    let server = Server::from_command(as_stranger(&home, &["server", "--listen", &addr, "--user", "nobody"]));
    let mut peer = server.connect();
    peer.send("a\n");
    assert_eq!(peer.line(), "a");
    assert_eq!(status_of(server.pid(), "Uid"), "65534 65534 65534 65534");
}

#[test]
fn a_daemon_without_root_needs_no_user_and_cannot_be_stopped_by_a_stranger() {
    let Some(_) = nobody() else { return };
    let home = Home::new();
    binary_for_everybody(&home);
    fs::create_dir(home.path("own")).unwrap();
    chown(home.path("own"), Some(65534), Some(65534)).unwrap();
    let (pid_file, log) = (home.text("own/pid"), home.text("own/log"));
    let files = ["--pid-file", &pid_file, "--log-file", &log];
    let args = [&["server", "--daemon", "--listen", "127.0.0.1:0"], &files[..]].concat();
    let daemon = Daemon::from_command(&home, &mut as_stranger(&home, &args));
    daemon.serves();
    assert_eq!(status_of(daemon.pid, "Uid"), "65534 65534 65534 65534");
    let stop = |home: &Home, pid_file: &str| run(&mut as_stranger(home, &["stop", "--pid-file", pid_file]), b"");
    assert_eq!(stop(&home, &pid_file).code(), 0);
    assert!(!is_running(daemon.pid) && !Path::new(&pid_file).exists());

    let roots: Rc<Home> = Home::new();
    let daemon = Daemon::start_in(&roots, &[]);
    let refused = stop(&home, &roots.text("pid"));
    assert_eq!(refused.code(), 1);
    assert!(
        refused.err.contains("EPERM (Operation not permitted)\n힌트: 다른 사용자의 데몬입니다."),
        "{}",
        refused.err
    );
    let status = run(&mut as_stranger(&home, &["status", "--pid-file", &roots.text("pid")]), b"");
    assert_eq!(status.code(), 0, "{}", status.err);
    assert!(
        status.text().contains(&format!("{}", daemon.pid)) && status.text().contains("알 수 없음"),
        "{}",
        status.text()
    );
    daemon.serves();
}
