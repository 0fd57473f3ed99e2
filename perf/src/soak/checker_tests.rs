//! Each rule of the checker is broken once, and the checker finds it.

use crate::soak::checker::Checker;
use crate::soak::fault::Fault;
use crate::soak::ledger::Ledger;
use crate::soak::plan::RoundPlan;
use crate::soak::record::id::{HEADER, LARGEST, RecordId, SendKind, key_bytes};
use crate::soak::record::parts::RecordParts;
use ringlog::{Broker, Header, Overflow, Record, Timestamps};
use std::sync::Arc;

/// A checker at the start of two partitions. Each of the topic's two segments holds one record.
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

/// A correct record, before a test spoils it.
struct TestRecord {
    id: RecordId,
    value: Vec<u8>,
    trace: [u8; 8],
}

impl TestRecord {
    fn new(checker: &Checker, id: RecordId) -> TestRecord {
        let digest = id.digest(checker.ledger.plan.salt);
        let mut value = vec![0; id.length() as usize];
        if id.length() == LARGEST {
            value.resize(checker.ledger.plan.largest(), 0);
        }
        let inside = matches!(id.kind(), SendKind::Values | SendKind::Claim);
        id.fill(digest, inside, &mut value);
        TestRecord {
            id,
            value,
            trace: digest.to_ne_bytes(),
        }
    }

    fn parts(&self, offset: u64) -> RecordParts<'_> {
        let inside = matches!(self.id.kind(), SendKind::Values | SendKind::Claim);
        RecordParts {
            offset,
            time: (!inside).then(|| self.id.time()),
            key: match self.id.kind() {
                SendKind::Values => None,
                _ => key_bytes(self.id.key()),
            },
            value: &self.value,
            tombstone: crate::soak::record::parts::is_tombstone(self.id),
            header: self
                .id
                .has_header()
                .then(|| Header::new(HEADER, &self.trace)),
            more_headers: false,
        }
    }
}

fn single(sequence: u64) -> RecordId {
    RecordId::new(SendKind::Single, 0, 2, 21, sequence)
}

/// Reads records at these offsets of partition 0; `lost` is reported with the last one.
fn read(checker: &mut Checker, offsets: &[u64], lost: u64) -> Result<(), Fault> {
    for (i, &offset) in offsets.iter().enumerate() {
        let made = TestRecord::new(checker, single(i as u64));
        let lost = if i + 1 == offsets.len() { lost } else { 0 };
        checker.record(0, lost, &made.parts(offset))?;
    }
    Ok(())
}

/// Reads one record that `spoil` has changed.
fn spoiled(id: RecordId, spoil: impl FnOnce(&mut RecordParts<'_>)) -> Result<(), Fault> {
    let mut checker = checker(Overflow::Backpressure);
    let made = TestRecord::new(&checker, id);
    let mut parts = made.parts(0);
    spoil(&mut parts);
    checker.record(0, 0, &parts)
}

fn fails(result: Result<(), Fault>, with: &str) {
    let fault = result.expect_err(with);
    assert!(fault.contains(with), "{fault:?} instead of {with:?}");
}

#[test]
fn records_of_every_kind_pass_unchanged() {
    for id in [
        single(0),
        single(3), // with a header
        RecordId::new(SendKind::Single, 1, 0, LARGEST, 3),
        RecordId::new(SendKind::Single, 1, 1, 0, 4), // a tombstone
        RecordId::new(SendKind::Single, 1, 0, 0, 5),
        RecordId::new(SendKind::Batch, 2, 3, 7, 0),
        RecordId::new(SendKind::Values, 2, 3, 16, 0),
        RecordId::new(SendKind::Claim, 31, 3, 17, 0),
    ] {
        assert_eq!(spoiled(id, |_| {}), Ok(()), "{id:?}");
    }
}

#[test]
fn a_torn_byte_is_found_wherever_it_is() {
    for id in [single(0), RecordId::new(SendKind::Claim, 0, 0, 33, 0)] {
        for at in 0..id.length() as usize {
            let mut checker = checker(Overflow::Backpressure);
            let mut made = TestRecord::new(&checker, id);
            made.value[at] ^= 1;
            assert!(checker.record(0, 0, &made.parts(0)).is_err(), "byte {at}");
        }
    }
}

#[test]
fn a_part_of_another_record_is_found() {
    let claim = RecordId::new(SendKind::Claim, 0, 2, 24, 0);
    let values = RecordId::new(SendKind::Values, 0, 2, 24, 0);
    let empty = RecordId::new(SendKind::Single, 0, 1, 0, 1);
    fails(spoiled(single(0), |p| p.key = key_bytes(3)), "the key");
    fails(spoiled(single(0), |p| p.key = None), "the key");
    fails(spoiled(values, |p| p.key = key_bytes(2)), "the key");
    fails(
        spoiled(single(0), |p| p.time = p.time.map(|time| time + 1)),
        "not its own",
    );
    fails(spoiled(single(0), |p| p.time = Some(5)), "no identity");
    fails(
        spoiled(claim, |p| p.time = Some(5)),
        "time Some(5) under Given",
    );
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
fn an_identity_in_the_wrong_part_is_found() {
    let inside = RecordId::new(SendKind::Claim, 0, 0, 16, 0);
    fails(
        spoiled(inside, |p| p.time = Some(inside.time())),
        "not its own",
    );
    // The same, if its first word were not its identity.
    let mut checker = checker(Overflow::Backpressure);
    let mut made = TestRecord::new(&checker, inside);
    inside.fill(
        inside.digest(checker.ledger.plan.salt),
        false,
        &mut made.value,
    );
    let parts = RecordParts {
        time: Some(inside.time()),
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
    let made = TestRecord::new(&Checker::new(Arc::new(there)), single(0));
    fails(here.record(0, 0, &made.parts(0)), "not its own");
}

#[test]
fn a_gap_is_aborted_claims_and_nothing_else() {
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        let mut good = checker(overflow);
        good.ledger.abort(0, 1);
        good.ledger.abort(0, 2);
        assert_eq!(read(&mut good, &[0, 3, 4], 0), Ok(()));
        assert_eq!(good.progress()[0].stepped, 2);
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
        let made = TestRecord::new(&checker, single(sequence));
        assert_eq!(checker.record(0, 0, &made.parts(offset)).is_ok(), good);
    }
    // Another producer has a sequence of its own.
    let other = TestRecord::new(&checker, RecordId::new(SendKind::Single, 1, 2, 21, 0));
    assert_eq!(checker.record(0, 0, &other.parts(3)), Ok(()));
}

#[test]
fn a_key_stays_in_its_partition() {
    let mut checker = checker(Overflow::Backpressure);
    let made = [
        TestRecord::new(&checker, single(0)),
        TestRecord::new(&checker, single(1)),
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
    let made = TestRecord::new(&checker, single(0));
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
fn a_reader_is_exact_after_its_first_record() {
    let mut checker = checker(Overflow::DropOldest);
    checker.begin(0, 10, false);
    fails(read(&mut checker, &[9], 0), "go back");
    checker.begin(0, 10, false);
    assert_eq!(read(&mut checker, &[12, 13], 0), Ok(()));
    fails(read(&mut checker, &[15], 0), "14 should be next");
}
