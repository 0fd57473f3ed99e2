//! Notes of frames: what a sender keeps beside its records, in the ring and in the files.

use super::*;
use ringlog::Batch;

/// The base offset, the number of records and the words of each note.
type Notes = Vec<(u64, u64, Vec<u64>)>;

fn notes(batch: &Batch<'_>) -> Notes {
    let notes = batch.notes();
    notes
        .map(|note| (note.base_offset, note.records, note.words().collect()))
        .collect()
}

/// Reads all notes up to `end`, at most `max` records at a time, and checks the records' values.
fn read_notes(broker: &Broker, max: u32, end: u64) -> Notes {
    let config = ConsumerConfig::new().max_poll_records(max);
    let mut consumer = broker.consumer(config).unwrap();
    consumer.subscribe(["t"]).unwrap();
    let (mut all, mut next) = (Notes::new(), 0);
    while next < end {
        let batch = consumer.poll(LONG).unwrap();
        for record in &batch {
            assert_eq!(record.offset(), next);
            assert_eq!(record.value_bytes(), next.to_string().as_bytes());
            assert_eq!(record.key(), (next % 2 == 0).then_some(&b"key"[..]));
            next += 1;
        }
        all.extend(notes(&batch));
    }
    all
}

#[test]
fn notes_are_read_from_the_ring_and_from_the_files() {
    let dir = dir();
    let mut expected = Notes::new();
    let mut end = 0;
    {
        let (broker, _) = open_small(dir.path());
        let topic = broker.create_topic("t", small_ring()).unwrap();
        let shared = topic.shared_producer();
        let mut producer = topic.producer();
        for round in 0..200u64 {
            let count = round % 5 + 1;
            let values: Vec<String> = (end..end + count).map(|i| i.to_string()).collect();
            let records = values.iter().zip(end..).map(|(value, offset)| {
                let record = Record::new(value);
                match offset % 2 {
                    0 => record.key("key").timestamp(5),
                    _ => record,
                }
            });
            let records: Vec<_> = records.collect();
            let words: Vec<u64> = (0..round % 4).map(|i| round * 10 + i).collect();
            let sent = match round % 3 {
                // Frames without a place for a note, between the others.
                0 => {
                    producer.send_batch(&records).unwrap();
                    end += count;
                    continue;
                }
                1 => producer.send_frame(0, &records, &words),
                _ => pollster(shared.send_frame_async(0, &records, &words)),
            };
            let sent = sent.unwrap();
            assert_eq!((sent.base_offset, sent.records), (end, count));
            if !words.is_empty() {
                expected.push((end, count, words));
            }
            end += count;
        }
        assert_eq!(read_notes(&broker, 3, end), expected);
        assert_eq!(read_notes(&broker, 1000, end), expected);
    }
    let (broker, report) = open_small(dir.path());
    assert_eq!(report.records(), end);
    assert_eq!(read_notes(&broker, 3, end), expected);
    assert_eq!(read_notes(&broker, 1000, end), expected);
}

#[test]
fn a_frame_that_cannot_be_appended_is_refused_whole() {
    let broker = Broker::new();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    let mut producer = topic.producer();
    let record = Record::new("x");
    assert!(producer.send_frame(1, &[record], &[]).is_err());
    assert!(producer.send_frame(0, &[record; 17], &[1]).is_err());
    assert!(producer.send_frame(0, &[record], &[0; 1000]).is_err());
    assert!(
        producer
            .send_frame(0, &[record.timestamp(-1)], &[1])
            .is_err()
    );
    assert_eq!(topic.log_end_offset(0), Ok(0));
    let sent = producer.send_frame(0, &[], &[1]).unwrap();
    assert_eq!((sent.base_offset, sent.records), (0, 0));
}

/// Waits for a future on this thread.
fn pollster<T>(future: impl std::future::Future<Output = T>) -> T {
    use std::task::{Context, Poll, Wake, Waker};
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
