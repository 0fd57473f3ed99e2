//! What lets a reader go on that waits, besides records.

use super::*;

#[test]
fn a_reader_of_durable_records_reads_on_when_retention_takes_those_it_waits_for() {
    let disk = ModelDisk::new(1);
    let (broker, _) = Broker::open(config(&disk).flush(Flush::Manual)).unwrap();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    let mut producer = topic.producer();
    for _ in 0..100 {
        producer.send(Record::new(&[7; 100])).unwrap();
    }
    topic.wait_written(0, 100, LONG).unwrap();
    let config = ConsumerConfig::new().read_up_to(ReadUpTo::Durable);
    let mut consumer = broker.consumer(config).unwrap();
    consumer.subscribe(["t"]).unwrap();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let begin = Instant::now();
            assert!(!consumer.poll(LONG).unwrap().is_empty());
            begin.elapsed()
        });
        // So that the reader waits by then, mostly.
        std::thread::sleep(Duration::from_millis(20));
        topic.set_retention(Some(Duration::ZERO));
        topic.apply_retention();
        let waited = reading.join().unwrap();
        assert_eq!(topic.durable_end(0), Ok(100));
        assert!(waited < LONG / 2, "it was not woken");
    });
}
