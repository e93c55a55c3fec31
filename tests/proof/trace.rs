//! What the trace tells: lines on standard error (`--trace`), or records in a file (`--trace=FILE`).

use super::line::{self, Call};
use super::{Entry, Transcript};

/// Where a trace has been written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Lines,
    File,
}

pub fn read(text: &str, form: Form) -> Result<Transcript, String> {
    let mut transcript = Transcript::new();
    for (n, found) in text.lines().enumerate() {
        let told = match form {
            Form::Lines => human(found)?,
            Form::File => record(found)?,
        };
        let Some(Told { role, ids: (pid, tid), call, chapter }) = told else { continue };
        let process = transcript.entry(pid).or_default();
        if process.calls.is_empty() {
            process.role = role.into();
        } else if process.role != role {
            return Err(format!("process {pid} was {}, and now it is {role}: {found}", process.role));
        }
        let (chapter, found, place) = (Some(chapter.into()), found.into(), Some((0, n)));
        process.calls.push(Entry { tid, call, chapter, began: 0, ended: 0, told_at: 0, found, place });
    }
    Ok(transcript)
}

struct Told<'a> {
    role: &'a str,
    /// Process and thread.
    ids: (i32, i32),
    call: Call,
    chapter: &'a str,
}

/// `[c1 4130] recv(6, "hi\n", 65536, 0) = 3   notes/08-send-recv.md`; `None` for a line of the log.
fn human(found: &str) -> Result<Option<Told<'_>>, String> {
    let wrong = || format!("not a line of the trace: {found}");
    let Some((who, rest)) = found.strip_prefix('[').and_then(|rest| rest.split_once("] ")) else { return Ok(None) };
    let Some((role, id)) = who.split_once(' ').filter(|(role, _)| is_role(role)) else { return Ok(None) };
    let ids = ids(id).ok_or_else(wrong)?;
    let (call, rest) = line::parse(rest).ok_or_else(wrong)?;
    let (_records, chapter) = rest.rsplit_once(line::GAP).ok_or_else(wrong)?;
    Ok(Some(Told { role, ids, call, chapter }))
}

/// Seven columns; `None` for a comment and for a `state` record.
fn record(found: &str) -> Result<Option<Told<'_>>, String> {
    if found.starts_with('#') {
        return Ok(None);
    }
    let wrong = || format!("not a record of the trace: {found}");
    let columns: Vec<&str> = found.split('\t').collect();
    let [time, role, id, call, took, _records, chapter] = columns[..] else { return Err(wrong()) };
    let ids = ids(id).filter(|_| is_role(role)).ok_or_else(wrong)?;
    time.parse::<u64>().map_err(|_| wrong())?;
    if call.starts_with("state ") {
        return Ok(None);
    }
    took.parse::<u64>().map_err(|_| wrong())?;
    let (call, rest) = line::parse(call).ok_or_else(wrong)?;
    if !rest.is_empty() {
        return Err(wrong());
    }
    Ok(Some(Told { role, ids, call, chapter }))
}

fn is_role(role: &str) -> bool {
    let number = role.strip_prefix('c').is_some_and(|number| number.parse::<u64>().is_ok());
    number || ["server", "client"].contains(&role)
}

/// `4200` or `4200/4201`
fn ids(text: &str) -> Option<(i32, i32)> {
    let (pid, tid) = text.split_once('/').unwrap_or((text, text));
    Some((pid.parse().ok()?, tid.parse().ok()?))
}
