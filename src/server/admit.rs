//! Who comes in: accept() and its errors, and a child for each newcomer whom the door lets in.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use openssl::ssl::SslContext;

use super::child::{BUFFERS_BYTES, Setup, serve};
use super::client::{Client, Runner};
use super::parent::Parent;
use super::wait::Waiter;
use super::{NotStarted, hand_to_child, take_newcomer};
use crate::cli::ServerArgs;
use crate::error::{Error, Result, describe, errno_of};
use crate::lifecycle::{AcceptError, Socket, close, duplicate};
use crate::relay::{self, Id, ParentEnd};
use crate::traffic::Traffic;

/// Newcomers taken in one round of the loop: the children must get their turn, too.
const ACCEPTS_A_ROUND: usize = 64;
/// How long the listener is left alone when the system has nothing left.
const PAUSE: Duration = Duration::from_millis(100);

impl Parent<'_> {
    /// The listener is readable: take newcomers until nobody waits, or the round is over.
    pub fn admit(&mut self, now: Instant) -> Result<()> {
        // [06.drain]
        for _ in 0..ACCEPTS_A_ROUND {
            let Some(listener) = self.listener.as_ref().filter(|_| !self.door_is_shut()) else { return Ok(()) };
            match take_newcomer(listener) {
                Ok((conn, peer)) => self.welcome(conn, peer, now),
                Err(AcceptError::Nobody) => return Ok(()),
                Err(AcceptError::Lost(errno)) => {
                    if let Some(more) = self.door.losses.pass(now) {
                        log::info!("a connection was lost in the queue: {} ({more} more)", describe(errno));
                    }
                }
                Err(AcceptError::Exhausted(errno)) => self.pause("accept", errno, now),
                Err(AcceptError::Fatal(errno)) => {
                    return Err(Error::Call { call: "accept", object: self.args.listen.to_string(), errno });
                }
            }
        }
        Ok(())
    }

    /// True while nobody is let in: in a pause, or while --no-fork serves its one client.
    pub fn door_is_shut(&self) -> bool {
        self.door.paused_until.is_some() || (self.args.no_fork && !self.clients.is_empty())
    }

    fn welcome(&mut self, conn: Socket, peer: SocketAddr, now: Instant) {
        if let Some(refusal) = self.door.objection(self.clients.len(), peer) {
            return self.door.turn_away(conn, peer, refusal, now);
        }
        if let Some(context) = &self.tls {
            self.tickets.renew_when_old(context, now);
        }
        let (id, traffic) = (self.last_id + 1, self.places.take());
        match self.start(id, conn, peer, traffic) {
            Ok((end, runner)) => {
                self.exhausted = false;
                self.door.let_in(peer);
                self.register(id, Client::new(end, runner, traffic, peer, self.tls.is_some(), now));
            }
            Err(NotStarted { call, errno, conn }) => {
                self.places.give_back(traffic);
                let words = "! 서버의 자원이 부족합니다. 잠시 뒤에 다시 접속하십시오.\n";
                self.door.refuse(conn, words, now);
                self.pause(call, errno, now);
            }
        }
    }

    /// A child process for the connection; under --no-fork, a thread of this one.
    fn start(
        &mut self,
        id: Id,
        conn: Socket,
        peer: SocketAddr,
        traffic: Option<&'static Traffic>,
    ) -> std::result::Result<(ParentEnd, Runner), NotStarted> {
        let (args, tls) = (self.args, self.tls.as_ref());
        if args.no_fork {
            return start_thread(id, conn, peer, traffic, args.clone(), tls.cloned());
        }
        let setup = Setup {
            id,
            peer,
            traffic,
            args,
            tls,
            mask: self.mask,
            keylog: self.keylog.as_ref(),
            sandbox: self.sandbox.as_ref(),
        };
        hand_to_child(conn, &setup, &mut self.buffers).map(|(end, pid)| (end, Runner::Process(pid)))
    }

    /// Takes the listener out of the wait; what is in its queue stays there. One log line an episode.
    fn pause(&mut self, call: &'static str, errno: Errno, now: Instant) {
        let begins = !std::mem::replace(&mut self.exhausted, true);
        if begins && self.door.exhaustions.pass(now).is_some() {
            log::warn!("{call} failed: {}: not accepting for a moment", describe(errno));
        }
        self.door.dismiss_all(now); // they hold what is missing
        self.door.paused_until = Some(now + PAUSE);
        self.watch_listener();
    }
}

fn start_thread(
    id: Id,
    conn: Socket,
    peer: SocketAddr,
    traffic: Option<&'static Traffic>,
    args: ServerArgs,
    tls: Option<SslContext>,
) -> std::result::Result<(ParentEnd, Runner), NotStarted> {
    let ends = relay::pair().and_then(|pair| Ok((pair, duplicate(conn.as_fd())?)));
    let ((parent_end, child_end), copy) = match ends {
        Ok(ends) => ends,
        Err(errno) => return Err(NotStarted { call: "socketpair", errno, conn }),
    };
    let life = move || {
        let (tls, mask) = (tls.as_ref(), SigSet::empty());
        let setup = Setup { id, peer, traffic, args: &args, tls, mask, keylog: None, sandbox: None };
        serve(copy, child_end, &setup, Waiter::new(None), &mut vec![0; BUFFERS_BYTES])
    };
    match thread::Builder::new().spawn(life) {
        Ok(thread) => {
            close(conn); // the thread has its own
            Ok((parent_end, Runner::Thread(thread)))
        }
        Err(error) => Err(NotStarted { call: "pthread_create", errno: errno_of(&error), conn }),
    }
}
