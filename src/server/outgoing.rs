//! What a client is still to get: appended behind, sent from the front.

/// While a client still has to take this much, nothing more is fetched from the hub for it.
pub const OUT_ENOUGH_BYTES: usize = 64 * 1024;

#[derive(Debug, Default)]
pub struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    pub fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The first `n` bytes are sent. They do not stay, even when more keeps coming behind them.
    pub fn advance(&mut self, n: usize) {
        self.sent += n;
        if self.sent >= OUT_ENOUGH_BYTES || self.is_empty() {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        if self.is_empty() {
            self.bytes.shrink_to(OUT_ENOUGH_BYTES); // room that only a burst needed is given back
        }
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_does_not_stay_although_the_end_is_never_reached() {
        let mut out = Outgoing::default();
        let mut next = 0_u32;
        let mut expected = 0_u32;
        for _ in 0..1000 {
            while out.len() < OUT_ENOUGH_BYTES {
                out.push(&next.to_ne_bytes());
                next += 1;
            }
            for word in out.rest()[..16_384].chunks(4) {
                assert_eq!(word, expected.to_ne_bytes());
                expected += 1;
            }
            out.advance(16_384);
            assert!(!out.is_empty() && out.bytes.len() <= 3 * OUT_ENOUGH_BYTES);
        }
    }
}
