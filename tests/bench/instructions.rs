//! What the trace costs when nobody looks: user instructions of an echo child for a round trip, with and without its branch.
//!
//! Counted by valgrind, so that it is the same number each time. Two runs differ in nothing but how many round trips
//! there are: all else goes with the difference.
//!
//! - Manual: valgrind(1) (--tool=callgrind)

use std::path::Path;

use crate::failure::{Failure, Result};
use crate::load::{Conn, finish};
use crate::peers::{Peer, Place, Server};
use crate::works::connections::one_line;

pub const PROGRAM: &str = "valgrind";
const FEW: u32 = 1000;
const MANY: u32 = 5000;

pub struct Instructions {
    pub as_it_is: f64,
    pub without_trace: f64,
}

impl Instructions {
    pub fn count(place: &Place) -> Result<Instructions> {
        let of =
            |peer| Ok::<f64, Failure>((total(peer, MANY, place)? - total(peer, FEW, place)?) / f64::from(MANY - FEW));
        Ok(Instructions { as_it_is: of(Peer::Sockstep)?, without_trace: of(Peer::NoTrace)? })
    }
}

/// Of all processes of a server that echoes so many lines.
fn total(peer: Peer, lines: u32, place: &Place) -> Result<f64> {
    let dir = tempfile::tempdir_in(&place.dir)?;
    let server = Server::counted(peer, dir.path(), place)?;
    let mut conn = Conn::open(server.addr, None)?;
    (0..lines).try_for_each(|line| one_line(&mut conn, 0, line))?;
    finish(conn)?;
    drop(server); // what has been counted is written at the end
    let files = std::fs::read_dir(dir.path())?.map(|entry| total_in(&entry?.path()));
    files.sum()
}

fn total_in(file: &Path) -> Result<f64> {
    let text = std::fs::read_to_string(file)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.parse().ok());
    total.ok_or_else(|| Failure::new(format!("{PROGRAM} has counted nothing: {}", file.display())))
}
