use super::*;

fn batch(epoch: i16, base_sequence: i32) -> Producer {
    Producer {
        id: 7,
        epoch,
        base_sequence,
    }
}

fn at(base_offset: u64) -> Appended {
    Appended {
        base_offset,
        log_append_time: -1,
    }
}

/// Batches of two records from sequence 0 on.
fn with_batches(count: i32) -> Sequences {
    let mut sequences = Sequences::default();
    for i in 0..count {
        assert_eq!(sequences.check(batch(0, 2 * i), 2), Verdict::Append);
        sequences.record(batch(0, 2 * i), 2, -1, at(100 + i as u64));
    }
    sequences
}

#[test]
fn the_last_five_batches_are_answered_again() {
    let sequences = with_batches(7);
    for i in 2..7 {
        let duplicate = Verdict::Duplicate(at(100 + i as u64));
        assert_eq!(sequences.check(batch(0, 2 * i), 2), duplicate);
    }
    let out_of_order = Verdict::OutOfOrder { expected: 14 };
    assert_eq!(sequences.check(batch(0, 2), 2), out_of_order);
    assert_eq!(sequences.check(batch(0, 12), 1), out_of_order);
}

#[test]
fn a_gap_is_refused() {
    let out_of_order = Verdict::OutOfOrder { expected: 2 };
    assert_eq!(with_batches(1).check(batch(0, 3), 2), out_of_order);
}

#[test]
fn an_unknown_producer_may_begin_anywhere() {
    let sequences = Sequences::default();
    assert_eq!(sequences.check(batch(3, 900), 1), Verdict::Append);
}

#[test]
fn a_first_batch_that_was_refused_is_waited_for() {
    let mut sequences = Sequences::default();
    sequences.refuse(batch(0, 7));
    sequences.refuse(batch(0, 9));
    let out_of_order = Verdict::OutOfOrder { expected: 7 };
    assert_eq!(sequences.check(batch(0, 9), 2), out_of_order);
    assert_eq!(sequences.check(batch(1, 0), 2), Verdict::Append);
    assert_eq!(sequences.check(batch(0, 7), 2), Verdict::Append);
    sequences.record(batch(0, 7), 2, -1, at(1));
    sequences.refuse(batch(0, 9));
    assert_eq!(sequences.check(batch(0, 9), 2), Verdict::Append);
}

#[test]
fn an_epoch_ends_the_ones_before_it() {
    let mut sequences = with_batches(2);
    let out_of_order = Verdict::OutOfOrder { expected: 0 };
    assert_eq!(sequences.check(batch(1, 4), 1), out_of_order);
    assert_eq!(sequences.check(batch(1, 0), 1), Verdict::Append);
    sequences.record(batch(1, 0), 1, -1, at(200));
    let old = Verdict::OldEpoch { current: 1 };
    assert_eq!(sequences.check(batch(0, 4), 1), old);
    assert_eq!(sequences.check(batch(1, 1), 1), Verdict::Append);
}

#[tokio::test(start_paused = true)]
async fn producers_that_are_silent_for_a_day_are_forgotten() {
    let mut sequences = Sequences::default();
    let of = |id| Producer { id, ..batch(0, 0) };
    let many = FEW as i64;
    for id in 0..many {
        sequences.record(of(id), 1, -1, at(0));
    }
    tokio::time::advance(KEPT / 2).await;
    sequences.record(of(1), 1, -1, at(0));
    sequences.record(of(many), 1, -1, at(0));
    assert_eq!(sequences.producers.len() as i64, many + 1);
    tokio::time::advance(KEPT / 2).await;
    for id in many + 1..=2 * many {
        sequences.record(of(id), 1, -1, at(0));
    }
    assert_eq!(sequences.producers.len() as i64, many + 2);
    let active: Vec<i64> = sequences.active().iter().map(|p| p.id).collect();
    assert_eq!(active.len() as i64, many + 2);
    assert_eq!(active[..2], [1, many]);
    tokio::time::advance(KEPT).await;
    sequences.record(of(5), 1, -1, at(0));
    assert_eq!(sequences.active().len(), 1);
}

#[test]
fn sequences_wrap_to_zero() {
    let mut sequences = Sequences::default();
    let last = batch(0, i32::MAX - 1);
    sequences.record(last, 2, -1, at(1));
    assert_eq!(sequences.check(batch(0, 0), 1), Verdict::Append);
    let across = batch(0, i32::MAX);
    let mut sequences = Sequences::default();
    sequences.record(across, 3, -1, at(1));
    assert_eq!(sequences.check(batch(0, 2), 1), Verdict::Append);
    assert_eq!(sequences.check(across, 3), Verdict::Duplicate(at(1)));
}
