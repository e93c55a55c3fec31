//! The receiving thread: poll(), one recv(), show; until the server ends or is lost.

use std::os::fd::OwnedFd;

use nix::poll::PollFd;

use super::output::Output;
use super::talk::{Heard, Shared};
use super::wait;
use crate::error::errno_of;
use crate::lesson;
use crate::tls::Trouble;
use crate::transport::Received;

const BUFFER_BYTES: usize = 64 * 1024;
/// How a record that a TLS server sends begins: an alert or a handshake message (RFC 8446 §5.1).
const TLS_RECORDS: [[u8; 2]; 2] = [[0x15, 0x03], [0x16, 0x03]];

/// Lives as long as the connection. `_running` closes when it ends: that is how the sender learns of it.
pub fn receive(shared: &Shared<'_>, _running: OwnedFd) -> Heard {
    let mut buf = vec![0; BUFFER_BYTES];
    let (mut first, mut refused, mut output) = (true, false, Output::open());
    let heard = loop {
        match receive_some(shared, &mut buf) {
            Ok(Received::Data(n)) => {
                shared.heard_now();
                let first = std::mem::take(&mut first);
                if first && buf.starts_with(b"* ") {
                    shared.heard_a_notice_first();
                }
                refused |= first && shared.is_refusal(&buf[..n]);
                if first && TLS_RECORDS.iter().any(|start| buf[..n].starts_with(start)) {
                    break Heard::TlsRecord;
                }
                if let Err(error) = show(shared, &mut output, &buf[..n]) {
                    break Heard::OutputFailed(errno_of(&error));
                }
            }
            Ok(Received::Wait) => {}
            Ok(Received::End) => break if refused { Heard::Refused } else { Heard::End },
            Ok(Received::Truncated) => break Heard::Truncated,
            Err(trouble) => break Heard::Lost(trouble),
        }
    };
    if let Some(mut terminal) = shared.terminal() {
        terminal.show_rest();
    }
    let _ = output.finish(); // who does not read any more misses nothing of it
    heard
}

/// Waits without the lock, then reads once with it.
fn receive_some(shared: &Shared<'_>, buf: &mut [u8]) -> Result<Received, Trouble> {
    let (more, event) = {
        let transport = shared.transport();
        (transport.has_more(), transport.read_event())
    };
    if !more {
        lesson::remark(|| "서버가 데이터를 보내기를 기다립니다 (poll)");
        // [07.nolock]
        wait(&mut [PollFd::new(shared.fd, event)], None).map_err(Trouble::Errno)?;
    }
    shared.transport().receive(buf)
}

fn show(shared: &Shared<'_>, output: &mut Output, bytes: &[u8]) -> std::io::Result<()> {
    match shared.terminal() {
        Some(mut terminal) => terminal.show(bytes),
        None => output.print(bytes),
    }
}
