//! Names that come from certificates: who is here, and over which connections.
//!
//! One person may be connected more than once: who lost a connection without an end must get back
//! in at once, before the server has noticed. Beyond [`CONNECTIONS_OF_ONE`] the oldest one goes, so
//! that one certificate cannot fill the room.

use std::collections::HashMap;

use super::Id;

/// Connections that one name may have at a time.
pub const CONNECTIONS_OF_ONE: usize = 4;

#[derive(Debug, Default)]
pub struct Certified {
    /// By the name as it stands in the certificate: the CA has told `Kim` from `kim`. Oldest first.
    here: HashMap<String, Vec<Id>>,
}

impl Certified {
    /// `id` is here as `name`. Returns the connection that has to go for it, if one has.
    pub fn join(&mut self, id: Id, name: &str) -> Option<Id> {
        let ids = self.here.entry(name.to_string()).or_default();
        ids.push(id);
        (ids.len() > CONNECTIONS_OF_ONE).then(|| ids.remove(0))
    }

    pub fn leave(&mut self, id: Id, name: &str) {
        if let Some(ids) = self.here.get_mut(name) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.here.remove(name);
            }
        }
    }

    /// The connections of `name`, oldest first.
    pub fn connections(&self, name: &str) -> &[Id] {
        self.here.get(name).map_or(&[], Vec::as_slice)
    }

    /// How many different people are here.
    pub fn people(&self) -> usize {
        self.here.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_may_be_here_over_several_connections() {
        let mut certified = Certified::default();
        for (id, name) in [(1, "철수"), (2, "영희"), (3, "철수")] {
            assert_eq!(certified.join(id, name), None);
        }
        assert_eq!((certified.connections("철수"), certified.people()), (&[1, 3][..], 2));
        certified.leave(1, "철수");
        certified.leave(3, "철수");
        assert_eq!((certified.connections("철수"), certified.people()), (&[][..], 1));
    }

    #[test]
    fn beyond_the_limit_the_oldest_goes_and_the_newest_is_in() {
        let mut certified = Certified::default();
        let goes: Vec<_> = (1..=6).map(|id| certified.join(id, "철수")).collect();
        assert_eq!(goes, [None, None, None, None, Some(1), Some(2)]);
        assert_eq!(certified.connections("철수"), [3, 4, 5, 6]);
        certified.leave(1, "철수"); // it goes when it has heard why
        assert_eq!(certified.connections("철수").len(), CONNECTIONS_OF_ONE);
    }

    #[test]
    fn names_that_differ_only_in_case_are_two_people() {
        let mut certified = Certified::default();
        certified.join(1, "Kim");
        certified.join(2, "kim");
        assert_eq!((certified.connections("kim"), certified.people()), (&[2][..], 2));
    }
}
