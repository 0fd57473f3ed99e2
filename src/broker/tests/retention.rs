//! Retention beside the copier, on a disk whose syncs of a directory take as long as a test wants.

use super::*;
use std::path::Path;

/// Releases the syncs again, also when a test fails.
struct Held<'d>(&'d ModelDisk);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.hold_syncs_of(None);
    }
}

#[test]
fn records_are_copied_while_retention_waits_for_the_disk() {
    let disk = ModelDisk::new(1);
    let (broker, _) = Broker::open(config(&disk)).unwrap();
    let ring = small_ring().retention_bytes(u64::MAX).max_block(LONG);
    let topic = broker.create_topic("t", ring).unwrap();
    let mut producer = topic.producer();
    let mut send = |count| {
        for _ in 0..count {
            producer.send(Record::new(&[7; 100])).unwrap();
        }
    };
    send(3000);
    topic.flush(LONG).unwrap();
    let topics = Path::new("/data/topics");
    let partition = topics.join(&disk.names(topics)[0]).join("p00000");
    // From here on only a removal syncs the directory, until the next file begins.
    std::thread::scope(|scope| {
        let _held = Held(&disk);
        disk.hold_syncs_of(Some(&partition));
        topic.set_retention_bytes(Some(1));
        scope.spawn(|| topic.apply_retention());
        wait_until("retention", || disk.is_holding());
        send(1000);
        assert!(topic.written_end(0).unwrap() > 3900);
    });
    topic.apply_retention();
    assert!(topic.log_start_offset(0).unwrap() > 0);
}
