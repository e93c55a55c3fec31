//! The limit of this architecture: accept, fork, echo, exit. Raw libc and OpenSSL, and nothing else:
//! no relay, no trace, no limits, no log.
#![allow(unsafe_code)] // Plain system calls are the point; each is held against what it may do beside it.

use std::io::Error;
use std::path::Path;
use std::ptr::null_mut;

use openssl::ssl::SslContext;
use openssl_sys as ssl;

use super::{announce, server_context};
use crate::failure::Result;

unsafe extern "C" {
    /// The one of OpenSSL's functions here that openssl-sys does not declare.
    fn SSL_set_fd(tls: *mut ssl::SSL, fd: i32) -> i32;
}

const BUF_BYTES: usize = 64 * 1024;

/// Serves for ever.
pub fn serve(certs: Option<&Path>) -> Result<()> {
    let context = certs.map(server_context).transpose()?;
    let listener = listen()?;
    let mut buf = vec![0; BUF_BYTES];
    loop {
        // SAFETY: no address is asked for.
        let conn = check(unsafe { libc::accept(listener, null_mut(), null_mut()) })?;
        // SAFETY: there is one thread, so the child may do what the parent may.
        match check(unsafe { libc::fork() })? {
            0 => {
                // SAFETY: the child's own descriptors, and its end.
                unsafe {
                    libc::close(listener);
                    match &context {
                        None => echo(conn, &mut buf),
                        Some(context) => echo_tls(conn, context, &mut buf),
                    }
                    libc::_exit(0)
                }
            }
            // SAFETY: the child has its own copy of conn; no status is asked for.
            _ => unsafe {
                libc::close(conn);
                while libc::waitpid(-1, null_mut(), libc::WNOHANG) > 0 {}
            },
        }
    }
}

fn listen() -> Result<i32> {
    // SAFETY: sockaddr_in is plain numbers, and lives longer than each call that is given its address.
    unsafe {
        let listener = check(libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0))?;
        let (one, int) = (1, size_of::<i32>() as u32);
        // Inherited by what accept() gives.
        check(libc::setsockopt(listener, libc::IPPROTO_TCP, libc::TCP_NODELAY, (&raw const one).cast(), int))?;
        let mut addr: libc::sockaddr_in = std::mem::zeroed();
        let mut len = size_of::<libc::sockaddr_in>() as u32;
        addr.sin_family = libc::AF_INET as u16;
        addr.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        check(libc::bind(listener, (&raw const addr).cast(), len))?;
        check(libc::listen(listener, 4096))?;
        check(libc::getsockname(listener, (&raw mut addr).cast(), &mut len))?;
        announce(u16::from_be(addr.sin_port));
        Ok(listener)
    }
}

/// Gives everything back until the client has no more.
///
/// # Safety
/// `conn` is an open socket that nobody else reads.
unsafe fn echo(conn: i32, buf: &mut [u8]) {
    loop {
        // SAFETY: the buffer is as long as is said.
        let len = unsafe { libc::recv(conn, buf.as_mut_ptr().cast(), buf.len(), 0) };
        let Ok(len @ 1..) = usize::try_from(len) else { return };
        let mut sent = 0;
        while sent < len {
            let rest = &buf[sent..len];
            // SAFETY: as above.
            let n = unsafe { libc::send(conn, rest.as_ptr().cast(), rest.len(), libc::MSG_NOSIGNAL) };
            let Ok(n) = usize::try_from(n) else { return };
            sent += n;
        }
    }
}

/// The same through OpenSSL, which writes all that it is given.
///
/// # Safety
/// As for [`echo`].
unsafe fn echo_tls(conn: i32, context: &SslContext, buf: &mut [u8]) {
    use foreign_types::ForeignType;
    // SAFETY: the context is alive; the process ends after this, so nothing is freed; the buffer is as long as is said.
    unsafe {
        let tls = ssl::SSL_new(context.as_ptr());
        if tls.is_null() || SSL_set_fd(tls, conn) != 1 || ssl::SSL_accept(tls) != 1 {
            return;
        }
        loop {
            let len = ssl::SSL_read(tls, buf.as_mut_ptr().cast(), buf.len() as i32);
            if len <= 0 || ssl::SSL_write(tls, buf.as_ptr().cast(), len) != len {
                break;
            }
        }
        ssl::SSL_shutdown(tls);
    }
}

fn check(result: i32) -> Result<i32> {
    if result < 0 { Err(Error::last_os_error().into()) } else { Ok(result) }
}
