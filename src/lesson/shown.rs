//! Data and addresses of a call as strace shows them; text is shown as UTF-8.

use std::ffi::CStr;
use std::fmt::Write;
use std::net::{SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::call::Returned;

/// Bytes of data shown in a line: strace's default.
const SHOWN_BYTES: usize = 32;

pub fn length(addr: &SocketAddr) -> usize {
    if addr.is_ipv4() { size_of::<libc::sockaddr_in>() } else { size_of::<libc::sockaddr_in6>() }
}

pub fn address(fd: BorrowedFd<'_>, addr: &SocketAddr) -> String {
    match addr {
        SocketAddr::V4(a) => {
            format!("{{sa_family=AF_INET, sin_port=htons({}), sin_addr=inet_addr(\"{}\")}}", a.port(), a.ip())
        }
        SocketAddr::V6(a) => format!(
            "{{sa_family=AF_INET6, sin6_port=htons({}), sin6_flowinfo=htonl({}), inet_pton(AF_INET6, \"{}\", \
             &sin6_addr), sin6_scope_id={}}}",
            a.port(),
            a.flowinfo(),
            a.ip(),
            scope(fd, a)
        ),
    }
}

/// The scope of an address: only a link-local one has one, and it is an interface.
fn scope(fd: BorrowedFd<'_>, addr: &SocketAddrV6) -> String {
    let local_multicast = matches!(addr.ip().octets(), [0xff, flags, ..] if flags & 0x0f == 2);
    if addr.ip().is_unicast_link_local() || local_multicast {
        interface(fd, addr.scope_id())
    } else {
        addr.scope_id().to_string()
    }
}

/// `if_nametoindex("lo")`, or the number of an interface that has no name.
pub fn interface(fd: BorrowedFd<'_>, index: u32) -> String {
    match interface_name(fd, index) {
        Some(name) => format!("if_nametoindex({})", quoted(&name)),
        None => index.to_string(),
    }
}

/// The name is asked for on the socket that the call is about: if_indextoname(3) opens one of its own,
/// and strace would show calls that nobody made but the trace.
#[allow(unsafe_code)] // ioctl(2) has no typed form; SIOCGIFNAME fills one small struct.
pub fn interface_name(fd: BorrowedFd<'_>, index: u32) -> Option<Vec<u8>> {
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_ifindex: index as i32 },
    };
    // SAFETY: `request` is an ifreq that the kernel may write to, and lives until the call returns.
    let known = unsafe { libc::ioctl(fd.as_raw_fd(), libc::SIOCGIFNAME as _, &raw mut request) } == 0;
    let name: Vec<u8> = request.ifr_name.iter().map(|byte| *byte as u8).collect();
    let name = CStr::from_bytes_until_nul(&name).ok().filter(|_| known)?;
    Some(name.to_bytes().to_vec())
}

/// An address that the kernel filled in, with the room it had and the room it took.
pub fn filled_address(fd: BorrowedFd<'_>, back: &Returned<'_>) -> String {
    match back.addr {
        Some(addr) => format!("{}, [{} => {}]", address(fd, &addr), size_of::<libc::sockaddr_storage>(), length(&addr)),
        None => format!("…, [{}]", size_of::<libc::sockaddr_storage>()),
    }
}

/// `"안녕\n"`, cut after 32 bytes on a character's border; bytes that are not text as `\377`.
pub fn quoted(data: &[u8]) -> String {
    let mut out = String::from("\"");
    let mut shown = 0;
    // The header of a TLS record: what looks like text behind it is chance.
    let is_secret = matches!(data, [20..=23, 3, 0..=4, ..]);
    'all: for chunk in data.utf8_chunks() {
        for c in chunk.valid().chars() {
            if shown + c.len_utf8() > SHOWN_BYTES {
                break 'all;
            }
            shown += c.len_utf8();
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if crate::text::is_control(c) || (is_secret && !c.is_ascii()) => {
                    octal(c.to_string().as_bytes(), data.get(shown), &mut out)
                }
                c => out.push(c),
            }
        }
        if shown + chunk.invalid().len() > SHOWN_BYTES {
            break;
        }
        shown += chunk.invalid().len();
        octal(chunk.invalid(), data.get(shown), &mut out);
    }
    out.push('"');
    if shown < data.len() {
        out.push_str("...");
    }
    out
}

/// `\1`, and `\001` where a digit follows that would be read as part of it.
fn octal(bytes: &[u8], next: Option<&u8>, out: &mut String) {
    for (n, byte) in bytes.iter().enumerate() {
        let digits = if matches!(bytes.get(n + 1).or(next), Some(b'0'..=b'7')) { 3 } else { 1 };
        // Writing to a String cannot fail.
        let _ = write!(out, "\\{byte:0digits$o}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_text_is_shown_as_text_and_the_rest_as_octal() {
        assert_eq!(quoted("안녕\n".as_bytes()), "\"안녕\\n\"");
        // A line of the trace is one line for every reader, and its characters stand in their order.
        assert_eq!(quoted("가\u{2028}나\u{2029}".as_bytes()), r#""가\342\200\250나\342\200\251""#);
        assert_eq!(quoted("가\u{202e}나\u{61c}".as_bytes()), r#""가\342\200\256나\330\234""#);
        assert_eq!(quoted(b"\xff\x1b\"\\"), r#""\377\33\"\\""#);
        assert_eq!(quoted("\u{17}\u{3}\u{3}가".as_bytes()), r#""\27\3\3\352\260\200""#); // a TLS record
        assert_eq!(quoted(b"\x01\x002\x028\xff7"), r#""\1\0002\28\3777""#); // as strace writes it
        assert_eq!(quoted("가".repeat(20).as_bytes()), format!("\"{}\"...", "가".repeat(10)));
    }
}
