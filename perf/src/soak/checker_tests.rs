//! Each rule of the checker is broken once, and found out.

use super::checker::Checker;
use super::identity::{HEADER, Id, Kind, LARGEST, key_bytes};
use super::ledger::{Ledger, Wrong};
use super::parts::Parts;
use super::plan::RoundPlan;
use ringlog::{Broker, Header, NO_TIMESTAMP, Overflow, Record, Timestamps};
use std::sync::Arc;

/// A checker at the beginning of two partitions, of a topic with room for `segments` records.
fn checker(overflow: Overflow) -> Checker {
    let mut plan = RoundPlan::new(1, 0).topics.remove(0);
    (plan.overflow, plan.partitions, plan.timestamps) = (overflow, 2, Timestamps::Given);
    (plan.segments, plan.records) = (2, 1);
    let ledger = Ledger::new(&Broker::new(), plan).unwrap();
    let mut checker = Checker::new(Arc::new(ledger));
    checker.begin(0, 0, true);
    checker.begin(1, 0, true);
    checker
}

/// What a record is before a test spoils it.
struct Made {
    id: Id,
    value: Vec<u8>,
    trace: [u8; 8],
}

impl Made {
    fn new(checker: &Checker, id: Id) -> Made {
        let digest = id.digest(checker.ledger.plan.salt);
        let mut value = vec![0; id.length() as usize];
        if id.length() == LARGEST {
            value.resize(checker.ledger.plan.largest(), 0);
        }
        let inside = matches!(id.kind(), Kind::Values | Kind::Claim);
        id.fill(digest, inside, &mut value);
        Made {
            id,
            value,
            trace: digest.to_ne_bytes(),
        }
    }

    fn parts(&self, offset: u64) -> Parts<'_> {
        let inside = matches!(self.id.kind(), Kind::Values | Kind::Claim);
        Parts {
            offset,
            time: if inside { NO_TIMESTAMP } else { self.id.time() },
            key: match self.id.kind() {
                Kind::Values => None,
                _ => key_bytes(self.id.key()),
            },
            value: &self.value,
            tombstone: super::parts::is_tombstone(self.id),
            header: self
                .id
                .has_header()
                .then(|| Header::new(HEADER, &self.trace)),
            more_headers: false,
        }
    }
}

fn single(sequence: u64) -> Id {
    Id::new(Kind::Single, 0, 2, 21, sequence)
}

/// Reads records of these offsets in partition 0, each `lost` with the last.
fn read(checker: &mut Checker, offsets: &[u64], lost: u64) -> Result<(), Wrong> {
    for (i, &offset) in offsets.iter().enumerate() {
        let made = Made::new(checker, single(i as u64));
        let lost = if i + 1 == offsets.len() { lost } else { 0 };
        checker.record(0, lost, &made.parts(offset))?;
    }
    Ok(())
}

/// Reads one record that `spoil` has changed.
fn spoiled(id: Id, spoil: impl FnOnce(&mut Parts<'_>)) -> Result<(), Wrong> {
    let mut checker = checker(Overflow::Backpressure);
    let made = Made::new(&checker, id);
    let mut parts = made.parts(0);
    spoil(&mut parts);
    checker.record(0, 0, &parts)
}

fn fails(result: Result<(), Wrong>, with: &str) {
    let wrong = result.expect_err(with);
    assert!(wrong.contains(with), "{wrong:?} instead of {with:?}");
}

#[test]
fn records_of_every_kind_are_right_as_they_were_made() {
    for id in [
        single(0),
        single(3), // with a header
        Id::new(Kind::Single, 1, 0, LARGEST, 3),
        Id::new(Kind::Single, 1, 1, 0, 4), // a tombstone
        Id::new(Kind::Single, 1, 0, 0, 5),
        Id::new(Kind::Batch, 2, 3, 7, 0),
        Id::new(Kind::Values, 2, 3, 16, 0),
        Id::new(Kind::Claim, 31, 3, 17, 0),
    ] {
        assert_eq!(spoiled(id, |_| {}), Ok(()), "{id:?}");
    }
}

#[test]
fn a_torn_byte_is_found_wherever_it_is() {
    for id in [single(0), Id::new(Kind::Claim, 0, 0, 33, 0)] {
        for at in 0..id.length() as usize {
            let mut checker = checker(Overflow::Backpressure);
            let mut made = Made::new(&checker, id);
            made.value[at] ^= 1;
            assert!(checker.record(0, 0, &made.parts(0)).is_err(), "byte {at}");
        }
    }
}

#[test]
fn a_part_that_is_another_record_s_is_found() {
    let claim = Id::new(Kind::Claim, 0, 2, 24, 0);
    let values = Id::new(Kind::Values, 0, 2, 24, 0);
    let empty = Id::new(Kind::Single, 0, 1, 0, 1);
    fails(spoiled(single(0), |p| p.key = key_bytes(3)), "the key");
    fails(spoiled(single(0), |p| p.key = None), "the key");
    fails(spoiled(values, |p| p.key = key_bytes(2)), "the key");
    fails(spoiled(single(0), |p| p.time += 1), "not its own");
    fails(spoiled(single(0), |p| p.time = 5), "no identity");
    fails(spoiled(claim, |p| p.time = 5), "time 5 under Given");
    fails(
        spoiled(single(0), |p| p.value = &p.value[..20]),
        "the value's length",
    );
    fails(spoiled(single(0), |p| p.value = &[]), "the value's length");
    fails(spoiled(claim, |p| p.value = &p.value[..7]), "no identity");
    fails(spoiled(empty, |p| p.tombstone = true), "a tombstone");
    fails(spoiled(single(3), |p| p.header = None), "the header");
    fails(spoiled(single(3), |p| p.more_headers = true), "the header");
    let other = Header::new("other", b"");
    fails(spoiled(single(0), |p| p.header = Some(other)), "the header");
}

#[test]
fn an_identity_where_the_call_puts_none_is_found() {
    let inside = Id::new(Kind::Claim, 0, 0, 16, 0);
    fails(spoiled(inside, |p| p.time = inside.time()), "not its own");
    // As it would be if its first word were not its identity.
    let mut checker = checker(Overflow::Backpressure);
    let mut made = Made::new(&checker, inside);
    inside.fill(
        inside.digest(checker.ledger.plan.salt),
        false,
        &mut made.value,
    );
    let parts = Parts {
        time: inside.time(),
        ..made.parts(0)
    };
    fails(checker.record(0, 0, &parts), "has the time");
}

#[test]
fn a_record_of_another_topic_is_found() {
    let mut here = checker(Overflow::Backpressure);
    let mut plan = here.ledger.plan.clone();
    plan.salt += 1;
    let there = Ledger::new(&Broker::new(), plan).unwrap();
    let made = Made::new(&Checker::new(Arc::new(there)), single(0));
    fails(here.record(0, 0, &made.parts(0)), "not its own");
}

#[test]
fn a_gap_is_aborted_claims_and_nothing_else() {
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        let mut good = checker(overflow);
        good.ledger.abort(0, 1);
        good.ledger.abort(0, 2);
        assert_eq!(read(&mut good, &[0, 3, 4], 0), Ok(()));
        assert_eq!(good.seen()[0].stepped, 2);
        fails(read(&mut checker(overflow), &[0, 2], 0), "1 should be next");
        fails(read(&mut checker(overflow), &[1], 0), "0 should be next");
        let mut one = checker(overflow);
        one.ledger.abort(0, 1);
        fails(read(&mut one, &[0, 3], 0), "1 should be next");
        let mut elsewhere = checker(overflow);
        elsewhere.ledger.abort(1, 1);
        fails(read(&mut elsewhere, &[0, 2], 0), "1 should be next");
    }
}

#[test]
fn offsets_do_not_repeat_or_go_back() {
    fails(
        read(&mut checker(Overflow::DropOldest), &[0, 1, 1], 0),
        "go back",
    );
    fails(
        read(&mut checker(Overflow::DropOldest), &[0, 1, 0], 0),
        "go back",
    );
}

#[test]
fn nothing_is_lost_under_backpressure() {
    fails(
        read(&mut checker(Overflow::Backpressure), &[0, 3], 2),
        "lost under Backpressure",
    );
}

/// Sends records until the log of partition 0 starts at 5.
fn lap(checker: &Checker) {
    let mut producer = checker.ledger.topic.producer();
    for _ in 0..7 {
        producer.send(Record::new(b"").partition(0)).unwrap();
    }
    assert_eq!(checker.ledger.log_start(0), Ok(5));
}

#[test]
fn loss_is_exact() {
    for (lost, aborted, good) in [
        (4, None, true),
        (3, None, false), // one too few
        (5, None, false), // one too many
        (3, Some(3), true),
        (4, Some(3), true), // among the lost
    ] {
        let mut checker = checker(Overflow::DropOldest);
        lap(&checker);
        if let Some(aborted) = aborted {
            checker.ledger.abort(0, aborted);
        }
        let read = read(&mut checker, &[0, 5], lost);
        assert_eq!(read.is_ok(), good, "{lost}, {aborted:?}: {read:?}");
    }
}

#[test]
fn what_is_retained_is_not_lost() {
    let mut checker = checker(Overflow::DropOldest);
    lap(&checker);
    fails(read(&mut checker, &[0, 6], 5), "still retained");
}

#[test]
fn a_producer_s_records_keep_their_order() {
    let mut checker = checker(Overflow::Backpressure);
    for (sequence, offset, good) in [(4, 0, true), (9, 1, true), (9, 2, false)] {
        let made = Made::new(&checker, single(sequence));
        assert_eq!(checker.record(0, 0, &made.parts(offset)).is_ok(), good);
    }
    // Another producer has a sequence of its own.
    let other = Made::new(&checker, Id::new(Kind::Single, 1, 2, 21, 0));
    assert_eq!(checker.record(0, 0, &other.parts(3)), Ok(()));
}

#[test]
fn a_key_stays_in_its_partition() {
    let mut checker = checker(Overflow::Backpressure);
    let made = [
        Made::new(&checker, single(0)),
        Made::new(&checker, single(1)),
    ];
    assert_eq!(checker.record(0, 0, &made[0].parts(0)), Ok(()));
    fails(
        checker.record(1, 0, &made[1].parts(0)),
        "has its home in partition 0",
    );
}

#[test]
fn a_partition_that_is_paused_or_not_read_gives_nothing() {
    let mut checker = checker(Overflow::Backpressure);
    checker.pause(0, true);
    fails(read(&mut checker, &[0], 0), "is paused");
    checker.pause(0, false);
    assert_eq!(read(&mut checker, &[0], 0), Ok(()));
    checker.leave(0);
    fails(read(&mut checker, &[0], 0), "does not read");
    let made = Made::new(&checker, single(0));
    fails(checker.record(2, 0, &made.parts(0)), "no such partition");
}

#[test]
fn what_is_read_again_is_the_same() {
    let mut checker = checker(Overflow::Backpressure).with_recall();
    assert_eq!(read(&mut checker, &[0, 1], 0), Ok(()));
    checker.begin(0, 0, true);
    assert_eq!(read(&mut checker, &[0, 1], 0), Ok(()));
    checker.begin(0, 1, true);
    fails(read(&mut checker, &[1], 0), "was read before");
}

#[test]
fn a_reader_that_was_sent_anywhere_is_exact_from_there_on() {
    let mut checker = checker(Overflow::DropOldest);
    checker.begin(0, 10, false);
    fails(read(&mut checker, &[9], 0), "go back");
    checker.begin(0, 10, false);
    assert_eq!(read(&mut checker, &[12, 13], 0), Ok(()));
    fails(read(&mut checker, &[15], 0), "14 should be next");
}
