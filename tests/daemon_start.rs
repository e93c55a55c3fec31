//! What stands against starting a daemon is said by its starter, and leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::unistd::geteuid;
use support::daemon::*;
use support::*;

/// The same for a daemon here with `args` on an address of its own.
#[track_caller]
fn assert_args_refused(home: &Home, args: &[&str], why: &str, hint: &str) {
    let addr = own_address(7000).to_string();
    assert_refused(home, home.command(&[&["--listen", &addr], args].concat()), &addr, why, hint);
}

#[test]
fn a_port_that_is_taken_is_refused_with_the_name_of_its_holder() {
    let holder = Server::start(&[]);
    let home = Home::new();
    let addr = holder.addr.to_string();
    let why = format!("bind({addr}): EADDRINUSE (Address already in use)");
    let hint = format!("지금 이 포트를 가진 프로세스: pid {} (sockstep)", holder.pid());
    assert_refused(&home, home.command(&["--listen", &addr]), "", &why, &hint);
    holder.connect().send("still there\n");
}

#[test]
fn certificates_and_keys_that_cannot_be_used_are_refused() {
    let home = Home::new();
    fs::write(home.path("garbage"), "안녕\n").unwrap();
    fs::set_permissions(home.path("garbage"), fs::Permissions::from_mode(0o600)).unwrap();
    let (pem, key, garbage, missing) = (cert("server.pem"), cert("server.key"), home.text("garbage"), home.text("no"));
    let other = cert("client.key");
    for (pem, key, why) in [
        (&garbage, &key, format!("certificate {garbage}: no certificate in this file")),
        (&missing, &key, format!("certificate {missing}: ENOENT (No such file or directory)")),
        (&pem, &garbage, format!("private key {garbage}: not an unencrypted PEM private key")),
        (&pem, &missing, format!("private key {missing}: ENOENT")),
        (&pem, &other, format!("private key {other}: does not belong to the certificate {pem}")),
    ] {
        assert_args_refused(&home, &["--tls", "--cert", pem, "--key", key], &why, "");
    }
}

#[test]
fn an_unknown_user_is_refused() {
    let user = ["--user", "no-such-user"];
    assert_args_refused(&Home::new(), &user, "user no-such-user: no such user", "getent passwd");
}

#[test]
fn a_log_file_that_cannot_be_opened_is_refused() {
    let home = Home::new();
    let (lost, folder) = (home.text("missing/log"), home.dir().to_str().unwrap().to_string());
    let hint = "디렉터리는 미리 만들어 두어야 합니다";
    assert_args_refused(&home, &["--log-file", &lost], &format!("log file {lost}: ENOENT"), hint);
    assert_args_refused(&home, &["--log-file", &folder], &format!("log file {folder}: EISDIR (Is a directory)"), hint);
    let fifo = home.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let fifo = fifo.to_str().unwrap(); // nobody reads it: to wait for that would be for ever
    assert_args_refused(&home, &["--log-file", fifo], &format!("log file {fifo}: ENXIO"), hint);
}

#[test]
fn a_pid_file_that_is_none_is_refused_and_left_as_it_is() {
    let home = Home::new();
    let pid_file = home.path("pid");
    let refused = |why: &str| {
        let why = format!("PID file {}: {why}", pid_file.display());
        assert_args_refused(&home, &[], &why, "PID 파일은 데몬만 쓰는 일반 파일이어야 합니다");
    };
    let precious = home.path("precious");
    fs::write(&precious, "12345\n").unwrap();
    symlink(&precious, &pid_file).unwrap();
    refused("is a symbolic link: refused");
    assert_eq!(home.read("precious"), "12345\n");
    fs::remove_file(&pid_file).unwrap();

    symlink(home.path("nowhere"), &pid_file).unwrap();
    refused("is a symbolic link: refused");
    assert!(!home.path("nowhere").exists(), "made through a dangling link");
    fs::remove_file(&pid_file).unwrap();

    fs::create_dir(&pid_file).unwrap();
    refused("is not a regular file: refused");
    fs::remove_dir(&pid_file).unwrap();

    nix::unistd::mkfifo(&pid_file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused("is not a regular file: refused");
    assert!(fs::metadata(&pid_file).unwrap().file_type().is_fifo());
    fs::remove_file(&pid_file).unwrap();

    for text in ["내 일기\n", "4121 and more\n", "12345678901234567890123456789012345\n", "-5\n", "\0\0"] {
        fs::write(&pid_file, text).unwrap();
        refused("holds something else than a PID: left alone");
        assert_eq!(fs::read_to_string(&pid_file).unwrap(), text);
        for command in ["status", "stop", "reload"] {
            assert!([0, 3, 7].contains(&home.control(command).code()));
        }
        assert_eq!(fs::read_to_string(&pid_file).unwrap(), text);
    }
}

#[test]
fn a_pid_file_in_a_folder_that_is_not_there_is_refused() {
    let home = Home::new();
    let lost = home.text("missing/pid");
    assert_args_refused(&home, &["--pid-file", &lost], &format!("PID file {lost}: ENOENT"), "경로와 쓰기 권한을");
}

#[test]
fn a_pid_file_that_may_not_be_written_is_refused() {
    let home = Home::new();
    let binary = binary_for_everybody(&home);
    fs::write(home.pid_file(), "1\n").unwrap();
    fs::write(home.path("log"), "").unwrap();
    fs::set_permissions(home.path("log"), fs::Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(home.pid_file(), fs::Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(home.dir(), fs::Permissions::from_mode(0o555)).unwrap();
    for pid_file in [home.text("pid"), home.text("another")] {
        let addr = own_address(7000).to_string();
        let mut command = Command::new(&binary);
        let files = ["--pid-file", &pid_file, "--log-file", &home.text("log")].map(String::from);
        command.args(["server", "--daemon", "--listen", &addr]).args(files).current_dir("/");
        if geteuid().is_root() {
            command.uid(65534).gid(65534);
        }
        assert_refused(&home, command, &addr, &format!("PID file {pid_file}: EACCES"), "쓰기 권한을");
    }
    assert_eq!(home.read("pid"), "1\n");
    fs::set_permissions(home.dir(), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_same_file_for_pid_and_log_is_refused() {
    let home = Home::new();
    let file = home.text("both");
    let why = format!("PID file {file}: is the log file as well");
    assert_args_refused(&home, &["--pid-file", &file, "--log-file", &file], &why, "서로 다른 파일");
    fs::write(home.path("real"), "").unwrap();
    symlink(home.path("real"), home.path("link")).unwrap();
    let (real, link) = (home.text("real"), home.text("link"));
    let why = format!("PID file {real}: is the log file as well");
    assert_args_refused(&home, &["--pid-file", &real, "--log-file", &link], &why, "서로 다른 파일");
}

#[test]
fn a_second_daemon_is_told_who_holds_the_pid_file() {
    let first = Daemon::start(&[]);
    let (home, addr) = (&first.home, own_address(7000).to_string());
    let done = run(&mut home.command(&["--listen", &addr]), b"");
    assert_eq!((done.code(), done.text().as_str()), (1, ""), "{}", done.err);
    let held = format!(
        "sockstep: PID file {}: held by pid {} (sockstep), which listens on TCP {}\n힌트: 데몬이 이미 실행 중입니다.",
        home.text("pid"),
        first.pid,
        first.addr
    );
    assert!(done.err.starts_with(&held), "{}", done.err);
    assert!(TcpListener::bind(&addr).is_ok());
    assert_eq!(home.processes(), [first.pid]);
    first.serves();
}

#[test]
fn as_root_a_user_must_be_named() {
    if !geteuid().is_root() {
        return eprintln!("skipped: needs root");
    }
    let (home, addr) = (Home::new(), own_address(7000).to_string());
    let mut command = Command::new(BIN);
    command.args(["server", "--daemon", "--listen", &addr, "--pid-file", &home.text("pid")]);
    command.args(["--log-file", &home.text("log")]);
    assert_refused(&home, command, &addr, "--daemon: refused as root without --user", "--user nobody");
}
