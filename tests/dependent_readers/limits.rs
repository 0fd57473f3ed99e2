//! What a dependent reader returns: exactly what its upstreams have read.

use super::common::{TOPIC, make, subscribed};
use super::{NOTHING, after, partition, read, read_all, send};
use ringlog::{
    Broker, ConsumeError, Consumer, ConsumerConfig, Destination, HoldBack, OffsetReset, Overflow,
    Producer, Record, Topic, TopicConfig, UpstreamError,
};

#[test]
fn a_batch_counts_as_read_when_the_next_poll_begins() {
    let (broker, topic) = make(TopicConfig::new());
    let mut journal = subscribed(&broker, ConsumerConfig::new().max_poll_records(2));
    let mut matcher = after(&broker, &mut [&mut journal]);
    send(&mut topic.producer(), 5);
    let mut returned = Vec::new();
    for expected in [vec![0, 1], vec![2, 3], vec![4], vec![]] {
        assert_eq!(
            read(&mut matcher),
            NOTHING,
            "not while the batch is handled"
        );
        assert_eq!(read(&mut journal), expected);
        let position = journal.position((TOPIC, 0)).unwrap();
        returned.extend(read(&mut matcher));
        assert_eq!(returned.len() as u64, position - expected.len() as u64);
    }
    assert_eq!(returned, [0, 1, 2, 3, 4]);
}

#[test]
fn with_several_upstreams_the_slowest_counts_and_dependents_have_dependents() {
    for slowest_first in [false, true] {
        let (broker, topic) = make(TopicConfig::new());
        let config = || ConsumerConfig::new().max_poll_records(1);
        let (mut a, mut b) = (subscribed(&broker, config()), subscribed(&broker, config()));
        let mut upstreams = [&mut a, &mut b];
        if slowest_first {
            upstreams.reverse();
        }
        let mut c = after(&broker, &mut upstreams);
        let mut d = after(&broker, &mut [&mut c]);
        send(&mut topic.producer(), 4);
        (0..5).for_each(|_| _ = read(&mut a));
        assert_eq!(read_all(&mut c), NOTHING);
        (0..3).for_each(|_| _ = read(&mut b));
        assert_eq!(read(&mut c), [0, 1]);
        assert_eq!(read_all(&mut d), NOTHING);
        assert_eq!(read(&mut c), NOTHING);
        assert_eq!(read_all(&mut d), [0, 1]);
        (0..2).for_each(|_| _ = read(&mut b));
        assert_eq!(read_all(&mut c), [2, 3]);
        assert_eq!(read_all(&mut d), [2, 3]);
    }
}

/// A simple generator of numbers that repeat with their seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Appends one frame to a partition: a record, a batch, values, or a claim that is given up.
fn append(producer: &mut Producer, numbers: &mut Numbers) {
    let to = numbers.below(2) as u32;
    let destination = Destination::Partition(to);
    match numbers.below(4) {
        0 => _ = producer.try_send(Record::new("one").partition(to)),
        1 => {
            let batch = vec![Record::new("batch").partition(to); 1 + numbers.below(4) as usize];
            _ = producer.try_send_batch(&batch);
        }
        2 => _ = producer.try_send_values(destination, &vec![7u64; 1 + numbers.below(4) as usize]),
        _ => _ = producer.claim(destination, None, 4).map(drop),
    }
}

/// Offsets that an upstream has been returned in a partition.
#[derive(Default)]
struct Returned {
    offsets: Vec<u64>,
    /// How many of them count as read: all but those of the last batch.
    read: usize,
    /// Everything before this offset was returned, lost or stepped over.
    end: u64,
    /// That offset as of what counts as read.
    read_end: u64,
}

#[test]
fn random_polls_return_exactly_what_the_upstream_has_read() {
    for seed in 0..60 {
        let mut numbers = Numbers(seed);
        let overflow = match seed % 2 {
            0 => Overflow::Backpressure,
            _ => Overflow::DropOldest,
        };
        let config = TopicConfig::new()
            .partitions(2)
            .segments(3)
            .segment_records(7);
        let config = config
            .overflow(overflow)
            .max_block(std::time::Duration::ZERO);
        let (broker, topic) = make(config);
        let mut producer = topic.producer();
        let max = |numbers: &mut Numbers| {
            ConsumerConfig::new().max_poll_records(1 + numbers.below(6) as u32)
        };
        let mut upstream = subscribed(&broker, max(&mut numbers));
        let config = max(&mut numbers).read_after(&upstream.progress());
        let mut dependent = subscribed(&broker, config);
        let mut returned = [Returned::default(), Returned::default()];
        let mut ends = [0, 0];
        for step in 0..2000 {
            match numbers.below(5) {
                0 | 1 => append(&mut producer, &mut numbers),
                2 => poll_upstream(&mut upstream, &mut returned),
                _ => poll_dependent(&mut dependent, &topic, &returned, &mut ends, seed, step),
            }
        }
        // Everything that it has read is returned in the end.
        for _ in 0..1000 {
            poll_upstream(&mut upstream, &mut returned);
            poll_dependent(&mut dependent, &topic, &returned, &mut ends, seed, 2000);
        }
        for (to, returned) in returned.iter().enumerate() {
            assert_eq!(returned.read, returned.offsets.len());
            let last = returned.offsets.last().map_or(0, |last| last + 1);
            assert!(last > 0, "seed {seed}");
            assert_eq!(ends[to], last, "seed {seed}");
        }
    }
}

fn poll_upstream(upstream: &mut Consumer, returned: &mut [Returned; 2]) {
    for returned in &mut *returned {
        returned.read = returned.offsets.len();
        returned.read_end = returned.end;
    }
    let batch = upstream.try_poll().unwrap();
    let Some(to) = batch.partition() else { return };
    let returned = &mut returned[to as usize];
    returned
        .offsets
        .extend(batch.iter().map(|record| record.offset()));
    returned.end = batch.next_offset().unwrap();
}

fn poll_dependent(
    dependent: &mut Consumer,
    topic: &Topic,
    returned: &[Returned; 2],
    ends: &mut [u64; 2],
    seed: u64,
    step: usize,
) {
    let batch = dependent.try_poll().unwrap();
    let Some(to) = batch.partition().map(|to| to as usize) else {
        // Nothing that counts as read is kept from it, unless it was overwritten.
        for (to, (end, returned)) in ends.iter().zip(returned).enumerate() {
            let start = topic.log_start_offset(to as u32).unwrap();
            let last = returned.offsets[..returned.read].last();
            assert!(
                last.is_none_or(|last| last < end || *last < start),
                "seed {seed}, step {step}"
            );
        }
        return;
    };
    let Returned {
        offsets, read_end, ..
    } = &returned[to];
    for record in &batch {
        let offset = record.offset();
        assert!(offset >= ends[to], "seed {seed}, step {step}: in order");
        assert!(offset < *read_end, "seed {seed}, step {step}: not read yet");
        if batch.lost() == 0 && ends[to] > 0 {
            let between = offsets.iter().filter(|&&o| o >= ends[to] && o < offset);
            assert_eq!(between.count(), 0, "seed {seed}, step {step}: skipped");
        }
        ends[to] = offset + 1;
    }
}

#[test]
fn a_seek_forward_of_the_upstream_counts_and_a_seek_back_takes_nothing_back() {
    let (broker, topic) = make(TopicConfig::new());
    let mut journal = subscribed(&broker, ConsumerConfig::new());
    let mut matcher = after(&broker, &mut [&mut journal]);
    send(&mut topic.producer(), 10);
    journal.seek((TOPIC, 0), 4).unwrap();
    assert_eq!(read(&mut matcher), [0, 1, 2, 3]);
    read(&mut journal);
    journal.seek((TOPIC, 0), 2).unwrap();
    assert_eq!(
        read(&mut matcher),
        NOTHING,
        "its last batch is not handled before 10"
    );
    assert_eq!(read(&mut journal).len(), 8);
    assert_eq!(read(&mut matcher), NOTHING);
    read(&mut journal);
    assert_eq!(read(&mut matcher), [4, 5, 6, 7, 8, 9]);
    // A seek past the end is not where the upstream is.
    journal.seek((TOPIC, 0), 1000).unwrap();
    send(&mut topic.producer(), 1);
    assert_eq!(read(&mut matcher), NOTHING);
    journal.seek_to_end((TOPIC, 0)).unwrap();
    assert_eq!(read(&mut matcher), [10]);
}

#[test]
fn a_seek_of_the_dependent_does_not_pass_the_limit() {
    let (broker, topic) = make(TopicConfig::new());
    let mut journal = subscribed(&broker, ConsumerConfig::new().max_poll_records(4));
    let mut matcher = after(&broker, &mut [&mut journal]);
    send(&mut topic.producer(), 10);
    read(&mut journal);
    read(&mut journal);
    matcher.seek((TOPIC, 0), 6).unwrap();
    assert_eq!(read(&mut matcher), NOTHING);
    read(&mut journal);
    assert_eq!(read(&mut matcher), [6, 7]);
    matcher.seek_to_end((TOPIC, 0)).unwrap();
    assert_eq!(read(&mut matcher), NOTHING);
    matcher.seek((TOPIC, 0), 1).unwrap();
    assert_eq!(read(&mut matcher), [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn what_the_upstream_left_out_counts_as_read() {
    let (broker, topic) = make(TopicConfig::new());
    send(&mut topic.producer(), 3);
    let latest = ConsumerConfig::new().offset_reset(OffsetReset::Latest);
    let mut journal = subscribed(&broker, latest);
    let mut matcher = after(&broker, &mut [&mut journal]);
    assert_eq!(read_all(&mut matcher), [0, 1, 2]);
    // Without a position, nothing counts.
    let none = ConsumerConfig::new().offset_reset(OffsetReset::None);
    let mut unpositioned = subscribed(&broker, none);
    let mut waits = after(&broker, &mut [&mut unpositioned]);
    assert_eq!(read_all(&mut waits), NOTHING);
    unpositioned.seek((TOPIC, 0), 2).unwrap();
    assert_eq!(read_all(&mut waits), [0, 1]);
}

#[test]
fn producers_wait_for_the_dependent_as_for_any_reader() {
    for hold_back in [HoldBack::default(), HoldBack::Nothing] {
        let (broker, topic) = make(TopicConfig::new().segments(2).segment_records(2));
        let mut producer = topic.producer();
        let mut journal = subscribed(&broker, ConsumerConfig::new());
        let config = ConsumerConfig::new().hold_back(hold_back);
        let mut matcher = subscribed(&broker, config.read_after(&journal.progress()));
        let mut sent = 0;
        for _ in 0..10 {
            while sent < 100 && producer.try_send(Record::new("x")).is_ok() {
                sent += 1;
            }
            read_all(&mut journal);
        }
        assert_eq!(sent > 4, hold_back == HoldBack::Nothing, "{sent}");
        let batch = matcher.try_poll().unwrap();
        assert_eq!(batch.first_offset().unwrap(), batch.lost());
        assert_eq!(batch.lost() > 0, hold_back == HoldBack::Nothing);
    }
}

#[test]
fn partitions_are_limited_one_by_one_also_many_and_added_ones() {
    let (broker, topic) = make(TopicConfig::new().partitions(20));
    let mut journal = subscribed(&broker, ConsumerConfig::new().max_poll_records(1));
    let mut matcher = after(&broker, &mut [&mut journal]);
    let mut producer = topic.producer();
    let mut send_to_all = |topic: &ringlog::Topic| {
        for to in 0..topic.partitions() {
            producer.send(Record::new("x").partition(to)).unwrap();
        }
    };
    send_to_all(&topic);
    topic.add_partitions(24).unwrap();
    send_to_all(&topic);
    assert_eq!(
        read_all(&mut matcher),
        NOTHING,
        "nothing is read of added ones either"
    );
    let (mut first, mut second) = (0, 0);
    for _ in 0..44 + 1 {
        let polled = read(&mut journal).len();
        while !read(&mut matcher).is_empty() {
            second += 1;
        }
        assert_eq!(second, first, "all but the last batch");
        first += polled;
    }
    assert_eq!((first, second), (44, 44));
}

#[test]
fn topics_that_are_created_later_are_limited_whichever_consumer_finds_them_first() {
    let (broker, _topic) = make(TopicConfig::new());
    let mut journal = broker.consumer(ConsumerConfig::new()).unwrap();
    journal.subscribe_pattern("new-.*").unwrap();
    let config = ConsumerConfig::new().read_after(&journal.progress());
    let mut matcher = broker.consumer(config).unwrap();
    matcher.subscribe_pattern("new-.*").unwrap();
    let topic = broker.create_topic("new-1", TopicConfig::new()).unwrap();
    send(&mut topic.producer(), 2);
    assert_eq!(read(&mut matcher), NOTHING);
    assert_eq!(read_all(&mut journal), [0, 1]);
    assert_eq!(read_all(&mut matcher), [0, 1]);
    // One that the upstream does not follow is refused, or reported by the poll that finds it.
    let not_read = |result: Result<usize, ConsumeError>| {
        matches!(
            result,
            Err(ConsumeError::Upstream(UpstreamError::NotRead { .. }))
        )
    };
    assert!(not_read(matcher.subscribe_pattern(".*").map(|()| 0)));
    let config = ConsumerConfig::new().read_after(&journal.progress());
    let mut other = broker.consumer(config).unwrap();
    other.subscribe_pattern("other").unwrap();
    broker.create_topic("other", TopicConfig::new()).unwrap();
    assert!(not_read(other.try_poll().map(|batch| batch.len())));
}

#[test]
fn a_paused_partition_is_not_read_and_resumes_at_the_limit() {
    let (broker, topic) = make(TopicConfig::new());
    let mut journal = subscribed(&broker, ConsumerConfig::new());
    let mut matcher = after(&broker, &mut [&mut journal]);
    send(&mut topic.producer(), 3);
    matcher.pause(partition(0)).unwrap();
    read_all(&mut journal);
    assert_eq!(read_all(&mut matcher), NOTHING);
    matcher.resume(partition(0)).unwrap();
    send(&mut topic.producer(), 1);
    assert_eq!(read_all(&mut matcher), [0, 1, 2]);
}

#[test]
fn a_handle_is_the_same_before_and_after_the_subscription() {
    let broker = Broker::new();
    let topic = broker.create_topic(TOPIC, TopicConfig::new()).unwrap();
    let mut journal = broker.consumer(ConsumerConfig::new()).unwrap();
    let progress = journal.progress();
    journal.subscribe([TOPIC]).unwrap();
    send(&mut topic.producer(), 2);
    let mut matcher = subscribed(&broker, ConsumerConfig::new().read_after(&progress));
    read_all(&mut journal);
    assert_eq!(read_all(&mut matcher), [0, 1]);
    assert_eq!(
        format!("{progress:?}"),
        "ReadProgress(consumer \"consumer-1\")"
    );
}

#[test]
fn an_upstream_that_seeks_back_takes_nothing_back() {
    let (broker, topic) = make(TopicConfig::new());
    let mut journal = subscribed(&broker, ConsumerConfig::new());
    let mut matcher = after(&broker, &mut [&mut journal]);
    send(&mut topic.producer(), 5);
    assert_eq!(read_all(&mut journal).len(), 5);
    journal.seek((TOPIC, 0), 1).unwrap();
    assert_eq!(read(&mut journal).len(), 4);
    journal.seek((TOPIC, 0), 0).unwrap();
    assert_eq!(read_all(&mut matcher), [0, 1, 2, 3, 4]);
}
