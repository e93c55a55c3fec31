//! An address as ss prints it.

use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// One end of a socket; nothing is formatted until it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Inet {
        addr: SocketAddr,
        /// Of a link-local address: the interface that it is on.
        interface: Option<String>,
        /// An IPv6 socket that takes no IPv4 (IPV6_V6ONLY): ss writes its `::` as `[::]`, any other's as `*`.
        v6_only: bool,
    },
    /// What sun_path holds: a path, an abstract name (which begins with NUL), or nothing.
    Unix(Vec<u8>),
}

impl Address {
    /// A `struct sockaddr`; `None` for families that the lesson does not have.
    pub fn parse(bytes: &[u8]) -> Option<Address> {
        let (family, rest) = bytes.split_first_chunk()?;
        match libc::c_int::from(u16::from_ne_bytes(*family)) {
            libc::AF_UNIX => Some(Address::Unix(rest.to_vec())),
            libc::AF_INET => {
                let (port, rest) = rest.split_first_chunk()?;
                let ip = Ipv4Addr::from(*rest.first_chunk()?);
                Some(Address::from(SocketAddr::from((ip, u16::from_be_bytes(*port)))))
            }
            libc::AF_INET6 => {
                let (port, rest) = rest.split_first_chunk()?;
                let (ip, scope) = rest.get(size_of::<u32>()..)?.split_first_chunk::<16>()?; // behind sin6_flowinfo
                let scope = u32::from_ne_bytes(*scope.first_chunk()?);
                let addr = SocketAddrV6::new(Ipv6Addr::from(*ip), u16::from_be_bytes(*port), 0, scope);
                Some(Address::from(SocketAddr::from(addr)))
            }
            _ => None,
        }
    }

    /// No address, in the family of this one.
    pub fn none(&self) -> Address {
        match self {
            Address::Inet { addr, v6_only, .. } => {
                let ip = if addr.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
                Address::Inet { addr: SocketAddr::new(ip, 0), interface: None, v6_only: *v6_only }
            }
            Address::Unix(_) => Address::Unix(Vec::new()),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Address {
        Address::Inet { addr, interface: None, v6_only: false }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (addr, interface, v6_only) = match self {
            Address::Inet { addr, interface, v6_only } => (addr, interface, *v6_only),
            Address::Unix(name) => return unix(name, f),
        };
        match addr.ip() {
            IpAddr::V4(ip) => write!(f, "{ip}")?,
            IpAddr::V6(ip) if ip.is_unspecified() && !v6_only => f.write_char('*')?,
            IpAddr::V6(ip) => write!(f, "[{ip}]")?,
        }
        if let Some(interface) = interface {
            write!(f, "%{interface}")?;
        }
        match addr.port() {
            0 => f.write_str(":*"),
            port => write!(f, ":{port}"),
        }
    }
}

/// One word, whatever the name holds: it stands in a line of words.
fn unix(name: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let is_abstract = name.first() == Some(&0);
    let end = if is_abstract { None } else { name.iter().position(|byte| *byte == 0) };
    let name = &name[..end.unwrap_or(name.len())];
    if name.is_empty() {
        return f.write_char('*');
    }
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\0' if is_abstract => f.write_char('@')?,
                c if c.is_whitespace() || c == '\\' || crate::text::is_control(c) => {
                    octal(c.encode_utf8(&mut [0; 4]).as_bytes(), f)?;
                }
                c => f.write_char(c)?,
            }
        }
        octal(chunk.invalid(), f)?;
    }
    Ok(())
}

fn octal(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "\\{byte:03o}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(addr: &str) -> String {
        Address::from(addr.parse::<SocketAddr>().unwrap()).to_string()
    }

    #[test]
    fn addresses_are_written_as_ss_writes_them() {
        assert_eq!(shown("127.0.0.1:7000"), "127.0.0.1:7000");
        assert_eq!(shown("0.0.0.0:0"), "0.0.0.0:*");
        assert_eq!(shown("[::1]:7000"), "[::1]:7000");
        assert_eq!(shown("[::ffff:127.0.0.1]:7000"), "[::ffff:127.0.0.1]:7000");
        assert_eq!(shown("[::]:7000"), "*:7000");
        let addr = "[::]:7000".parse().unwrap();
        let only = Address::Inet { addr, interface: None, v6_only: true };
        assert_eq!((only.to_string(), only.none().to_string()), ("[::]:7000".to_string(), "[::]:*".to_string()));
    }

    #[test]
    fn the_name_of_a_unix_socket_is_one_harmless_word() {
        let shown = |name: &[u8]| Address::Unix(name.to_vec()).to_string();
        assert_eq!(shown(b""), "*");
        assert_eq!(shown(b"/dev/log\0"), "/dev/log");
        assert_eq!(shown(b"\0name"), "@name");
        assert_eq!(shown("/tmp/가 나\t\x1b\\".as_bytes()), "/tmp/가\\040나\\011\\033\\134");
        assert_eq!(shown(b"/\xff"), "/\\377");
    }

    #[test]
    fn a_short_or_foreign_sockaddr_is_no_address() {
        assert_eq!(Address::parse(&[]), None);
        assert_eq!(Address::parse(&[libc::AF_INET as u8, 0, 1, 2, 127, 0, 0]), None);
        assert_eq!(Address::parse(&[libc::AF_INET6 as u8; 12]), None);
        assert_eq!(Address::parse(&(libc::AF_NETLINK as u16).to_ne_bytes()), None);
    }
}
