//! Files that anybody may have written: whatever is in them, three pictures come out of it, and nothing that a
//! terminal or a browser would obey.

use super::*;
use crate::text::is_control;
use proptest::prelude::*;

/// What stands in a column: what belongs there, what almost does, and what means something to who looks at it.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "\\PC{0,12}",
        2 => "[ -~]{0,20}",
        2 => "(</script>|<img src=x>|&amp;|\\{\\{DATA\\}\\}|\\x1b\\[2J|\\x1b\\]0;x\\x07|\\u{9b}|\\u{202e}|\\u{2066}|\\u{61c}|\\u{2028}|\\u{fffe}|'|\"){1,3}",
    ]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..40_u64, 2 => any::<u64>(), 1 => Just(u64::MAX), 1 => Just(i64::MAX as u64)]
}

fn address() -> impl Strategy<Value = String> {
    let v4 = "127\\.0\\.0\\.[12]"
        .prop_map(|ip| format!("{{sa_family=AF_INET, sin_port=htons(7000), sin_addr=inet_addr(\"{ip}\")}}"));
    prop_oneof![4 => v4, 1 => Just("…".into()), 1 => text()]
}

fn call() -> impl Strategy<Value = String> {
    let fd = || prop_oneof![8 => 3..8_i64, 1 => any::<i64>()];
    let data = || text().prop_map(|text| text.replace('\\', "\\\\").replace('"', "\\\""));
    prop_oneof![
        fd().prop_map(|fd| format!("socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = {fd}")),
        (fd(), fd()).prop_map(|(a, b)| format!("socketpair(AF_UNIX, SOCK_SEQPACKET|SOCK_CLOEXEC, 0, [{a}, {b}]) = 0")),
        (fd(), address()).prop_map(|(fd, to)| format!("bind({fd}, {to}, 16) = 0")),
        (fd(), address()).prop_map(|(fd, to)| format!("connect({fd}, {to}, 16) = 0")),
        (fd(), address()).prop_map(|(fd, at)| format!("getsockname({fd}, {at}, [128 => 16]) = 0")),
        (fd(), address(), fd())
            .prop_map(|(fd, of, new)| format!("accept4({fd}, {of}, [128 => 16], SOCK_NONBLOCK) = {new}")),
        number().prop_map(|pid| format!("fork() = {pid}")),
        (fd(), data(), number())
            .prop_map(|(fd, data, n)| format!("send({fd}, \"{data}\"..., {n}, MSG_NOSIGNAL) = {n}")),
        (fd(), data(), number()).prop_map(|(fd, data, n)| format!("recv({fd}, \"{data}\", 65536, 0) = {n}")),
        (fd(), data(), address()).prop_map(|(fd, data, to)| format!("sendto({fd}, \"{data}\", 9, 0, {to}, 16) = 9")),
        fd().prop_map(|fd| format!("shutdown({fd}, SHUT_WR) = -1 ENOTCONN (x)")),
        (fd(), fd()).prop_map(|(first, last)| format!("close_range({first}, {last}, 0) = 0")),
        fd().prop_map(|fd| format!("close({fd}) = 0")),
        (text(), text()).prop_map(|(name, rest)| format!("{name}({rest}) = 0")),
        (fd(), text(), number()).prop_map(|(fd, word, n)| {
            let word = word.replace(' ', "");
            format!("state {fd} tcp {word} {n} {n} 127.0.0.1:7000 {word}")
        }),
        text(),
    ]
}

fn line() -> impl Strategy<Value = String> {
    let who = prop_oneof![
        3 => Just(("server", "7".to_string())), 3 => Just(("client", "8".to_string())), 2 => Just(("c1", "9".to_string())),
        1 => any::<u32>().prop_map(|n| ("c4294967295", n.to_string())), 1 => text().prop_map(|text| ("client", text)),
    ];
    let record =
        (number(), who, call(), number(), text(), text()).prop_map(|(at, (role, pid), call, took, note, chapter)| {
            format!("{at}\t{role}\t{pid}\t{call}\t{took}\t{note}\t{chapter}")
        });
    let header = (number(), number())
        .prop_map(|(real, mono)| format!("# sockstep-trace 1 realtime={real} monotonic={mono} role=server pid=1"));
    prop_oneof![9 => record, 1 => header, 1 => text()]
}

fn file() -> impl Strategy<Value = String> {
    prop::collection::vec(line(), 0..25).prop_map(|lines| lines.join("\n"))
}

/// A capture of packets of the sockets in the traces, and what comes of it when bytes of it are others.
fn capture() -> impl Strategy<Value = Vec<u8>> {
    let packet = (number(), any::<u8>(), any::<bool>(), 0..4_u8).prop_map(|(at, flags, back, data)| {
        let ends = if back { [7000_u16, 40_000] } else { [40_000, 7000] }.map(u16::to_be_bytes).concat();
        let ip = [0x45, 0, 0, 40 + data, 0, 1, 0x40, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1];
        let frame = [&ip[..], &ends, &[0; 8], &[0x50, flags, 0, 0, 0, 0, 0, 0], &vec![b'x'; data.into()]].concat();
        let head = [at as u32, 0, frame.len() as u32, frame.len() as u32].map(u32::to_le_bytes).concat();
        [head, frame].concat()
    });
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (prop::collection::vec(packet, 0..8), changes).prop_map(|(packets, changes)| {
        let mut bytes = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, 101].map(u32::to_le_bytes).concat();
        bytes.extend(packets.concat());
        changes.into_iter().for_each(|(at, byte)| *at.get_mut(&mut bytes) = byte);
        bytes
    })
}

/// Nothing in it but newlines that a terminal would obey.
fn is_harmless(text: &str) -> bool {
    !text.chars().any(|c| c != '\n' && is_control(c))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_files_become_pictures_that_drive_nothing(
        files in prop::collection::vec(file(), 1..4), capture in prop::option::of(capture()), columns in 0..200_usize,
    ) {
        let traces: Vec<Trace> = files.iter().map(|file| Trace::read("\x1b]0;name\x07", file.as_bytes())).collect();
        prop_assert!(traces.iter().flat_map(|trace| &trace.complaints).all(|line| is_harmless(line)));
        let capture = capture.and_then(|bytes| Capture::read(&bytes).ok());
        let picture = compose::picture(&traces, capture.as_ref().map(|capture| capture.packets.as_slice()));
        prop_assert!(is_harmless(&text::draw(&picture, columns)));
        let (svg, html) = (svg::draw(&picture), html::draw(&picture));
        prop_assert!(is_harmless(&svg) && is_harmless(&html));
        let document = roxmltree::Document::parse(&svg);
        prop_assert!(document.is_ok(), "{:?}", document.err());
        prop_assert_eq!(html.matches("<script").count(), 2);
        prop_assert!(!html.contains("<img"));
        so_far(files[0].as_bytes(), None);
    }
}
