//! Members of a group on threads.

use miri_tests::{make, member, small};
use ringlog::{ConsumeError, Record};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

#[test]
fn members_read_each_record_once_while_one_leaves() {
    let (broker, topic) = make(small().partitions(2));
    // From here on the group holds back what it has not read.
    let mut first = member(&broker);
    assert!(first.try_poll().unwrap().is_empty());
    let read = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let mut consumers = vec![first, member(&broker)];
        for (leaves, mut consumer) in [true, false].into_iter().zip(consumers.drain(..)) {
            let read = &read;
            scope.spawn(move || {
                for poll in 0.. {
                    let polled = consumer.poll(Duration::from_millis(10));
                    match polled {
                        Ok(batch) => {
                            let at = batch.partition();
                            let mut read = read.lock().unwrap();
                            read.extend(batch.iter().map(|record| (at, record.offset())));
                        }
                        Err(ConsumeError::Closed { .. }) => break,
                        Err(other) => panic!("{other}"),
                    }
                    if leaves && poll == 4 {
                        break;
                    }
                }
                consumer.close();
            });
        }
        let mut producer = topic.producer();
        for n in 0..16u32 {
            producer.send(Record::new("x").partition(n % 2)).unwrap();
        }
        topic.close();
    });
    let mut read = read.into_inner().unwrap();
    read.sort_unstable();
    let sent = (0..2).flat_map(|p| (0..8).map(move |offset| (Some(p), offset)));
    assert!(sent.eq(read));
}
