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

    /// The first `n` bytes are sent. Room that only a burst needed is given back.
    pub fn advance(&mut self, n: usize) {
        self.sent += n;
        if self.is_empty() {
            self.clear();
            self.bytes.shrink_to(OUT_ENOUGH_BYTES);
        }
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
    }
}
