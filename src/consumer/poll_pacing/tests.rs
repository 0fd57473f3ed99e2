//! Tests of the pacing, on simulated streams.

use super::*;

const MAX_PAUSE: u64 = 100_000;

/// A stream of records and its reader, in simulated nanoseconds.
struct Stream {
    /// From one record to the next.
    period: u64,
    /// By how much the producer is held up when the reader comes to the end.
    transfer: u64,
    /// Records come only after the reader has found the one before.
    is_dialogue: bool,
    next_record: u64,
    now: u64,
    unread: u64,
    read: u64,
    paused: u64,
    pauses: u64,
    longest_pause: u64,
    since_end: u32,
}

impl Stream {
    fn new(period: u64, transfer: u64) -> Stream {
        Stream {
            period,
            transfer,
            is_dialogue: false,
            next_record: period,
            now: 0,
            unread: 0,
            read: 0,
            paused: 0,
            pauses: 0,
            longest_pause: 0,
            since_end: 0,
        }
    }

    fn advance(&mut self, nanoseconds: u64) {
        self.now += nanoseconds;
        while self.next_record <= self.now {
            self.unread += 1;
            self.next_record = match self.is_dialogue {
                true => u64::MAX,
                false => self.next_record + self.period,
            };
        }
    }

    fn poll(&mut self, pacing: &mut PollPacing, target: Target) {
        if pacing.begins_poll() {
            pacing.polls_left = POLLS_PER_CHECK;
            if let Some(until) = pacing.pause_until(self.now, || Some(target)) {
                let pause = until.saturating_sub(self.now);
                self.advance(pause);
                self.paused += pause;
                self.pauses += 1;
                self.longest_pause = self.longest_pause.max(pause);
            }
        }
        let found = self.unread.min(pacing.limit().into());
        self.unread -= found;
        self.read += found;
        self.advance(20 + 4 * found);
        if found == 0 {
            return;
        }
        let at_end = found < pacing.limit().into();
        if at_end {
            self.next_record = self.next_record.saturating_add(self.transfer);
        }
        if self.is_dialogue {
            self.next_record = self.now + self.period;
        }
        self.since_end = if at_end { 0 } else { self.since_end + 1 };
        pacing.count(0, found as u32, self.since_end);
    }

    /// Polls for `time`. Returns the number of records that were read.
    fn run(&mut self, pacing: &mut PollPacing, target: Target, time: u64) -> u64 {
        let (end, read) = (self.now + time, self.read);
        while self.now < end {
            self.poll(pacing, target);
        }
        self.read - read
    }
}

const SECOND: u64 = 1_000_000_000;

fn pacing() -> PollPacing {
    PollPacing::new(500, Duration::from_nanos(MAX_PAUSE))
}

fn target(records: u64, partitions: u64) -> Target {
    Target {
        records,
        partitions,
    }
}

const ALONE: Target = Target {
    records: RECORDS_PER_PAUSE,
    partitions: 1,
};

#[test]
fn a_producer_that_its_reader_holds_up_runs_at_nearly_its_own_speed() {
    for transfer in [50, 100, 200] {
        let (mut pacing, mut stream) = (pacing(), Stream::new(16, transfer));
        let read = stream.run(&mut pacing, ALONE, SECOND / 10);
        // 16 ns a record, and a transfer in RECORDS_PER_PAUSE / 2 records or more.
        let expected = SECOND / 10 / (16 + transfer * 2 / RECORDS_PER_PAUSE);
        assert!(
            read > expected * 9 / 10,
            "{transfer} ns: {read} of {expected}"
        );
        assert!(stream.longest_pause < 80_000, "{}", stream.longest_pause);
    }
}

#[test]
fn a_stream_that_is_no_faster_for_pauses_has_next_to_none() {
    for period in [50, 100, 200, 249] {
        let (mut pacing, mut stream) = (pacing(), Stream::new(period, 0));
        stream.run(&mut pacing, ALONE, SECOND);
        let at_first = stream.paused;
        assert!((1..SECOND / 40).contains(&at_first), "{period}: {at_first}");
        stream.run(&mut pacing, ALONE, 2 * SECOND);
        let later = stream.paused - at_first;
        assert!(later < SECOND / 50, "{period}: {later}");
    }
}

#[test]
fn there_are_no_pauses_in_a_slow_stream() {
    for period in [260, 1000, 10_000] {
        let (mut pacing, mut stream) = (pacing(), Stream::new(period, 200));
        stream.run(&mut pacing, ALONE, SECOND);
        assert_eq!(stream.pauses, 0, "{period}");
    }
}

#[test]
fn a_record_that_is_an_answer_is_hardly_ever_delayed() {
    let (mut pacing, mut stream) = (pacing(), Stream::new(100, 0));
    stream.is_dialogue = true;
    let read = stream.run(&mut pacing, ALONE, SECOND);
    // Each attempt is given up after one or two.
    assert!((1..50).contains(&stream.pauses), "{}", stream.pauses);
    assert!(read > SECOND / 200, "{read}");
}

#[test]
fn a_stream_that_stops_ends_the_pauses() {
    let (mut pacing, mut stream) = (pacing(), Stream::new(16, 200));
    stream.run(&mut pacing, ALONE, SECOND / 10);
    assert_eq!(pacing.phase, Phase::Paced);
    stream.next_record += SECOND;
    stream.run(&mut pacing, ALONE, SECOND / 2);
    let pauses = stream.pauses;
    stream.period = 10_000;
    stream.run(&mut pacing, ALONE, SECOND);
    assert!(stream.pauses <= pauses + 1, "{pauses} {}", stream.pauses);
    // And it begins again with the stream.
    stream.period = 16;
    stream.run(&mut pacing, ALONE, SECOND / 10);
    assert_eq!(pacing.phase, Phase::Paced);
}

#[test]
fn the_pauses_of_all_partitions_together_are_no_longer_than_allowed() {
    for partitions in [1, 4, 32, 1000] {
        let (mut pacing, mut stream) = (pacing(), Stream::new(16, 200));
        let target = target(100_000, partitions);
        stream.run(&mut pacing, target, SECOND / 10);
        assert!(stream.pauses > 0 && stream.longest_pause <= MAX_PAUSE / partitions);
    }
}

#[test]
fn a_small_ring_is_not_left_to_fill_up() {
    // Without the limit there would be pauses of 65 µs: 4,096 records.
    let (mut pacing, mut stream) = (pacing(), Stream::new(16, 200));
    let mut most = 0;
    for _ in 0..100_000 {
        stream.poll(&mut pacing, target(64, 1));
        most = most.max(stream.unread);
    }
    assert!(stream.pauses > 0 && most <= 2 * 64, "{most}");
}

#[test]
fn a_log_that_retains_too_little_for_the_shortest_pause_has_next_to_none() {
    let (mut pacing, mut stream) = (pacing(), Stream::new(16, 200));
    stream.run(&mut pacing, target(8, 1), SECOND);
    assert!((1..100).contains(&stream.pauses), "{}", stream.pauses);
}

#[test]
fn a_backlog_is_read_without_pauses_and_in_long_polls() {
    let (mut pacing, mut stream) = (pacing(), Stream::new(16, 200));
    stream.run(&mut pacing, ALONE, SECOND / 10);
    assert_eq!(
        (pacing.phase, pacing.limit()),
        (Phase::Paced, PACED_POLL_RECORDS)
    );
    // As after a seek back.
    stream.unread += 1_000_000;
    stream.run(&mut pacing, ALONE, SECOND / 1000);
    assert_eq!((pacing.phase, pacing.limit()), (Phase::Free, 500));
    let pauses = stream.pauses;
    stream.run(&mut pacing, ALONE, SECOND / 1000);
    assert!(stream.unread > 500 && stream.pauses == pauses);
    // And when it has caught up, it is paced again.
    stream.run(&mut pacing, ALONE, SECOND / 10);
    assert_eq!(pacing.phase, Phase::Paced);
}

#[test]
fn the_end_of_one_partition_is_no_reason_to_pause_while_another_is_far_behind() {
    let (mut pacing, mut stream) = (pacing(), Stream::new(16, 200));
    stream.run(&mut pacing, ALONE, SECOND / 10);
    assert_eq!(pacing.phase, Phase::Paced);
    let backlog = pacing.backlog_polls;
    assert_eq!(
        u64::from(backlog * PACED_POLL_RECORDS),
        2 * RECORDS_PER_PAUSE
    );
    let mut pauses_after = |i, reads_since_end| {
        pacing.polls_left = 2 * pacing.backlog_polls;
        pacing.count(i, PACED_POLL_RECORDS, reads_since_end);
        pacing.polls_left == 1
    };
    assert!(!pauses_after(0, backlog - 1));
    assert!(pauses_after(1, 0));
    assert!(!pauses_after(0, backlog));
    assert!(!pauses_after(1, 0));
    assert!(pauses_after(0, 0));
    assert!(pauses_after(1, 0));
}

#[test]
fn in_a_small_ring_a_smaller_backlog_ends_the_pauses() {
    let (mut pacing, mut stream) = (pacing(), Stream::new(16, 200));
    stream.run(&mut pacing, target(340, 8), SECOND / 10);
    assert_eq!(pacing.backlog_polls, POLLS_WITHOUT_END);
}

#[test]
fn the_rate_without_pauses_is_measured_again_now_and_then() {
    let (mut pacing, mut stream) = (pacing(), Stream::new(16, 200));
    stream.run(&mut pacing, ALONE, SECOND / 10);
    assert_eq!(pacing.phase, Phase::Paced);
    // From now on the reader does not hold up the producer, and the pauses do no good.
    (stream.transfer, stream.period) = (0, 12);
    stream.run(&mut pacing, ALONE, SECOND);
    let paused = stream.paused;
    stream.run(&mut pacing, ALONE, SECOND);
    assert!(stream.paused - paused < SECOND / 50);
}

#[test]
fn a_consumer_that_spins_or_allows_no_pause_has_none() {
    let no_target = || -> Option<Target> { unreachable!() };
    for (max_pause, allowed) in [(0, true), (MAX_PAUSE, false)] {
        let mut pacing = PollPacing::new(500, Duration::from_nanos(max_pause));
        for _ in 0..10 * POLLS_PER_CHECK {
            if pacing.begins_poll() {
                pacing.pause(allowed, no_target);
            }
            pacing.count(0, 1, 0);
        }
        assert!(pacing.epoch.is_none());
    }
}
