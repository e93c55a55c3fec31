//! The parent's loop: one epoll over the listener, the signals and a relay socket for each child.
//!
//! It is single-threaded, never blocks but in epoll_wait(), and never reads a client's bytes.
//!
//! - Manual: epoll(7), signalfd(2)

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};
use openssl::ssl::SslContext;

use super::child::BUFFERS_BYTES;
use super::client::{Client, Runner};
use super::deliver::LAST_WORDS;
use super::door::Door;
use super::start::{Kept, sandbox_around_children};
use crate::cli::ServerArgs;
use crate::error::{During, Result, describe};
use crate::lesson;
use crate::lifecycle::Socket;
use crate::limits;
use crate::relay::{Hub, Id, RELAY_MAX_BYTES, Rules};
use crate::sandbox::Sandbox;
use crate::signal::{ControllingTerminal, Watch, mask_of_a_child};
use crate::tls::{KeyLog, TicketKeys};
use crate::traffic::Places;

/// epoll's marks for what is not a child.
const LISTENER: u64 = u64::MAX;
const SIGNALS: u64 = u64::MAX - 1;
const EVENTS_A_ROUND: usize = 256;
/// Children that have been told to end are killed after this; the server ends within 5 s.
pub const GOODBYE: Duration = Duration::from_millis(4500);

pub struct Parent<'a> {
    pub args: &'a ServerArgs,
    pub tls: Option<SslContext>,
    pub tickets: TicketKeys,
    /// Open for as long as the server runs: children write to it, and so does a context made anew.
    pub keylog: Option<KeyLog>,
    /// `None` once the server is stopping.
    pub listener: Option<Socket>,
    pub door: Door,
    /// The system had nothing left when it was last asked; one log line an episode.
    pub exhausted: bool,
    pub last_id: Id,
    pub terminal: ControllingTerminal,
    /// Where the children count what they move.
    pub places: Places,
    pub clients: BTreeMap<Id, Client>,
    pub hub: Hub,
    pub epoll: Epoll,
    signals: Watch,
    /// Children whose packets have ended: they are about to exit, or have.
    pub parted: Vec<Id>,
    /// A child's queue has room again: there may be packets to deliver.
    pub news: bool,
    /// The kernel had no memory for a packet: it is tried again then.
    pub short_until: Option<Instant>,
    /// Until then the hub does not wait for others to speak as well.
    pub brisk_until: Option<Instant>,
    /// Children that the hub has no room to hear.
    pub unheard: Vec<Id>,
    /// Children with a time to be gone by.
    pub kill_at: Vec<(Instant, Id)>,
    /// Set once: the time by which all children are to be gone.
    pub stop_by: Option<Instant>,
    pub packet: Vec<u8>,
    /// Of a child: for its ppoll(), and to read into. The parent never writes there, so that there are no pages
    /// to copy.
    pub mask: SigSet,
    pub buffers: Vec<u8>,
    /// `None` under --no-fork and --no-sandbox.
    pub sandbox: Option<Sandbox>,
}

impl<'a> Parent<'a> {
    /// `kept`: what was made ready while a person was still looking.
    pub fn new(args: &'a ServerArgs, kept: Kept, signals: Watch, listener: Socket) -> Result<Self> {
        let Kept { tls, keylog, root } = kept;
        let max_clients = limits::clients_that_fit(args.max_clients, limits::raise_open_files());
        if max_clients < args.max_clients {
            log::warn!("at most {max_clients} clients, not {}: the limit of open files (ulimit -Hn)", args.max_clients);
        }
        let (certified, keys_logged) = (args.client_ca.is_some(), args.keylog);
        let rules = Rules { slow_timeout: args.slow_timeout, certified, keys_logged };
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).during("epoll_create1", "")?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER)).during("epoll_ctl", "listener")?;
        epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, SIGNALS)).during("epoll_ctl", "signalfd")?;
        let sandbox = sandbox_around_children(args, keylog.as_ref(), root)?;
        Ok(Parent {
            args,
            tls,
            tickets: TicketKeys::made_at(Instant::now()),
            keylog,
            listener: Some(listener),
            door: Door::new(args, max_clients),
            exhausted: false,
            last_id: 0,
            terminal: ControllingTerminal::look(),
            places: Places::new(max_clients).during("mmap", "MAP_SHARED")?,
            clients: BTreeMap::new(),
            hub: Hub::new(rules),
            epoll,
            signals,
            parted: Vec::new(),
            news: false,
            short_until: None,
            brisk_until: None,
            unheard: Vec::new(),
            kill_at: Vec::new(),
            stop_by: None,
            packet: vec![0; RELAY_MAX_BYTES],
            mask: mask_of_a_child().during("sigprocmask", "")?,
            buffers: vec![0; BUFFERS_BYTES],
            sandbox,
        })
    }

    /// Serves until told to stop and every child has gone.
    pub fn run(mut self) -> Result<()> {
        let mut events = [EpollEvent::empty(); EVENTS_A_ROUND];
        while self.stop_by.is_none() || !self.clients.is_empty() {
            lesson::remark(|| self.awaited());
            let count = match self.epoll.wait(&mut events, self.timeout()) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno).during("epoll_wait", ""),
            };
            let now = Instant::now();
            self.hear(&events[..count], now)?;
            self.gather(&mut events, now)?;
            self.deliver(now);
            self.keep_time(now);
            self.deliver(now); // who was cut off has made room, and news
            self.reap();
        }
        log::info!("stopped");
        Ok(())
    }

    /// One turn for everybody who has something to say.
    pub fn hear(&mut self, events: &[EpollEvent], now: Instant) -> Result<()> {
        let mut somebody_waits = false;
        for event in events {
            match event.data() {
                LISTENER => somebody_waits = true,
                SIGNALS => self.hear_signals(now),
                id => self.hear_child(id as Id, event.events(), now),
            }
        }
        // Last: that a handshake is over makes room for who comes after it.
        if somebody_waits { self.admit(now) } else { Ok(()) }
    }

    /// What wakes the parent, for whoever steps.
    fn awaited(&self) -> &'static str {
        match (&self.listener, self.clients.is_empty()) {
            (None, _) => "자식 프로세스들이 끝나기를 기다립니다 (epoll_wait)",
            (Some(_), true) => "새 연결이나 시그널을 기다립니다 (epoll_wait)",
            (Some(_), false) => "새 연결, 자식 프로세스가 보내는 패킷, 시그널을 기다립니다 (epoll_wait)",
        }
    }

    /// A new child: from now on its packets are heard.
    pub fn register(&mut self, id: Id, client: Client) {
        self.last_id = id;
        if let Runner::Process(pid) = client.runner {
            log::info!("c{id} {} connected, served by pid {pid}", client.peer);
        } else {
            log::info!("c{id} {} connected, served without fork", client.peer);
        }
        self.clients.insert(id, client);
        self.watch(id);
        self.watch_listener();
    }

    /// Tells epoll what to watch for on a child's relay end.
    pub fn watch(&mut self, id: Id) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Some(end) = &client.end else { return };
        let mut event = EpollEvent::new(client.interest(), u64::from(id));
        let changed = if client.watched { self.epoll.modify(end, &mut event) } else { self.epoll.add(end, event) };
        client.watched = changed.is_ok();
        if let Err(errno) = changed {
            log::error!("c{id} cannot be watched: {}: killed", describe(errno));
            client.kill();
            self.part(id, false, Instant::now());
        }
    }

    /// Puts the listener into the wait, or takes it out while nobody is let in.
    pub fn watch_listener(&mut self) {
        let shut = self.door_is_shut();
        let Some(listener) = self.listener.as_ref().filter(|_| self.door.unwatched != shut) else { return };
        let interest = if shut { EpollFlags::empty() } else { EpollFlags::EPOLLIN };
        match self.epoll.modify(listener, &mut EpollEvent::new(interest, LISTENER)) {
            Ok(()) => self.door.unwatched = shut,
            Err(errno) => log::error!("the listener cannot be watched: {}", describe(errno)),
        }
    }

    fn timeout(&self) -> EpollTimeout {
        let kill_at = self.kill_at.iter().map(|(when, _)| *when).min();
        let times = [self.door.deadline(), self.hub.deadline(), kill_at, self.short_until, self.stop_by];
        let next = times.into_iter().flatten().min();
        let Some(next) = next else { return EpollTimeout::NONE };
        // Rounded up: a timeout must not end just before its time.
        let ms = next.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
        EpollTimeout::try_from(ms).unwrap_or(EpollTimeout::NONE)
    }

    fn keep_time(&mut self, now: Instant) {
        self.door.dismiss(now);
        if self.door.paused_until.is_some_and(|until| until <= now) {
            self.door.paused_until = None;
            self.watch_listener();
        }
        if self.short_until.is_some_and(|until| until <= now) {
            self.short_until = None;
            self.news = true;
        }
        for id in self.hub.overdue(now) {
            self.cut_off(id, now);
        }
        self.kill_at.extend(self.hub.take_dismissed().into_iter().map(|id| (now + LAST_WORDS, id)));
        let (late, later) = self.kill_at.drain(..).partition::<Vec<_>, _>(|(when, _)| *when <= now);
        self.kill_at = later;
        late.into_iter().for_each(|(_, id)| self.kill_late(id, now));
        if self.stop_by.is_some_and(|stop_by| stop_by <= now) {
            self.clients.keys().copied().collect::<Vec<_>>().into_iter().for_each(|id| self.kill_late(id, now));
            self.stop_by = Some(now + GOODBYE);
        }
    }

    /// One a round, and one that ends the server: who sends them without a pause holds nobody up. epoll reports the next.
    fn hear_signals(&mut self, now: Instant) {
        for (signal, sender) in self.signals.next_round().into_iter().flatten() {
            match signal {
                Signal::SIGCHLD => {} // every round ends with reap()
                Signal::SIGHUP => self.hang_up(sender, now),
                Signal::SIGUSR1 => self.list_clients(),
                signal => self.stop(signal, now),
            }
        }
    }
}
