//! The test of the test: a comparison that lets a lie pass would prove nothing.

use super::compare::{CONTEXT, Difference, compare};
use super::mutants::{self, Mutant, Side};
use super::scene::Pair;
use crate::{both, datagrams, echo, failing_bind, refused};

/// Falsifies both sides of a pair in every way; each time the comparison must say where.
fn assert_no_lie_passes(pair: &Pair) {
    pair.assert_same(&[]);
    let pair = mutants::essence(pair);
    pair.assert_same(&[]);
    let (trace, strace) = (pair.trace().unwrap(), pair.strace().unwrap());
    let mut lies = [0, 0];
    for side in [Side::Trace, Side::Strace] {
        mutants::all(&pair, side, |mutant| {
            lies[side as usize] += 1;
            let read = if side == Side::Trace { mutant.pair.trace() } else { mutant.pair.strace() };
            let falsified = read.unwrap_or_else(|why| panic!("{why}: {}", mutant.what));
            let compared = match side {
                Side::Trace => compare(&falsified, &strace),
                Side::Strace => compare(&trace, &falsified),
            };
            assert_told_where(&mutant, side, compared);
        });
    }
    let calls: usize = strace.values().map(|process| process.calls.len()).sum();
    assert!(lies.iter().all(|lies| *lies > 6 * calls), "{lies:?} lies about {calls} calls");
}

fn assert_told_where(mutant: &Mutant, side: Side, compared: Result<usize, Box<Difference>>) {
    let Err(difference) = compared else { panic!("not seen in {side:?}: {}", mutant.what) };
    let (pid, index, text) = (mutant.pid, mutant.index, difference.to_string());
    // Where two threads speak at once, another call may take the place of one that is missing.
    let near = if mutant.threads == 1 { index..=index } else { index.saturating_sub(CONTEXT)..=index + CONTEXT };
    assert!(difference.pid == pid && near.contains(&difference.index), "{}\n{text}", mutant.what);
    let lines = [&difference.trace, &difference.strace];
    assert!(lines.iter().any(|line| line.is_some()), "{text}");
    for line in lines.into_iter().flatten() {
        let start: String = line.chars().take(100).collect(); // long ones are shown shortened
        assert!(text.contains(&start), "{line}: {text}");
    }
    for part in [format!("process {pid} ({})", difference.role), format!("call {}: ", difference.index + 1)] {
        assert!(text.contains(&part), "{part}: {text}");
    }
}

#[test]
fn no_lie_about_stage_1_passes() {
    both(|form| assert_no_lie_passes(&echo(form, "127.0.0.1:0", &[], &[])));
}

#[test]
fn no_lie_about_a_refused_connect_or_a_failing_bind_passes() {
    both(|form| {
        assert_no_lie_passes(&refused(form));
        assert_no_lie_passes(&failing_bind(form, &[]));
    });
}

#[test]
fn no_lie_about_datagrams_passes() {
    both(|form| assert_no_lie_passes(&datagrams(form, "0.0.0.0:0", "127.0.0.1")));
}
