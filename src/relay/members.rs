//! Who is there: coming in, names, leaving.

use std::collections::VecDeque;
use std::time::Instant;

use super::Id;
use super::certified::{CONNECTIONS_OF_ONE, Certified};
use super::hub::{Hub, Member, Offence};
use super::names::{check, guest};
use super::packet::FROM_HUB;

/// `/who` names at most so many people.
const WHO_NAMES: usize = 100;

/// Under --keylog: nobody is to take this conversation for a secret.
const KEYS_LOGGED: &str =
    "* 주의: 이 서버는 수업을 위해 TLS 키를 파일에 기록합니다. 여기서 하는 말을 다른 사람이 복호화해 볼 수 있습니다.";

impl Hub {
    /// A newcomer. Who came over a certificate brings the name in it: its child has seen the handshake,
    /// and is believed this once. Anybody else is a guest until he says otherwise.
    pub(super) fn join(&mut self, id: Id, named: Option<&str>) -> Result<(), Offence> {
        let name = match (&self.certified, named) {
            (None, None) => guest(id),
            (Some(_), Some(name)) if check(name).is_ok() => name.to_string(),
            (Some(_), _) => return Err(Offence("joined without a name that a certificate may have")),
            (None, Some(_)) => return Err(Offence("joined with a name of its own")),
        };
        let goes = self.certified.as_mut().and_then(|certified| certified.join(id, &name));
        let connections = self.connections(&name);
        let more = if connections > 1 { format!(" (연결 {connections}개)") } else { String::new() };
        self.announce(id, &format!("* {name} 님이 들어왔습니다.{more}"));
        let (cursor, outbox) = (self.log.head(), VecDeque::new());
        let people = self.certified.as_ref().map_or(self.members.len() + 1, Certified::people);
        let welcome = format!(
            "* 어서 오십시오, {name} 님. 지금 {people}명이 접속해 있습니다. /help를 입력하면 명령을 볼 수 있습니다."
        );
        self.members.insert(
            id,
            Member { name, cursor, outbox, outbox_bytes: 0, leaving: false, deaf: false, taken: 0, taken_when_full: 0 },
        );
        self.newest = self.newest.max(id);
        self.tell(id, &welcome);
        if self.keys_logged {
            self.tell(id, KEYS_LOGGED);
        }
        goes.into_iter().for_each(|oldest| self.dismiss(oldest));
        Ok(())
    }

    /// The oldest of too many connections of one person makes room for the newest.
    fn dismiss(&mut self, id: Id) {
        self.tell(
            id,
            &format!("! 같은 인증서로는 {CONNECTIONS_OF_ONE}개까지 접속할 수 있어서 가장 오래된 이 연결을 닫습니다."),
        );
        if let Some(member) = self.members.get_mut(&id) {
            member.leaving = true;
        }
        self.dismissed.push(id);
    }

    pub(super) fn rename(&mut self, id: Id, name: &str, now: Instant) {
        if self.certified.is_some() {
            return self.tell(id, "! 인증서에 적힌 이름을 쓰므로 이름을 바꿀 수 없습니다.");
        }
        let oldest = self.members.keys().next().copied().unwrap_or(id);
        let Some(member) = self.members.get_mut(&id) else { return };
        if member.name == name {
            return self.tell(id, &format!("* 지금 쓰고 계신 이름과 같습니다: {name}"));
        }
        match self.names.claim(id, name, oldest, now) {
            Ok(()) => {
                let old = std::mem::replace(&mut member.name, name.to_string());
                if !old.eq_ignore_ascii_case(name) {
                    self.names.give_up(id, &old, self.newest, now);
                }
                self.announce(FROM_HUB, &format!("* 이름이 바뀌었습니다: {old} → {name}"));
            }
            Err(why) => self.tell(id, &format!("! 이름을 바꾸지 못했습니다. {why}")),
        }
    }

    /// The answer to `/who`.
    pub(super) fn who(&self) -> String {
        // Of several connections of one person the first one counts.
        let counts = |id: &Id, name: &str| match &self.certified {
            Some(certified) => certified.connections(name).first() == Some(id),
            None => true,
        };
        let present =
            || self.members.iter().map(|(id, member)| (id, &*member.name)).filter(|(id, name)| counts(id, name));
        let names: Vec<&str> = present().take(WHO_NAMES).map(|(_, name)| name).collect();
        let people = present().count();
        let more = match people - names.len() {
            0 => String::new(),
            more => format!(" 외 {more}명"),
        };
        format!("* 지금 {people}명: {}{more}", names.join(", "))
    }

    /// Whom a `/to` means, and over which connections; `None` when nobody is called so. Where the hub
    /// gives the names, case does not matter; a CA may have signed for both `Kim` and `kim`.
    pub(super) fn called(&self, name: &str) -> Option<(String, Vec<Id>)> {
        if let Some(certified) = &self.certified {
            let connections = certified.connections(name);
            return (!connections.is_empty()).then(|| (name.to_string(), connections.to_vec()));
        }
        let mut members = self.members.iter();
        let (id, member) = members.find(|(_, member)| member.name.eq_ignore_ascii_case(name))?;
        Some((member.name.clone(), vec![*id]))
    }

    /// How many connections a certified name has; 0 where names are not certified.
    fn connections(&self, name: &str) -> usize {
        self.certified.as_ref().map_or(0, |certified| certified.connections(name).len())
    }

    /// Forgets a member. `slow` says why the others are told that it has gone.
    pub fn leave(&mut self, id: Id, slow: bool, now: Instant) {
        let Some(member) = self.members.remove(&id) else { return };
        self.news = true;
        self.private_bytes -= member.outbox_bytes;
        let name = &member.name;
        match &mut self.certified {
            Some(certified) => certified.leave(id, name),
            None => self.names.give_up(id, name, self.newest, now),
        }
        let what = match slow {
            true => "의 연결이 끊겼습니다. 받는 속도가 너무 느렸습니다.",
            false => "이 나갔습니다.",
        };
        let left = self.connections(name);
        let left = if left > 0 { format!(" (남은 연결 {left}개)") } else { String::new() };
        self.announce(id, &format!("* {name} 님{what}{left}"));
    }
}
