//! What `make certs` makes: keys for one pair of eyes, names for every host, and nothing twice.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::{GeneralNameRef, X509};
use support::*;
use tempfile::tempdir;

const ALL: [&str; 6] = ["ca.key", "ca.pem", "client.key", "client.pem", "server.key", "server.pem"];
const SERVER: [&str; 2] = ["server.key", "server.pem"];
const CLIENT: [&str; 2] = ["client.key", "client.pem"];

/// Every file of the folder, hidden ones too, and what is in it.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.file_name().unwrap().to_str().unwrap().into(), fs::read(path).unwrap())).collect()
}

/// Runs the script again and returns the names of the files that are others than before.
fn changes(dir: &Path, hosts: &[&str]) -> Vec<String> {
    let before = contents(dir);
    make_certs(dir, hosts);
    let after = contents(dir);
    assert!(after.keys().eq(ALL.iter()), "all six, and nothing left over: {:?}", after.keys());
    after.into_iter().filter(|(name, now)| before.get(name) != Some(now)).map(|(name, _)| name).collect()
}

fn certificate(dir: &Path, name: &str) -> X509 {
    X509::from_pem(&fs::read(dir.join(name)).unwrap()).unwrap()
}

/// The names of the server's certificate, as text.
fn names(dir: &Path) -> BTreeSet<String> {
    let names = certificate(dir, "server.pem").subject_alt_names().unwrap();
    let text = |name: &GeneralNameRef| match (name.dnsname(), name.ipaddress()) {
        (Some(dns), _) => dns.to_string(),
        (_, Some(ip)) => match <[u8; 16]>::try_from(ip) {
            Ok(ip) => IpAddr::from(ip).to_string(),
            Err(_) => IpAddr::from(<[u8; 4]>::try_from(ip).unwrap()).to_string(),
        },
        _ => panic!("neither DNS nor IP"),
    };
    names.iter().map(text).collect()
}

fn expected(more: &[&str]) -> BTreeSet<String> {
    ["localhost", "127.0.0.1", "::1"].iter().chain(more).map(|name| name.to_string()).collect()
}

fn verify(dir: &Path, args: &[&str]) -> Output {
    Command::new("openssl")
        .args(["verify", "-x509_strict", "-CAfile", "ca.pem"])
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap()
}

fn assert_verifies(dir: &Path, args: &[&str]) {
    let verified = verify(dir, args);
    assert!(verified.status.success(), "{args:?}: {}", String::from_utf8_lossy(&verified.stderr));
}

#[test]
fn keys_are_private_and_on_p256_and_fit_their_certificates() {
    let dir = tempdir().unwrap();
    make_certs(dir.path(), &[]);
    assert!(contents(dir.path()).keys().eq(ALL.iter()));
    for name in ["ca", "server", "client"] {
        let path = dir.path().join(name).with_extension("key");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600, "{name}");
        let key = PKey::private_key_from_pem(&fs::read(path).unwrap()).unwrap();
        assert_eq!(key.ec_key().unwrap().group().curve_name(), Some(Nid::X9_62_PRIME256V1));
        let certificate = certificate(dir.path(), &format!("{name}.pem"));
        assert!(certificate.public_key().unwrap().public_eq(&key), "{name}");
        assert_eq!(certificate.signature_algorithm().object().nid(), Nid::ECDSA_WITH_SHA256);
    }
}

#[test]
fn the_server_has_the_local_names_and_those_given() {
    for hosts in [&[][..], &["192.0.2.7"], &["class.example", "192.0.2.7", "2001:db8::1", "localhost", "::1"]] {
        let dir = tempdir().unwrap();
        make_certs(dir.path(), hosts);
        assert_eq!(names(dir.path()), expected(hosts));
        for host in expected(hosts) {
            let check = if host.parse::<IpAddr>().is_ok() { "-verify_ip" } else { "-verify_hostname" };
            assert_verifies(dir.path(), &["-purpose", "sslserver", check, &host, "server.pem"]);
        }
        assert!(!verify(dir.path(), &["-verify_hostname", "other.example", "server.pem"]).status.success());
    }
}

#[test]
fn each_certificate_is_for_its_purpose_and_for_no_other() {
    let dir = tempdir().unwrap();
    make_certs(dir.path(), &[]);
    for (name, good, bad) in [("server.pem", "sslserver", "sslclient"), ("client.pem", "sslclient", "sslserver")] {
        assert_verifies(dir.path(), &["-purpose", good, name]);
        let refused = verify(dir.path(), &["-purpose", bad, name]);
        assert!(String::from_utf8_lossy(&refused.stderr).contains("certificate purpose"), "{name} for {bad}");
    }
}

#[test]
fn running_it_again_changes_nothing() {
    let dir = tempdir().unwrap();
    let hosts = ["class.example", "192.0.2.7", "2001:db8::1"];
    make_certs(dir.path(), &hosts);
    for hosts in [&hosts[..], &hosts[1..], &["localhost", "127.0.0.1", "::1"], &[]] {
        assert_eq!(changes(dir.path(), hosts), [""; 0], "{hosts:?}");
    }
}

#[test]
fn a_new_host_renews_the_server_alone() {
    let dir = tempdir().unwrap();
    make_certs(dir.path(), &[]);
    for host in ["class.example", "192.0.2.7", "2001:db8::1"] {
        assert_eq!(changes(dir.path(), &[host]), SERVER);
        assert_eq!(names(dir.path()), expected(&[host]));
        assert_verifies(dir.path(), &["-purpose", "sslserver", "server.pem"]);
    }
}

/// A file of the same kind that belongs to somebody else.
fn other_than(name: &str) -> String {
    if name.starts_with("client") {
        name.replace("client", "server")
    } else {
        format!("client.{}", &name[name.len() - 3..])
    }
}

#[test]
fn what_is_missing_broken_or_no_pair_is_made_again() {
    let dir = tempdir().unwrap();
    make_certs(dir.path(), &[]);
    let harms = ALL.iter().flat_map(|name| ["gone", "spoilt", "no pair"].map(|harm| (*name, harm)));
    for (harmed, harm) in harms.filter(|harm| *harm != ("ca.key", "gone")) {
        let path = dir.path().join(harmed);
        let other = fs::read(dir.path().join(other_than(harmed))).unwrap();
        match harm {
            "gone" => fs::remove_file(&path),
            "spoilt" => fs::write(&path, "-----BEGIN 안녕-----\n"),
            _ => fs::write(&path, other),
        }
        .unwrap();
        let remade = match harmed.split('.').next() {
            Some("server") => SERVER.to_vec(),
            Some("client") => CLIENT.to_vec(),
            _ => ALL.to_vec(), // a new CA has signed nothing yet
        };
        assert_eq!(changes(dir.path(), &[]), remade, "{harmed} {harm}");
        assert_verifies(dir.path(), &["-purpose", "sslserver", "server.pem"]);
        assert_verifies(dir.path(), &["-purpose", "sslclient", "client.pem"]);
        for key in ["ca.key", "server.key", "client.key"] {
            assert_eq!(fs::metadata(dir.path().join(key)).unwrap().permissions().mode() & 0o777, 0o600, "{key}");
        }
    }
}

/// Runs the script for students and returns its exit code and what it says.
fn make_students(dir: &Path, names: &[&str], hosts: &[&str]) -> (i32, String) {
    let mut script = certs_script(dir);
    let done = run(script.args(names.iter().flat_map(|name| ["-c", name])).args(hosts), b"");
    (done.code(), done.text() + &done.err)
}

#[test]
fn a_student_gets_a_certificate_with_the_name_and_learns_what_to_type() {
    let dir = tempdir().unwrap();
    let (code, said) = make_students(dir.path(), &["철수", "kim_2-b"], &["192.0.2.7"]);
    assert_eq!(code, 0, "{said}");
    for name in ["철수", "kim_2-b"] {
        assert!(said.contains(&format!("\n  make run-client SERVER=192.0.2.7:7000 CLIENT={name}\n")), "{said}");
        let pem = certificate(dir.path(), &format!("{name}.pem"));
        let names: Vec<_> = pem.subject_name().entries().map(|entry| entry.data().to_string().unwrap()).collect();
        assert_eq!(names, [name]);
        let key = dir.path().join(name).with_extension("key");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o7777, 0o600);
        assert!(PKey::private_key_from_pem(&fs::read(key).unwrap()).unwrap().public_eq(&pem.public_key().unwrap()));
        assert_verifies(dir.path(), &["-purpose", "sslclient", &format!("{name}.pem")]);
        assert!(!verify(dir.path(), &["-purpose", "sslserver", &format!("{name}.pem")]).status.success());
    }
    let before = contents(dir.path());
    assert_eq!(before.len(), ALL.len() + 4);
    let (_, said) = make_students(dir.path(), &["철수"], &["192.0.2.7"]);
    assert!(contents(dir.path()) == before && said.contains("CLIENT=철수\n"), "nothing is made twice: {said}");
}

/// The relay's own rules (`check_name`), and the files that are here already.
#[test]
fn a_name_that_the_relay_would_refuse_or_that_is_a_file_of_ours_makes_nothing() {
    let dir = tempdir().unwrap();
    let (most, long) = ("가".repeat(20), "가".repeat(21));
    for bad in [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "a b",
        "a.b",
        "-x",
        "손님7",
        "server",
        "CA",
        "client",
        "철수\n영희",
        "$(id)",
        "한\u{200b}",
        "\u{1112}\u{1161}\u{11ab}",
        "ㅤ",
        "힤",
        "꯿",
        &long,
    ] {
        let (code, said) = make_students(dir.path(), &["철수", bad], &[]);
        assert!(code == 2 && said.chars().any(|c| ('가'..='힣').contains(&c)), "{bad:?}: {said}");
        assert_eq!(contents(dir.path()).len(), 0, "{bad:?}");
    }
    for good in ["가", "힣", "ㄱㅣ", "_-", "Z9", &most] {
        assert_eq!(sockstep::relay::check_name(good), Ok(()));
        let (code, said) = make_students(dir.path(), &[good], &[]);
        assert_eq!(code, 0, "{good}: {said}");
    }
}

/// A student has copied ca.pem from the server's machine. A new CA in its place would not know the server.
#[test]
fn a_ca_whose_key_is_elsewhere_is_not_replaced() {
    let (teacher, student) = (tempdir().unwrap(), tempdir().unwrap());
    make_certs(teacher.path(), &[]);
    fs::copy(teacher.path().join("ca.pem"), student.path().join("ca.pem")).unwrap();
    let before = contents(student.path());
    for args in [&[][..], &["-c", "철수"], &["192.0.2.7"]] {
        let done = make_certs_with(student.path(), args);
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(said.contains("ca.key가 없어서 인증서를 만들 수 없습니다."), "{said}");
        assert_eq!(contents(student.path()), before);
    }
    // Locked away on the server's own machine, it is missed only when something has to be signed.
    fs::remove_file(teacher.path().join("ca.key")).unwrap();
    let before = contents(teacher.path());
    assert!(make_certs_with(teacher.path(), &["localhost"]).status.success());
    assert_eq!(make_certs_with(teacher.path(), &["192.0.2.7"]).status.code(), Some(1));
    assert_eq!(contents(teacher.path()), before);
}

fn make_certs_with(dir: &Path, args: &[&str]) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/certs/make-certs.sh");
    Command::new(script).arg("-d").arg(dir).args(args).output().unwrap()
}

#[test]
fn git_holds_no_private_key_and_would_take_none() {
    let git = |args: &[&str]| Command::new("git").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let tracked = git(&["ls-files", "-z"]);
    if !tracked.status.success() {
        eprintln!("skipped: not a git checkout: {}", String::from_utf8_lossy(&tracked.stderr));
        return;
    }
    let tracked = String::from_utf8(tracked.stdout).unwrap();
    assert!(tracked.contains("certs/make-certs.sh"), "{tracked}");
    for name in tracked.split_terminator('\0') {
        let content = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap_or_default();
        let content = String::from_utf8_lossy(&content);
        let key = content.lines().any(|line| line.starts_with("-----BEGIN ") && line.ends_with("PRIVATE KEY-----"));
        assert!(!key && !name.ends_with(".key"), "{name} is a private key");
    }
    for name in ALL {
        let ignored = git(&["check-ignore", "-q", &format!("certs/{name}")]);
        assert!(ignored.status.success(), "`git add .` would take certs/{name}");
    }
}
