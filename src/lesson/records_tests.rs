//! What the records of a stream are told as, however the stream is cut.

use super::*;
use proptest::prelude::*;

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3, (body.len() >> 8) as u8, body.len() as u8], body].concat()
}

/// How many of the bytes that went through a call a note is about: the last number in it. The header of a
/// record that came before the rest of it has been told already.
fn here(note: &str) -> usize {
    let digits = |word: &str| word.trim_end_matches(')').parse().unwrap_or_else(|_| panic!("{note}"));
    digits(note.rsplit(' ').next().unwrap_or_default())
}

fn hello(kind: u8) -> Vec<u8> {
    [&[kind, 0, 2, 0][..], &[0; 512]].concat()
}

#[test]
fn records_are_named_from_their_headers_and_add_up() {
    let mut stream = Stream::default();
    assert_eq!(stream.take(&record(22, &hello(1))), ["Handshake ClientHello 521"]);
    let flight = [record(22, &hello(2)), record(20, &[1]), record(23, &[0; 36])].concat();
    assert_eq!(stream.take(&flight), ["Handshake ServerHello 521", "ChangeCipherSpec 6", "ApplicationData 41"]);
    assert_eq!(stream.take(&record(21, &[1, 0])), ["Alert close_notify 7"]);
    assert_eq!(stream.take(&record(21, &[9; 26])), ["Alert (encrypted) 31"]);
    assert_eq!(stream.take(&record(22, &[9; 40])), ["Handshake (encrypted) 45"]);
    assert_eq!(stream.take(&record(22, &hello(1))), ["Handshake ClientHello 521"]);
}

#[test]
fn messages_in_one_record_are_all_named() {
    let both = [&[11, 0, 0, 1, 7][..], &[14, 0, 0, 0]].concat();
    assert_eq!(Stream::default().take(&record(22, &both)), ["Handshake Certificate+ServerHelloDone 14"]);
}

#[test]
fn a_record_in_pieces_is_told_piece_by_piece() {
    let (mut stream, bytes) = (Stream::default(), record(23, &[0; 95]));
    assert_eq!(stream.take(&bytes[..3]), ["(header 3)"]);
    assert_eq!(stream.take(&bytes[3..50]), ["ApplicationData 100 (first 47)"]);
    assert_eq!(stream.take(&bytes[50..60]), ["(next 10)"]);
    assert_eq!(stream.take(&[&bytes[60..], &record(21, &[2, 49])].concat()), ["(last 40)", "Alert access_denied 7"]);
}

#[test]
fn of_very_many_the_first_are_named_and_the_rest_counted() {
    let mut stream = Stream::default();
    let notes = stream.take(&record(21, &[]).repeat(3000));
    assert_eq!(notes.len(), RECORDS_NAMED + 1);
    assert_eq!(notes[RECORDS_NAMED], format!("{} more records {}", 3000 - 16, (3000 - 16) * HEADER));
    let hellos = stream.take(&record(22, &[0; 400]));
    assert_eq!(hellos, [format!("Handshake {}… 405", "HelloRequest+".repeat(MESSAGES_NAMED))]);
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_are_told(pieces: Vec<Vec<u8>>) {
        let mut stream = Stream::default();
        for piece in pieces {
            let notes = stream.take(&piece);
            prop_assert_eq!(notes.is_empty(), piece.is_empty());
            prop_assert!(notes.len() <= RECORDS_NAMED + 1 && notes.join(" + ").len() < 4096);
            prop_assert!(stream.head.len() < HEADER && stream.rest <= usize::from(u16::MAX));
        }
    }

    /// Wherever a stream of records is cut, each byte is told once, and behind the last one nothing is missing.
    #[test]
    fn records_cut_anywhere_are_told_to_the_last_byte(
        records in prop::collection::vec((18..26_u8, prop::collection::vec(any::<u8>(), 0..60)), 1..8), size in 1..40_usize,
    ) {
        let bytes: Vec<u8> = records.iter().flat_map(|(kind, body)| record(*kind, body)).collect();
        let (mut whole, mut cut) = (Stream::default(), Stream::default());
        prop_assert_eq!(whole.take(&bytes).len(), records.len());
        let told: usize = bytes.chunks(size).flat_map(|piece| cut.take(piece)).map(|note| here(&note)).sum();
        prop_assert_eq!(told, bytes.len());
        for stream in [whole, cut] {
            prop_assert!(stream.head.is_empty() && stream.rest == 0);
        }
    }
}
