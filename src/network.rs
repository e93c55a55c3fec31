//! Networks as `--allow` takes them: `192.168.0.0/24`, `10.0.0.5`, `2001:db8::/32` (CIDR, RFC 4632); and
//! the addresses of this machine.
//!
//! - Manual: ip(7), ipv6(7), proc_pid_net(5)
//! - Standard: RFC 4632 (CIDR), RFC 4291 §2.3 (IPv6 prefixes), §2.5.5.2 (IPv4-mapped addresses)

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The addresses whose first `prefix` bits are those of `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// All host bits are 0. Never an IPv4-mapped address: that is IPv4.
    first: IpAddr,
    prefix: u32,
}

/// Whether a peer from `peer` may come in. Where nothing is listed, everybody may.
pub fn allowed(networks: &[Network], peer: IpAddr) -> bool {
    networks.is_empty() || networks.iter().any(|network| network.contains(peer))
}

/// The addresses at which other machines reach this one: no loopback, nothing link-local.
///
/// Read from the kernel's tables in /proc: getifaddrs(3) would open a socket of its own, and whoever looks
/// on with strace would wonder what it is for.
pub fn own_addresses() -> Vec<IpAddr> {
    let table = |path| std::fs::read_to_string(path).unwrap_or_default(); // without IPv6 there is no second one
    let (v4, v6) = (table("/proc/net/fib_trie"), table("/proc/net/if_inet6"));
    v4_addresses(&v4).into_iter().map(IpAddr::V4).chain(v6_addresses(&v6).into_iter().map(IpAddr::V6)).collect()
}

/// 0.0.0.0 and :: are this machine; answers come from the address that it has, so it is named here.
pub fn reached(mut server: SocketAddr) -> SocketAddr {
    match server.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => server.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => server.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    server
}

/// `|-- 192.0.2.2`, and on a line below it `/32 host LOCAL`. Each stands there twice, once a table.
fn v4_addresses(fib_trie: &str) -> Vec<Ipv4Addr> {
    let (mut found, mut last) = (Vec::new(), None);
    for line in fib_trie.lines().map(str::trim) {
        if let Some(addr) = line.strip_prefix("|-- ") {
            last = addr.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(last.filter(|addr| !addr.is_loopback() && !addr.is_link_local() && !found.contains(addr)));
        }
    }
    found
}

/// `2001…0001 02 40 00 80 eth0`: the address in hexadecimal, without colons.
fn v6_addresses(if_inet6: &str) -> Vec<Ipv6Addr> {
    let addrs = if_inet6.lines().filter_map(|line| u128::from_str_radix(line.split(' ').next()?, 16).ok());
    addrs.map(Ipv6Addr::from).filter(|addr| !addr.is_loopback() && !addr.is_unicast_link_local()).collect()
}

impl Network {
    /// A listener on `::` sees IPv4 peers as `::ffff:a.b.c.d`: they are compared as what they are.
    pub fn contains(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        addr.is_ipv4() == self.first.is_ipv4() && masked(addr, self.prefix) == self.first
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (addr, prefix) = text.split_once('/').map_or((text, None), |(addr, prefix)| (addr, Some(prefix)));
        let addr: IpAddr = addr.parse().map_err(|_| {
            format!("IP 주소가 아닙니다: '{addr}'. 192.168.0.0/24, 10.0.0.5, 2001:db8::/32처럼 적으십시오")
        })?;
        let most = bits(addr);
        let digits = |prefix: &&str| !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = match prefix {
            None => most,
            Some(prefix) => Some(prefix)
                .filter(digits)
                .and_then(|prefix| prefix.parse().ok())
                .filter(|prefix| *prefix <= most)
                .ok_or_else(|| format!("'/' 뒤에는 0부터 {most}까지의 수를 적으십시오: '/{prefix}'"))?,
        };
        let first = masked(addr, prefix);
        let canonical = addr.to_canonical();
        Ok(match prefix.checked_sub(bits(addr) - bits(canonical)) {
            Some(prefix) => Network { first: masked(canonical, prefix), prefix },
            None => Network { first, prefix }, // wider than all of IPv4: it is about IPv6
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

/// How long an address of this family is.
fn bits(addr: IpAddr) -> u32 {
    if addr.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS }
}

/// `addr` with all bits behind the first `prefix` set to 0.
fn masked(addr: IpAddr, prefix: u32) -> IpAddr {
    let host_bits = bits(addr).saturating_sub(prefix);
    match addr {
        // A shift by the whole width is no shift to Rust: then nothing is left.
        IpAddr::V4(addr) => Ipv4Addr::from(u32::MAX.checked_shl(host_bits).unwrap_or(0) & u32::from(addr)).into(),
        IpAddr::V6(addr) => Ipv6Addr::from(u128::MAX.checked_shl(host_bits).unwrap_or(0) & u128::from(addr)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_reached_at_what_is_neither_loopback_nor_link_local() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 192.0.2.0\n        \
                    /24 link UNICAST\n     |-- 192.0.2.2\n        /32 host LOCAL\nLocal:\n     |-- 192.0.2.2\n        \
                    /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link BROADCAST\n";
        assert_eq!(v4_addresses(trie), [Ipv4Addr::new(192, 0, 2, 2)]);
        let inet6 = "fd000000000000000000000000000002 04 40 00 82     eth0\n\
                     00000000000000000000000000000001 01 80 10 80       lo\n\
                     fe8000000000000000fc00fffe000001 04 40 20 80     eth0\n";
        assert_eq!(v6_addresses(inet6), ["fd00::2".parse::<Ipv6Addr>().unwrap()]);
    }
    use proptest::prelude::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        for (text, inside, outside) in [
            ("192.168.0.0/24", "192.168.0.255", "192.168.1.0"),
            ("10.0.0.5", "10.0.0.5", "10.0.0.4"),
            ("10.0.0.4/31", "10.0.0.5", "10.0.0.6"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "::2"),
            ("::/0", "2001:db8::1", "127.0.0.1"),
        ] {
            assert!(network(text).contains(addr(inside)), "{inside} in {text}");
            assert!(!network(text).contains(addr(outside)), "{outside} in {text}");
        }
    }

    #[test]
    fn host_bits_do_not_matter() {
        assert_eq!(network("192.168.0.77/24").to_string(), "192.168.0.0/24");
        assert_eq!(network("2001:db8::1/32").to_string(), "2001:db8::/32");
        assert_eq!(network("10.0.0.5").to_string(), "10.0.0.5/32");
    }

    #[test]
    fn a_mapped_address_is_an_ipv4_address() {
        assert!(network("127.0.0.0/8").contains(addr("::ffff:127.0.0.9")));
        assert!(!network("::/0").contains(addr("::ffff:127.0.0.9")));
        assert_eq!(network("::ffff:10.1.2.3/104").to_string(), "10.0.0.0/8");
        assert_eq!(network("::ffff:10.1.2.3/95").to_string(), "::fffe:0:0/95");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in [
            "",
            "/",
            "/8",
            "abc",
            "10.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0.0/255.0.0.0",
            "::1/129",
            "[::1]",
            "localhost",
            " 10.0.0.1",
            "10.0.0.0/99999999999",
            "fe80::1%lo",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_empty_list_lets_everybody_in_and_any_other_only_who_is_on_it() {
        assert!(allowed(&[], addr("198.51.100.7")));
        let list = [network("127.0.0.1"), network("2001:db8::/32")];
        assert!(allowed(&list, addr("127.0.0.1")) && allowed(&list, addr("2001:db8::7")));
        assert!(!allowed(&list, addr("127.0.0.2")) && !allowed(&list, addr("::1")));
    }

    fn any_addr() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<u32>().prop_map(|n| Ipv4Addr::from(n).into()),
            any::<u128>().prop_map(|n| Ipv6Addr::from(n).into())
        ]
    }

    proptest! {
        /// Held against the definition, bit by bit: inside is who has the same first bits.
        #[test]
        fn inside_is_who_shares_the_first_bits(a in any_addr(), flip in 0..128u32, prefix in 0..=128u32) {
            let (prefix, flip) = (prefix.min(bits(a)), flip % bits(a));
            let b: IpAddr = match a {
                IpAddr::V4(a) => Ipv4Addr::from(u32::from(a) ^ (1 << (31 - flip))).into(),
                IpAddr::V6(a) => Ipv6Addr::from(u128::from(a) ^ (1 << (127 - flip))).into(),
            };
            prop_assume!(a == a.to_canonical() && b == b.to_canonical());
            let network = network(&format!("{a}/{prefix}"));
            prop_assert!(network.contains(a));
            prop_assert_eq!(network.contains(b), flip >= prefix);
            prop_assert_eq!(self::network(&network.to_string()), network);
        }

        #[test]
        fn any_table_of_the_kernels_is_read_without_harm(
            table in "((\\|-- )?[0-9a-f.: /]{0,40}( host LOCAL)?\n|\\PC{0,20}\n){0,8}",
        ) {
            let (v4, v6) = (v4_addresses(&table), v6_addresses(&table));
            prop_assert!(v4.len() + v6.len() <= table.lines().count());
        }

        #[test]
        fn any_text_is_a_network_or_is_refused(text in "\\PC{0,24}|[0-9a-f.:]{0,20}/?[0-9+-]{0,4}") {
            if let Ok(found) = text.parse::<Network>() {
                prop_assert_eq!(network(&found.to_string()), found);
            }
        }
    }
}
