//! How many connections each source address has: one machine must not take every place.
//!
//! A source is one IPv4 address, or the first 64 bits of an IPv6 one: who has one IPv6 address has the whole /64, and could
//! come from another one each time. Memory and time: one entry a source that is here, found by its hash.
//!
//! - Manual: ip(7), ipv6(7)
//! - Standard: RFC 4291 §2.5.4 (64 bits of network, 64 of interface)

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// What counts as one source. IPv4 that comes in over IPv6 is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(IpAddr);

impl Source {
    pub fn of(peer: IpAddr) -> Source {
        Source(match peer.to_canonical() {
            IpAddr::V6(peer) => Ipv6Addr::from_bits(peer.to_bits() & (u128::MAX << 64)).into(),
            v4 => v4,
        })
    }

    /// This machine itself: whoever is on it could do worse than to connect, and `ulimit -u` is there for him.
    pub fn is_exempt(&self) -> bool {
        self.0.is_loopback()
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_ipv6() { write!(f, "{}/64", self.0) } else { self.0.fmt(f) }
    }
}

/// Everybody who is here, counted by source.
#[derive(Debug, Default)]
pub struct Sources(HashMap<Source, u32>);

impl Sources {
    pub fn count(&self, source: Source) -> u32 {
        self.0.get(&source).copied().unwrap_or(0)
    }

    pub fn add(&mut self, source: Source) {
        *self.0.entry(source).or_default() += 1;
    }

    /// The last one of a source takes its entry along.
    pub fn remove(&mut self, source: Source) {
        if let Some(count) = self.0.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn source(text: &str) -> Source {
        Source::of(text.parse().unwrap())
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_a_64_of_ipv6() {
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
        assert_eq!(source("2001:db8:0:1::1"), source("2001:db8:0:1:ffff:ffff:ffff:ffff"));
        assert_ne!(source("2001:db8:0:1::1"), source("2001:db8:0:2::1"));
        assert_eq!(source("2001:db8:0:1::1").to_string(), "2001:db8:0:1::/64");
        assert_eq!(source("::ffff:192.0.2.1").to_string(), "192.0.2.1");
    }

    #[test]
    fn only_this_machine_is_exempt() {
        for own in ["127.0.0.1", "127.255.0.9", "::ffff:127.0.0.1"] {
            assert!(source(own).is_exempt(), "{own}");
        }
        for other in ["128.0.0.1", "192.0.2.1", "2001:db8::1", "fe80::1", "::ffff:192.0.2.1"] {
            assert!(!source(other).is_exempt(), "{other}");
        }
    }

    proptest! {
        /// Held against a plain list of who is here.
        #[test]
        fn who_is_here_is_counted_and_nobody_else_remembered(acts in prop::collection::vec((0..6u8, any::<bool>()), 0..200)) {
            let (mut sources, mut here) = (Sources::default(), Vec::new());
            for (last, comes) in acts {
                let source = Source::of([192, 0, 2, last].into());
                if comes {
                    sources.add(source);
                    here.push(source);
                } else if let Some(place) = here.iter().position(|known| *known == source) {
                    sources.remove(source);
                    here.swap_remove(place);
                }
                prop_assert_eq!(sources.count(source) as usize, here.iter().filter(|known| **known == source).count());
            }
            here.into_iter().for_each(|source| sources.remove(source));
            prop_assert!(sources.0.is_empty());
        }
    }
}
