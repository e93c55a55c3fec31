//! A server that does one thing wrong, for the test that the bench sees it: the 20th line of each
//! client is lost, doubled, damaged, or comes after the next.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use clap::ValueEnum;

use super::announce;
use crate::failure::Result;

const WRONG_LINE: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    Lost,
    Doubled,
    Damaged,
    Reordered,
}

type Room = Arc<Mutex<Vec<(usize, TcpStream)>>>;

/// Serves for ever: to the others as a chat, or back as an echo.
pub fn serve(fault: Fault, chat: bool) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    announce(listener.local_addr()?.port());
    let room = Room::default();
    for guest in 0.. {
        let (mut conn, _) = listener.accept()?;
        let room = room.clone();
        if let Ok(mut room) = room.lock() {
            room.push((guest, conn.try_clone()?));
        }
        if chat {
            conn.write_all(b"* welcome\n")?;
        }
        std::thread::spawn(move || {
            let _ = speak(guest, conn, &room, fault, chat);
        });
    }
    Ok(())
}

fn speak(guest: usize, conn: TcpStream, room: &Room, fault: Fault, chat: bool) -> std::io::Result<()> {
    let mut reader = BufReader::new(conn);
    let (mut line, mut held) = (Vec::new(), Vec::new());
    for nth in 1.. {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if nth == WRONG_LINE {
            match fault {
                Fault::Lost => line.clear(),
                Fault::Doubled => line.extend_from_within(..),
                Fault::Damaged => line[0] ^= 1,
                Fault::Reordered => held = std::mem::take(&mut line),
            }
        } else {
            line.append(&mut held);
        }
        if let Ok(mut room) = room.lock() {
            for (_, to) in room.iter_mut().filter(|(other, _)| (*other != guest) == chat) {
                to.write_all(&line)?;
            }
        }
    }
    Ok(())
}
