//! Who is called what. Names are the hub's: a child cannot speak under another's.
//!
//! A name that was given up stays closed to other people while anyone could confuse the two: until
//! everybody who was there with its old owner has left, or for two minutes (IRC calls it nick delay). When very many
//! are given up meanwhile, those that have been closed longest are opened before their time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Id;
use super::packet::NAME_MAX_CHARS;

const QUARANTINE: Duration = Duration::from_secs(120);
/// Names in quarantine at most: a bound for what clients can make us remember.
const MOST_IN_QUARANTINE: usize = 4096;
/// And of one person: who goes through names must not spend everybody's.
const MOST_OF_ONE: usize = 8;
/// The names that the hub gives out itself begin with this: `손님7` is connection 7.
const GUEST: &str = "손님";

#[derive(Debug, Default)]
pub struct Names {
    /// By the name in lower case: `Kim` and `kim` are one name.
    used: HashMap<String, Use>,
    in_quarantine: usize,
}

#[derive(Debug)]
struct Use {
    owner: Id,
    given_up: Option<GivenUp>,
}

#[derive(Debug)]
struct GivenUp {
    at: Instant,
    /// The newest connection that can have seen the owner under this name.
    last_witness: Id,
}

/// The name of a newcomer. It needs no entry: the number in it is used once.
pub fn guest(id: Id) -> String {
    format!("{GUEST}{id}")
}

impl Names {
    /// Gives `name` to `id`, or says in Korean why not. `oldest` is the oldest connection there is.
    pub fn claim(&mut self, id: Id, name: &str, oldest: Id, now: Instant) -> Result<(), &'static str> {
        self.end_quarantines(oldest, now);
        if name == guest(id) {
            return Ok(());
        }
        check(name)?;
        match self.used.get(&key(name)) {
            Some(other) if other.owner != id && other.given_up.is_none() => {
                return Err("다른 사람이 쓰고 있는 이름입니다.");
            }
            Some(other) if other.owner != id => {
                return Err("조금 전까지 다른 사람이 쓰던 이름입니다. 헷갈리지 않도록 최대 2분 동안 비워 둡니다.");
            }
            Some(own) if own.given_up.is_some() => self.in_quarantine -= 1,
            Some(_) => {}
            None if self.given_up_by(id) >= MOST_OF_ONE => {
                return Err("이름을 너무 자주 바꾸고 있습니다. 2분쯤 뒤에 다시 시도하십시오.");
            }
            None => self.make_room(),
        }
        self.used.insert(key(name), Use { owner: id, given_up: None });
        Ok(())
    }

    /// `id` is no longer called `name`; everybody up to connection `newest` may remember it.
    pub fn give_up(&mut self, id: Id, name: &str, newest: Id, now: Instant) {
        if let Some(entry) = self.used.get_mut(&key(name)).filter(|entry| entry.owner == id) {
            entry.given_up = Some(GivenUp { at: now, last_witness: newest });
            self.in_quarantine += 1;
        }
    }

    fn given_up_by(&self, id: Id) -> usize {
        self.used.values().filter(|entry| entry.owner == id && entry.given_up.is_some()).count()
    }

    /// The names that have been closed longest make room for a new one. To refuse it instead would let whoever comes and
    /// goes with ever new names, or a crowd that leaves at once, keep everybody else from having any; and who only waits
    /// for an old name gets it after two minutes anyway.
    fn make_room(&mut self) {
        let Some(too_many) = (self.in_quarantine + 1).checked_sub(MOST_IN_QUARANTINE).filter(|count| *count > 0) else {
            return;
        };
        let mut closed_at: Vec<Instant> =
            self.used.values().filter_map(|entry| entry.given_up.as_ref().map(|old| old.at)).collect();
        let (_, border, _) = closed_at.select_nth_unstable(too_many - 1);
        let (border, mut left) = (*border, too_many);
        self.used.retain(|_, entry| {
            let goes = left > 0 && entry.given_up.as_ref().is_some_and(|old| old.at <= border);
            left -= usize::from(goes);
            !goes
        });
        self.in_quarantine -= too_many;
    }

    fn end_quarantines(&mut self, oldest: Id, now: Instant) {
        self.used.retain(|_, entry| match &entry.given_up {
            Some(old) => oldest <= old.last_witness && now < old.at + QUARANTINE,
            None => true,
        });
        self.in_quarantine = self.used.values().filter(|entry| entry.given_up.is_some()).count();
    }
}

fn key(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// Whether somebody may be called so; says in Korean why not. Hangul syllables, Latin letters, digits,
/// `_`, `-`: few enough that no two names look alike.
pub fn check(name: &str) -> Result<(), &'static str> {
    let allowed = |c: char| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | '가'..='힣' | 'ㄱ'..='ㅣ');
    if name.is_empty() || name.chars().count() > NAME_MAX_CHARS {
        return Err("이름은 1자 이상 20자 이하여야 합니다.");
    }
    if !name.chars().all(allowed) {
        return Err("이름에는 한글, 영문자, 숫자, _, -만 쓸 수 있습니다.");
    }
    if name.starts_with(GUEST) {
        return Err("'손님'으로 시작하는 이름은 서버만 붙일 수 있습니다.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{is_control, width};
    use proptest::prelude::*;

    #[test]
    fn a_name_belongs_to_one_person() {
        let (mut names, now) = (Names::default(), Instant::now());
        assert_eq!(names.claim(1, "Kim", 1, now), Ok(()));
        assert!(names.claim(2, "kim", 1, now).is_err());
        assert_eq!(names.claim(1, "kim", 1, now), Ok(()));
    }

    #[test]
    fn a_name_given_up_is_free_when_nobody_is_left_who_knew_its_owner() {
        let (mut names, now) = (Names::default(), Instant::now());
        names.claim(1, "철수", 1, now).unwrap();
        names.give_up(1, "철수", 3, now); // 2 and 3 were there
        assert!(names.claim(4, "철수", 2, now).is_err());
        assert!(names.claim(4, "철수", 3, now).is_err());
        assert_eq!(names.claim(4, "철수", 4, now), Ok(()));
    }

    #[test]
    fn a_quarantine_ends_with_time_and_never_binds_the_owner() {
        let (mut names, now) = (Names::default(), Instant::now());
        names.claim(1, "철수", 1, now).unwrap();
        names.give_up(1, "철수", 2, now);
        assert_eq!(names.claim(1, "철수", 1, now), Ok(()));
        names.give_up(1, "철수", 2, now);
        assert!(names.claim(2, "철수", 1, now + QUARANTINE - Duration::from_secs(1)).is_err());
        assert_eq!(names.claim(2, "철수", 1, now + QUARANTINE), Ok(()));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut names, now) = (Names::default(), Instant::now());
        for n in 0..MOST_IN_QUARANTINE {
            let (id, at) = (1 + (n / MOST_OF_ONE) as Id, now + Duration::from_micros(n as u64));
            names.claim(id, &format!("n{n}"), 1, at).unwrap();
            names.give_up(id, &format!("n{n}"), 1000, at);
        }
        assert_eq!(names.used.len(), MOST_IN_QUARANTINE);
        assert_eq!(names.claim(1000, "one-more", 1, now), Ok(()), "who is new pays for nobody");
        assert_eq!(names.used.len(), MOST_IN_QUARANTINE);
        assert_eq!(names.claim(1000, "n0", 1, now), Ok(()), "the one that has been closed longest");
        assert!(names.claim(1000, "n2", 1, now).is_err());
    }

    #[test]
    fn a_crowd_that_leaves_at_once_does_not_keep_others_from_having_names() {
        let (mut names, now) = (Names::default(), Instant::now());
        let crowd = 3 * MOST_IN_QUARANTINE as Id;
        for id in 2..2 + crowd {
            names.used.insert(format!("n{id}"), Use { owner: id, given_up: None });
            names.give_up(id, &format!("n{id}"), crowd + 2, now);
        }
        for n in 0..10 {
            assert_eq!(names.claim(20_000 + n, &format!("new{n}"), 1, now), Ok(()));
        }
        assert!(names.used.len() <= MOST_IN_QUARANTINE + 10);
    }

    #[test]
    fn who_goes_through_names_spends_only_its_own() {
        let (mut names, now) = (Names::default(), Instant::now());
        for n in 0..MOST_OF_ONE {
            names.claim(1, &format!("n{n}"), 1, now).unwrap();
            names.give_up(1, &format!("n{n}"), 2, now);
        }
        assert!(names.claim(1, "one-more", 1, now).is_err());
        assert_eq!(names.claim(1, "n0", 1, now), Ok(()), "back to an old one of its own");
        assert_eq!(names.claim(2, "영희", 1, now), Ok(()));
    }

    #[test]
    fn forms_that_could_deceive_are_refused() {
        let mut names = Names::default();
        for bad in
            ["", "a b", "손님2", "손님", "[kim]", "ki\u{200b}m", "\u{1112}\u{1161}\u{11ab}", "аdmin", &"가".repeat(21)]
        {
            assert!(names.claim(1, bad, 1, Instant::now()).is_err(), "{bad}");
        }
        for good in ["손님1", "김철수", "kim_2-b", &"가".repeat(20)] {
            assert_eq!(names.claim(1, good, 1, Instant::now()), Ok(()), "{good}");
        }
    }

    proptest! {
        /// A name stands in front of a line: nothing in it may end that, hide, or look like the brackets around it.
        #[test]
        fn a_name_that_passes_is_short_and_visible(name in "[\\[\\]→ *!a-z가-힣ㄱ-ㅣ\u{200b}\u{3164}\u{202e}\x1b\n_-]{0,22}|\\PC{0,22}") {
            if check(&name).is_ok() {
                prop_assert!(name.len() <= NAME_MAX_CHARS * 3);
                prop_assert!(name.chars().all(|c| !is_control(c) && !c.is_whitespace() && width(c) > 0));
                prop_assert!(!name.contains(['[', ']', '→', '*', '!', '/', ',']) && !name.starts_with(GUEST));
            }
        }
    }
}
