//! The keys that seal session tickets, and how old they may become.
//!
//! OpenSSL makes them with the context and keeps them for as long: in a daemon, for months. Under TLS 1.2 a ticket holds all
//! that its conversation was encrypted with, so that whoever gets at the keys then could read what was recorded since
//! the start. So they are thrown away twice a day; a client that comes with an older ticket makes a full handshake.
//!
//! - Manual: SSL_CTX_set_tlsext_ticket_key_evp_cb(3ssl)
//! - Standard: RFC 5077 §5.5 (ticket protection key management), RFC 9325 §3.4

use std::ffi::{c_int, c_long, c_void};
use std::time::{Duration, Instant};

use openssl::rand::rand_bytes;
use openssl::ssl::{SslContext, SslContextRef};

const LIFE: Duration = Duration::from_secs(12 * 60 * 60);

/// A name of 16 bytes, and two keys of 32.
const KEYS_BYTES: usize = 80;
/// `SSL_CTX_set_tlsext_ticket_keys()` is a macro around this command (openssl/tls1.h).
const SET_TICKET_KEYS: c_int = 59;

/// Since when the keys are in use.
#[derive(Debug)]
pub struct TicketKeys(Instant);

impl TicketKeys {
    /// The context was made at `now`, or later.
    pub fn made_at(now: Instant) -> TicketKeys {
        TicketKeys(now)
    }

    /// For the parent, before it makes a child: the child inherits them.
    pub fn renew_when_old(&mut self, context: &SslContext, now: Instant) {
        if now.saturating_duration_since(self.0) < LIFE {
            return;
        }
        self.0 = now;
        let mut keys = [0; KEYS_BYTES];
        if rand_bytes(&mut keys).is_err() || !control(context, SET_TICKET_KEYS, &mut keys) {
            log::warn!("the keys of the session tickets could not be renewed: they stay as they are");
        }
    }
}

#[allow(unsafe_code)] // The crate has no name for it.
fn control(context: &SslContextRef, command: c_int, keys: &mut [u8; KEYS_BYTES]) -> bool {
    unsafe extern "C" {
        fn SSL_CTX_ctrl(context: *mut c_void, command: c_int, length: c_long, data: *mut c_void) -> c_long;
    }
    let context = std::ptr::from_ref(context).cast_mut().cast();
    // SAFETY: a reference to SslContextRef is the pointer to a live SSL_CTX. OpenSSL copies `length` bytes, and refuses a length
    // that is not that of its own keys. Under --no-fork a thread that still has the context is past its handshake.
    unsafe { SSL_CTX_ctrl(context, command, KEYS_BYTES as c_long, keys.as_mut_ptr().cast()) == 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::ssl::SslMethod;

    /// `SSL_CTX_get_tlsext_ticket_keys()`
    const GET_TICKET_KEYS: c_int = 58;

    fn keys_of(context: &SslContext) -> [u8; KEYS_BYTES] {
        let mut keys = [0; KEYS_BYTES];
        assert!(control(context, GET_TICKET_KEYS, &mut keys));
        keys
    }

    #[test]
    fn keys_are_others_every_twelve_hours() {
        let context = SslContext::builder(SslMethod::tls_server()).unwrap().build();
        let start = Instant::now();
        let mut tickets = TicketKeys::made_at(start);
        let mut before = keys_of(&context);
        for (hours, renewed) in [(0, false), (11, false), (12, true), (13, false), (23, false), (24, true), (240, true)]
        {
            tickets.renew_when_old(&context, start + Duration::from_secs(hours * 3600));
            let after = keys_of(&context);
            let parts = [0..16, 16..48, 48..80].map(|part| before[part.clone()] != after[part]);
            assert_eq!(parts, [renewed; 3], "after {hours} hours");
            before = after;
        }
    }
}
