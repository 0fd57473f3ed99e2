//! Where consumers sleep until there is more for them (`log/waiting_readers.rs`).

use super::*;
use crate::consumer::Consumer;
use crate::topic::Topic;
use crate::wait::WaitFor;

/// A durable topic that goes on in memory when its files have failed.
fn topic(disk: &ModelDisk) -> (Broker, Topic) {
    let config = config(disk)
        .flush(Flush::Manual)
        .on_write_error(OnWriteError::GoOn);
    let (broker, _) = Broker::open(config).unwrap();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    (broker, topic)
}

fn consumer(broker: &Broker, read_up_to: ReadUpTo) -> Consumer {
    let config = ConsumerConfig::new().read_up_to(read_up_to);
    let mut consumer = broker.consumer(config).unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

fn fail_a_write(disk: &ModelDisk, topic: &Topic) {
    disk.fail_next("write", std::io::ErrorKind::Other);
    topic.producer().send(Record::new("fails")).unwrap();
    topic.wait_written(0, 1, LONG).unwrap_err();
}

/// Whether a send wakes the consumer when it has read what is there.
fn is_woken_by_sends(topic: &Topic, consumer: &mut Consumer) -> bool {
    while !consumer.try_poll().unwrap().is_empty() {}
    let waiting = topic.inner().partition(0).readers().waiting();
    let (_, event_counts) = consumer.enrolment();
    let event_counts: Vec<_> = event_counts.collect();
    let sleeps_at = |one| event_counts.iter().any(|count| Arc::ptr_eq(count, one));
    assert_ne!(
        sleeps_at(waiting.for_records()),
        sleeps_at(waiting.for_files())
    );
    sleeps_at(waiting.for_records())
}

#[test]
fn sends_wake_the_readers_that_may_read_what_is_sent() {
    let disk = ModelDisk::new(1);
    let (broker, topic) = topic(&disk);
    let levels = [ReadUpTo::Sent, ReadUpTo::Written, ReadUpTo::Durable];
    let mut consumers = levels.map(|level| consumer(&broker, level));
    let mut woken = || {
        consumers
            .each_mut()
            .map(|one| is_woken_by_sends(&topic, one))
    };
    assert_eq!(woken(), [true, false, false]);
    fail_a_write(&disk, &topic);
    assert_eq!(woken(), [true, true, false]);
}

#[test]
fn a_reader_of_what_is_written_is_woken_by_sends_when_the_files_have_failed() {
    let disk = ModelDisk::new(1);
    let (broker, topic) = topic(&disk);
    let mut consumer = consumer(&broker, ReadUpTo::Written);
    let read = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            // It waits before the failure, and again after it.
            let mut read = 0;
            while read < 2 {
                let begin = Instant::now();
                read += consumer.poll(LONG).unwrap().len();
                assert!(begin.elapsed() < LONG / 2, "it was not woken");
            }
            read
        });
        std::thread::sleep(Duration::from_millis(20));
        fail_a_write(&disk, &topic);
        std::thread::sleep(Duration::from_millis(20));
        topic.producer().send(Record::new("in memory")).unwrap();
        reading.join().unwrap()
    });
    assert_eq!(read, 2);
}
