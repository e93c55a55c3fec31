//! The looks: what the kernel tells of a socket without the socket noticing.
//!
//! They are no calls of the lesson and do not pass the gate: a trace shows what the program does, not
//! that somebody looks on. Neither is anything here that would change what it looks at: SO_ERROR
//! clears the error that it reads, recv() takes what it shows.

use std::mem::{MaybeUninit, offset_of};
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// Room for the longest address that is asked for, one of AF_UNIX. The lesson's own getsockname() has
/// more: in strace a look is `[110 => 16]`, the lesson's call `[128 => 16]`.
const ROOM: usize = size_of::<libc::sockaddr_un>();

/// An address as the kernel wrote it.
pub struct RawAddress {
    bytes: [u8; ROOM],
    len: libc::socklen_t,
}

impl RawAddress {
    const EMPTY: RawAddress = RawAddress { bytes: [0; ROOM], len: ROOM as libc::socklen_t };

    /// A path of 108 bytes has no room for its NUL, yet the kernel counts it: unix(7), Bugs.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..ROOM.min(self.len as usize)]
    }
}

#[allow(unsafe_code)] // nix has no room but its own, which is that of the lesson's call.
pub fn local(fd: BorrowedFd<'_>) -> nix::Result<RawAddress> {
    let mut raw = RawAddress::EMPTY;
    // SAFETY: the kernel writes at most `len` bytes, and that is the room; both live until it returns.
    let result = unsafe { libc::getsockname(fd.as_raw_fd(), raw.bytes.as_mut_ptr().cast(), &raw mut raw.len) };
    Errno::result(result).map(|_| raw)
}

#[allow(unsafe_code)] // as local(), of which it is the twin
pub fn peer(fd: BorrowedFd<'_>) -> nix::Result<RawAddress> {
    let mut raw = RawAddress::EMPTY;
    // SAFETY: the kernel writes at most `len` bytes, and that is the room; both live until it returns.
    let result = unsafe { libc::getpeername(fd.as_raw_fd(), raw.bytes.as_mut_ptr().cast(), &raw mut raw.len) };
    Errno::result(result).map(|_| raw)
}

/// The peer that an unfinished connect() has named: getpeername() says ENOTCONN until it has answered.
///
/// SO_PEERNAME is EINVAL unless the room is exactly an address of the socket's family.
pub fn asked_peer(fd: BorrowedFd<'_>, is_v4: bool) -> nix::Result<RawAddress> {
    let len = if is_v4 { size_of::<libc::sockaddr_in>() } else { size_of::<libc::sockaddr_in6>() };
    let mut raw = RawAddress { len: len as libc::socklen_t, ..RawAddress::EMPTY };
    option(fd, libc::SOL_SOCKET, SO_PEERNAME, &mut raw.bytes[..len])?;
    Ok(raw)
}

/// asm-generic/socket.h; libc does not have it.
const SO_PEERNAME: libc::c_int = 28;

/// `getsockopt(fd, level, name)` into `room`; returns how many bytes the kernel filled.
#[allow(unsafe_code)] // nix has one type for each option, and none for those that are asked here.
fn option(fd: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, room: &mut [u8]) -> nix::Result<usize> {
    let mut len = room.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `room`, which is as long; both live until it returns.
    let result = unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, room.as_mut_ptr().cast(), &raw mut len) };
    Errno::result(result).map(|_| len as usize)
}

/// `fstat(fd).st_ino`. Some C libraries make it an fstatat(), which a child may not call: that one takes paths.
#[allow(unsafe_code)] // the call itself has no function
pub fn inode(fd: BorrowedFd<'_>) -> nix::Result<u64> {
    let mut found = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the kernel's struct is that of 64-bit Linux's C libraries; it fills this one, which lives until it returns.
    let result = unsafe { libc::syscall(libc::SYS_fstat, fd.as_raw_fd(), found.as_mut_ptr()) };
    // SAFETY: zeroed, and filled by now: a struct of numbers.
    Errno::result(result).map(|_| unsafe { found.assume_init() }.st_ino)
}

/// An option whose value is an int.
pub fn number(fd: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int) -> nix::Result<i32> {
    let mut value = [0; size_of::<i32>()];
    option(fd, level, name, &mut value)?;
    Ok(i32::from_ne_bytes(value))
}

/// Bytes of memory that a socket's packets take: what has arrived, and what is on its way out.
///
/// SO_MEMINFO fills an array (linux/sock_diag.h): SK_MEMINFO_RMEM_ALLOC is its first, SK_MEMINFO_WMEM_ALLOC its third.
pub fn memory(fd: BorrowedFd<'_>) -> nix::Result<(u32, u32)> {
    const SO_MEMINFO: libc::c_int = 55;
    let mut filled = [0; 3 * size_of::<u32>()];
    option(fd, libc::SOL_SOCKET, SO_MEMINFO, &mut filled)?;
    Ok((word(&filled, 0), word(&filled, 2 * size_of::<u32>())))
}

fn word(filled: &[u8], at: usize) -> u32 {
    filled.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

/// The part of tcp(7)'s TCP_INFO that is shown.
pub struct TcpInfo {
    pub state: u8,
    pub unacked: u32,
    pub sacked: u32,
    pub rtt_us: u32,
    pub rtt_deviation_us: u32,
    pub cwnd: u32,
    pub mss: u32,
    pub retrans: u32,
    pub total_retrans: u32,
}

/// `getsockopt(fd, SOL_TCP, TCP_INFO)`: an error on whatever is not TCP.
///
/// The struct has grown with the kernel, always at its end; every kernel fills what is read here.
pub fn tcp_info(fd: BorrowedFd<'_>) -> nix::Result<TcpInfo> {
    const NEEDED: usize = offset_of!(libc::tcp_info, tcpi_total_retrans) + size_of::<u32>();
    let mut filled = [0; NEEDED];
    if option(fd, libc::IPPROTO_TCP, libc::TCP_INFO, &mut filled)? < NEEDED {
        return Err(Errno::EINVAL);
    }
    Ok(TcpInfo {
        state: filled[offset_of!(libc::tcp_info, tcpi_state)],
        unacked: word(&filled, offset_of!(libc::tcp_info, tcpi_unacked)),
        sacked: word(&filled, offset_of!(libc::tcp_info, tcpi_sacked)),
        rtt_us: word(&filled, offset_of!(libc::tcp_info, tcpi_rtt)),
        rtt_deviation_us: word(&filled, offset_of!(libc::tcp_info, tcpi_rttvar)),
        cwnd: word(&filled, offset_of!(libc::tcp_info, tcpi_snd_cwnd)),
        mss: word(&filled, offset_of!(libc::tcp_info, tcpi_snd_mss)),
        retrans: word(&filled, offset_of!(libc::tcp_info, tcpi_retrans)),
        total_retrans: word(&filled, offset_of!(libc::tcp_info, tcpi_total_retrans)),
    })
}

/// SIOCINQ: bytes of a stream that wait to be read, or of the next datagram; EINVAL on a listener.
pub fn unread(fd: BorrowedFd<'_>) -> nix::Result<u32> {
    queue(fd, libc::FIONREAD)
}

/// SIOCOUTQ: bytes that the peer has not acknowledged; EINVAL on a TCP listener.
pub fn unsent(fd: BorrowedFd<'_>) -> nix::Result<u32> {
    queue(fd, libc::TIOCOUTQ)
}

/// libc has these two under their terminal names; on a socket FIONREAD is SIOCINQ, TIOCOUTQ is SIOCOUTQ.
#[allow(unsafe_code)] // ioctl(2) has no typed form; these two fill one int.
fn queue(fd: BorrowedFd<'_>, which: libc::Ioctl) -> nix::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the kernel writes one int to `bytes`, which lives until the call returns.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), which, &raw mut bytes) };
    Errno::result(result).map(|_| bytes.max(0) as u32)
}
