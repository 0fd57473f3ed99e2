//! Tests of what does not need a log: the decisions, the naps and the share of the ring.

use super::*;

const MAX_WAIT: Duration = Duration::from_millis(500);

fn records(records: u64) -> Unread {
    Unread {
        records,
        is_due: false,
    }
}

/// A wait for three records, and its beginning.
fn waiting() -> (FetchMin, Instant) {
    let mut fetch_min = FetchMin::new(3, MAX_WAIT);
    fetch_min.begin();
    (fetch_min, Instant::now())
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn a_consumer_waits_for_more_only_with_a_minimum_above_one_and_some_time() {
    assert!(FetchMin::new(2, ms(1)).is_on());
    assert!(!FetchMin::new(1, ms(1)).is_on());
    assert!(!FetchMin::new(2, Duration::ZERO).is_on());
}

#[test]
fn the_longest_wait_begins_with_the_first_record() {
    let (mut fetch_min, start) = waiting();
    let first = start + ms(1000);
    assert_eq!(fetch_min.decide(records(0), start), MayRead::Nothing);
    assert_eq!(
        fetch_min.decide(records(0), start + ms(900)),
        MayRead::Nothing
    );
    assert!(!fetch_min.is_napping());
    assert_eq!(fetch_min.decide(records(1), first), MayRead::TooFew);
    assert!(fetch_min.is_napping());
    let almost = first + MAX_WAIT - Duration::from_micros(1);
    assert_eq!(fetch_min.decide(records(2), almost), MayRead::TooFew);
    // The last nap is no longer than the rest of the wait.
    assert_eq!(fetch_min.next_count(), Some(first + MAX_WAIT));
    assert_eq!(fetch_min.decide(records(2), first + MAX_WAIT), MayRead::Yes);
    assert!(!fetch_min.is_napping());
}

#[test]
fn records_that_go_begin_the_wait_again() {
    let (mut fetch_min, start) = waiting();
    assert_eq!(fetch_min.decide(records(2), start), MayRead::TooFew);
    assert_eq!(
        fetch_min.decide(records(0), start + ms(499)),
        MayRead::Nothing
    );
    assert!(!fetch_min.is_napping());
    assert_eq!(
        fetch_min.decide(records(2), start + ms(600)),
        MayRead::TooFew
    );
}

#[test]
fn enough_records_and_what_is_due_are_read_at_once() {
    let due = |records| Unread {
        records,
        is_due: true,
    };
    for enough in [records(3), records(u64::MAX), due(1), due(0)] {
        let (mut fetch_min, start) = waiting();
        assert_eq!(fetch_min.decide(enough, start), MayRead::Yes);
        assert_eq!(fetch_min.counted, enough.records);
        // If nothing is found after all, the consumer waits for a send.
        assert!(!fetch_min.is_napping());
    }
    assert_eq!(records(1).and(records(2)).and(due(0)), due(3));
    assert_eq!(records(1).and(records(u64::MAX)), records(u64::MAX));
}

#[test]
fn after_the_end_of_a_wait_polls_take_what_there_is() {
    let (mut fetch_min, start) = waiting();
    assert_eq!(fetch_min.decide(records(1), start), MayRead::TooFew);
    assert!(fetch_min.end());
    assert!(!fetch_min.is_napping() && !fetch_min.end());
    assert_eq!(fetch_min.longest_park(), Duration::MAX);
}

/// A wait for `wanted` records of a stream, of which `come_by` says how many have come by a time.
/// Returns the number of counts, and when the last one was.
fn wait_for(wanted: u64, come_by: impl Fn(Duration) -> u64) -> (usize, Duration) {
    let (mut waited, mut counts) = (Duration::ZERO, 1);
    while come_by(waited) < wanted {
        let come = come_by(waited) - come_by(Duration::ZERO);
        waited += nap(waited, come, wanted - come_by(waited));
        counts += 1;
    }
    (counts, waited)
}

#[test]
fn a_wait_counts_seldom_and_notices_a_burst_soon() {
    for (all_at, most_counts) in [(1, 15), (10, 25), (100, 115), (500, 515)] {
        let all_at = ms(all_at);
        let burst = |now: Duration| if now < all_at { 1 } else { 1_000_000 };
        let (counts, ended) = wait_for(1_000_000, burst);
        assert!(counts <= most_counts, "{counts} counts in {all_at:?}");
        let late = ended - all_at;
        assert!(
            late <= (all_at / PART_OF_WAIT).min(MAX_NAP),
            "{late:?} after {all_at:?}"
        );
    }
}

#[test]
fn a_wait_for_a_steady_stream_ends_on_time() {
    for period in [1, 10, 100, 1_000].map(Duration::from_micros) {
        let steady = |now: Duration| 1 + (now.as_nanos() / period.as_nanos()) as u64;
        let (_, ended) = wait_for(10_000, steady);
        let late = ended - period * 9_999;
        assert!(late <= MIN_NAP + period, "{late:?} at {period:?}");
    }
}

#[test]
fn naps_have_bounds_whatever_the_numbers() {
    let times = [0, 1, u64::MAX].map(Duration::from_nanos);
    for waited in times.into_iter().chain([Duration::MAX]) {
        for come in [0, 1, u64::MAX] {
            for missing in [1, u64::MAX] {
                let nap = nap(waited, come, missing);
                assert!((MIN_NAP..=MAX_NAP).contains(&nap));
            }
        }
    }
}

/// A ring of a few segments in which a producer stops, or evicts, when it is full: the wait always
/// ends before, with at least one segment's room to go unless there are only two or three.
#[test]
fn the_wait_ends_before_the_ring_is_full() {
    for room in 2..40 {
        let share = |after_position| RingShare {
            position: 7,
            active: 7 + after_position,
            room,
            is_evictable: false,
        };
        let due = (0..room).find(|&after| share(after).is_due());
        assert_eq!(due, Some((room / 2).max(1)), "of {room}");
        assert!((1..room).contains(&due.unwrap()));
        assert!((due.unwrap()..room).all(|after| share(after).is_due()));
        let evictable = |after_position| RingShare {
            is_evictable: true,
            ..share(after_position)
        };
        assert!(!evictable(0).is_due() && evictable(1).is_due());
    }
    // The active segment was loaded before the cursor moved on.
    let stale = RingShare {
        position: 8,
        active: 7,
        room: 2,
        is_evictable: true,
    };
    assert!(!stale.is_due());
}
