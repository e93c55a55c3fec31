//! A system call of the lesson: its name, its arguments, and what came back.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::fcntl::OFlag;
use nix::sys::socket::{AddressFamily, MsgFlags, Shutdown, SockFlag, SockType};
use nix::unistd::Pid;

/// Borrowed arguments, cheap to build: nothing is formatted here.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    Socket { domain: AddressFamily, kind: SockType, flags: SockFlag },
    Socketpair { kind: SockType, flags: SockFlag },
    Setsockopt { fd: BorrowedFd<'a>, level: &'static str, name: &'static str, value: i32 },
    Linger { fd: BorrowedFd<'a>, seconds: i32 },
    Getsockopt { fd: BorrowedFd<'a>, level: &'static str, name: &'static str },
    Bind { fd: BorrowedFd<'a>, addr: &'a SocketAddr },
    Getsockname { fd: BorrowedFd<'a> },
    Listen { fd: BorrowedFd<'a>, backlog: i32 },
    Accept { fd: BorrowedFd<'a>, flags: SockFlag },
    Fork,
    Connect { fd: BorrowedFd<'a>, addr: &'a SocketAddr },
    ConnectUnix { fd: BorrowedFd<'a>, path: &'a str },
    Recv { fd: BorrowedFd<'a>, len: usize, flags: MsgFlags },
    Send { fd: BorrowedFd<'a>, data: &'a [u8], flags: MsgFlags },
    Recvfrom { fd: BorrowedFd<'a>, len: usize },
    Sendto { fd: BorrowedFd<'a>, data: &'a [u8], to: &'a SocketAddr },
    Recvmsg { fd: BorrowedFd<'a>, len: usize },
    Sendmsg { fd: BorrowedFd<'a>, data: &'a [u8], to: &'a SocketAddr, info: &'a PacketInfo },
    Shutdown { fd: BorrowedFd<'a>, how: Shutdown },
    Close { fd: i32 },
    CloseRange { first: u32, last: u32 },
    Dupfd { fd: BorrowedFd<'a>, least: i32 },
    Getfl { fd: BorrowedFd<'a> },
    Setfl { fd: BorrowedFd<'a>, flags: OFlag },
}

impl<'a> Call<'a> {
    /// The descriptor that the call is about; none for those that make one, and for those that take it away.
    pub fn fd(&self) -> Option<BorrowedFd<'a>> {
        match *self {
            Call::Socket { .. } | Call::Socketpair { .. } | Call::Fork | Call::Close { .. } => None,
            Call::CloseRange { .. } => None,
            Call::Setsockopt { fd, .. } | Call::Getsockopt { fd, .. } | Call::Bind { fd, .. } => Some(fd),
            Call::Linger { fd, .. } => Some(fd),
            Call::Getsockname { fd } | Call::Listen { fd, .. } | Call::Accept { fd, .. } => Some(fd),
            Call::Connect { fd, .. } | Call::ConnectUnix { fd, .. } | Call::Shutdown { fd, .. } => Some(fd),
            Call::Recv { fd, .. } | Call::Recvfrom { fd, .. } | Call::Recvmsg { fd, .. } => Some(fd),
            Call::Send { fd, .. } | Call::Sendto { fd, .. } | Call::Sendmsg { fd, .. } => Some(fd),
            Call::Getfl { fd } | Call::Setfl { fd, .. } | Call::Dupfd { fd, .. } => Some(fd),
        }
    }

    /// The number of the descriptor that the call is about.
    pub fn number(&self) -> Option<RawFd> {
        match self {
            Call::Close { fd } => Some(*fd),
            other => other.fd().map(|fd| fd.as_raw_fd()),
        }
    }

    /// The call takes something off a queue: what lies there is worth a look before.
    pub fn takes(&self) -> bool {
        matches!(self, Call::Accept { .. } | Call::Recv { .. } | Call::Recvfrom { .. } | Call::Recvmsg { .. })
    }
}

/// What a call gave back: the number in `rax`, and what the kernel wrote through pointers.
#[derive(Clone, Debug, Default)]
pub struct Returned<'a> {
    pub value: i64,
    pub data: Option<&'a [u8]>,
    pub addr: Option<SocketAddr>,
    pub number: Option<i32>,
    pub pair: Option<[i32; 2]>,
    pub info: Option<PacketInfo>,
    pub flags: Option<OFlag>,
    /// Descriptors that the call has made.
    pub made: [Option<BorrowedFd<'a>>; 2],
}

/// A Rust result that knows its kernel form.
pub trait Outcome {
    fn returned(&self) -> Returned<'_>;
}

impl Outcome for () {
    fn returned(&self) -> Returned<'_> {
        Returned::default()
    }
}

impl Outcome for OwnedFd {
    fn returned(&self) -> Returned<'_> {
        let made = [Some(self.as_fd()), None];
        Returned { value: i64::from(self.as_raw_fd()), made, ..Returned::default() }
    }
}

impl Outcome for (OwnedFd, OwnedFd) {
    fn returned(&self) -> Returned<'_> {
        let made = [Some(self.0.as_fd()), Some(self.1.as_fd())];
        Returned { pair: Some([self.0.as_raw_fd(), self.1.as_raw_fd()]), made, ..Returned::default() }
    }
}

impl Outcome for (OwnedFd, SocketAddr) {
    fn returned(&self) -> Returned<'_> {
        let (addr, made) = (Some(self.1), [Some(self.0.as_fd()), None]);
        Returned { value: i64::from(self.0.as_raw_fd()), addr, made, ..Returned::default() }
    }
}

impl Outcome for SocketAddr {
    fn returned(&self) -> Returned<'_> {
        Returned { addr: Some(*self), ..Returned::default() }
    }
}

/// `getsockopt`: the option's value.
impl Outcome for i32 {
    fn returned(&self) -> Returned<'_> {
        Returned { number: Some(*self), ..Returned::default() }
    }
}

/// `send`, and a `recv` that only counts: how many bytes.
impl Outcome for usize {
    fn returned(&self) -> Returned<'_> {
        Returned { value: *self as i64, ..Returned::default() }
    }
}

/// `recv`: the bytes that came.
impl Outcome for &[u8] {
    fn returned(&self) -> Returned<'_> {
        Returned { value: self.len() as i64, data: Some(self), ..Returned::default() }
    }
}

/// One packet of a SEQPACKET socket; `length` is more than there are bytes when it was cut.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    pub bytes: &'a [u8],
    pub length: usize,
}

impl Outcome for Packet<'_> {
    fn returned(&self) -> Returned<'_> {
        Returned { value: self.length as i64, data: Some(self.bytes), ..Returned::default() }
    }
}

/// What IP_PKTINFO (ip(7)) and IPV6_PKTINFO (ipv6(7)) say of a datagram: how it came in, or is to go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketInfo {
    /// `asked` is the address that it was sent to; `ours` the one to answer from, which differs for a broadcast.
    V4 { interface: u32, ours: Ipv4Addr, asked: Ipv4Addr },
    /// An IPv6 socket sees an IPv4 address as `::ffff:a.b.c.d`.
    V6 { interface: u32, asked: Ipv6Addr },
}

/// One datagram and its sender; `info` when the socket has been asked for it, and recvmsg() for the datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    pub bytes: &'a [u8],
    pub from: SocketAddr,
    pub info: Option<PacketInfo>,
}

impl Outcome for Datagram<'_> {
    fn returned(&self) -> Returned<'_> {
        let (data, addr) = (Some(self.bytes), Some(self.from));
        Returned { value: self.bytes.len() as i64, data, addr, info: self.info, ..Returned::default() }
    }
}

/// `fcntl(F_GETFL)`: the descriptor's flags.
impl Outcome for OFlag {
    fn returned(&self) -> Returned<'_> {
        Returned { value: i64::from(self.bits()), flags: Some(*self), ..Returned::default() }
    }
}

/// `fork`: the child's pid in the parent, 0 in the child.
impl Outcome for Option<Pid> {
    fn returned(&self) -> Returned<'_> {
        Returned { value: self.map_or(0, |pid| i64::from(pid.as_raw())), ..Returned::default() }
    }
}
