//! What has changed in the kernel since this process last looked at a descriptor.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Mutex;

use super::lock;
use super::state::State;

static KNOWN: Mutex<BTreeMap<RawFd, State>> = Mutex::new(BTreeMap::new());

/// A socket whose state is another than before, and in which ways; all of it when it is new.
#[derive(Debug)]
pub struct Change {
    pub fd: RawFd,
    pub state: State,
    pub words: Vec<String>,
}

/// `None` when nothing has changed, or it is no socket.
pub fn changed(fd: BorrowedFd<'_>) -> Option<Change> {
    let (number, state) = (fd.as_raw_fd(), State::of(fd)?);
    let mut known = lock(&KNOWN);
    let words = match known.get(&number) {
        Some(before) if *before == state => return None,
        Some(before) => state.changes_since(before),
        None => vec![state.brief()],
    };
    known.insert(number, state.clone());
    Some(Change { fd: number, state, words })
}

/// It is one end of a pair between processes, as far as this process has looked.
pub fn is_pair(fd: Option<RawFd>) -> bool {
    fd.is_some_and(|fd| lock(&KNOWN).get(&fd).is_some_and(|state| state.kind == "u_seq"))
}

/// The descriptors have been closed; their numbers may come again.
pub fn forget(first: RawFd, last: RawFd) {
    lock(&KNOWN).retain(|fd, _| !(first..=last).contains(fd));
}
