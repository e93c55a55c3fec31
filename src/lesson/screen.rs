//! Words beside a conversation: at the terminal of a client they go above the line that is being typed.

use std::sync::{Mutex, PoisonError};

/// Draws lines above the line being typed; false when there is no such line any more.
pub type Draw = Box<dyn Fn(&str) -> bool + Send>;

static SCREEN: Mutex<Option<Draw>> = Mutex::new(None);

/// From here on somebody types at this terminal.
pub fn share(draw: Draw) {
    *SCREEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(draw);
}

/// Shows whole lines above the line being typed. False when nobody types: then they are to be written as usual.
pub fn above(lines: &str) -> bool {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|draw| draw(lines))
}
