//! The server's TLS as those see it whose trade it is to find fault: sslscan and nmap.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::collections::BTreeSet;
use std::process::Command;

use openssl::rsa::Rsa;
use roxmltree::{Document, Node, ParsingOptions};
use support::tls::Issued;
use support::*;

/// A server with each kind of certificate: `(what the suites of TLS 1.2 call it, the server, what keeps its files)`.
fn servers() -> Vec<(&'static str, Server, Option<tempfile::TempDir>)> {
    let dir = tempfile::tempdir().unwrap();
    let rsa = openssl::pkey::PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let (pem, key) = Issued::leaf_with(rsa, "server", &["localhost"]).write(dir.path(), "rsa");
    vec![
        ("ECDSA", tls_server(&["--mode", "relay"]), None),
        ("RSA", Server::start(&["--mode", "echo", "--tls", "--cert", &pem, "--key", &key]), Some(dir)),
    ]
}

/// What a scanner has to say, as XML. `None` where it is not installed.
fn scan(command: &[&str]) -> Option<String> {
    let mut scanner = Command::new(command[0]);
    if Command::new(command[0]).arg("--version").output().is_err() {
        eprintln!("skipped: {} is not installed (make setup installs it)", command[0]);
        return None;
    }
    let ended = run(scanner.args(&command[1..]), b"");
    assert_eq!(ended.code(), 0, "{command:?}: {}", ended.err);
    Some(ended.text())
}

fn all<'a>(document: &'a Document<'_>, name: &'static str) -> impl Iterator<Item = Node<'a, 'a>> {
    document.root().descendants().filter(move |node| node.has_tag_name(name))
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn sslscan_sees_two_versions_six_suites_and_three_curves() {
    for (kind, server, _dir) in servers() {
        let Some(xml) = scan(&["sslscan", "--xml=-", &server.addr.to_string()]) else { return };
        let found = Document::parse(&xml).unwrap();
        let versions = all(&found, "protocol").filter(|node| node.attribute("enabled") == Some("1"));
        let versions: BTreeSet<_> = versions.map(|node| node.attribute("version").unwrap().to_string()).collect();
        assert_eq!(versions, set(&["1.2", "1.3"]), "{xml}");

        let suites: BTreeSet<_> = all(&found, "cipher").map(|node| node.attribute("cipher").unwrap().into()).collect();
        let expected = ["AES256-GCM-SHA384", "AES128-GCM-SHA256", "CHACHA20-POLY1305"];
        let expected = expected.map(|cipher| format!("ECDHE-{kind}-{cipher}"));
        let new = set(&["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]);
        assert_eq!(suites, new.into_iter().chain(expected).collect(), "{xml}");
        let groups: BTreeSet<_> = all(&found, "group").map(|node| node.attribute("id").unwrap().into()).collect();
        assert_eq!(groups, set(&["0x0017", "0x0018", "0x001d"]), "curves, and nothing else: {xml}");

        let is = |name: &'static str, attribute: &str, value: &str| {
            let mut nodes = all(&found, name).peekable();
            assert!(nodes.peek().is_some(), "no {name}: {xml}");
            assert!(nodes.all(|node| node.attribute(attribute) == Some(value)), "{name} {attribute}: {xml}");
        };
        is("renegotiation", "supported", "0");
        is("heartbleed", "vulnerable", "0");
        // Debian's OpenSSL cannot compress: then sslscan has not tried, and nmap does.
        assert!(all(&found, "compression").all(|node| node.attribute("supported") == Some("0")), "{xml}");
        let self_signed = all(&found, "self-signed").map(|node| node.text());
        assert!(kind == "RSA" || self_signed.eq([Some("false")]), "{xml}");
    }
}

/// `<table key="..."><elem key="...">`, as a script of nmap puts out what it has found.
fn under<'a>(node: Node<'a, 'a>, key: &str) -> Vec<Node<'a, 'a>> {
    node.descendants().filter(|node| node.attribute("key") == Some(key)).collect()
}

#[test]
fn nmap_finds_nothing_below_its_best_mark_and_none_of_the_known_holes() {
    const SCRIPTS: &str = "ssl-enum-ciphers,ssl-dh-params,ssl-heartbleed,ssl-poodle,ssl-ccs-injection,sslv2,sslv2-drown,\
                           ssl-known-key";
    for (kind, server, _dir) in servers() {
        let port = server.port().to_string();
        let scanned = ["nmap", "-n", "-Pn", "-sT", "-p", &port, "--script", SCRIPTS, "-oX", "-", "127.0.0.1"];
        let Some(xml) = scan(&scanned) else { return };
        let found =
            Document::parse_with_options(&xml, ParsingOptions { allow_dtd: true, ..Default::default() }).unwrap();
        let scripts: Vec<_> = all(&found, "script").collect();
        // The others speak up only when they have found a hole.
        assert!(scripts.len() == 1 && scripts[0].attribute("id") == Some("ssl-enum-ciphers"), "{xml}");

        let versions = scripts[0].children().filter_map(|node| node.attribute("key")).filter(|key| key.contains('v'));
        assert_eq!(versions.collect::<Vec<_>>(), ["TLSv1.2", "TLSv1.3"], "{xml}");
        let text = |key: &str| -> Vec<&str> { under(scripts[0], key).iter().filter_map(Node::text).collect() };
        let names: BTreeSet<_> = text("name").into_iter().map(String::from).collect();
        let ciphers = ["AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256"];
        let both = ciphers.iter().flat_map(|c| [format!("TLS_AKE_WITH_{c}"), format!("TLS_ECDHE_{kind}_WITH_{c}")]);
        assert_eq!(names, both.collect(), "{xml}");
        assert!(text("strength").iter().all(|mark| *mark == "A") && text("least strength") == ["A"], "{xml}");
        assert!(text("kex_info").iter().all(|group| *group == "secp256r1" || *group == "ecdh_x25519"), "{xml}");
        let compressors: Vec<_> =
            under(scripts[0], "compressors").iter().filter_map(|node| node.first_element_child()).collect();
        assert!(compressors.len() == 1 && compressors[0].text() == Some("NULL"), "{xml}");
        assert!(under(scripts[0], "warnings").is_empty(), "{xml}");
    }
}
