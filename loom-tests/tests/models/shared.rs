//! The shared producer: calls by one handle, each on a producer of its own.

use crate::common::*;
use loom::thread;
use ringlog_loom::{Overflow, Record};

/// Calls that overlap use two producers, and others one; never is one used by two calls. A call
/// waits for no other. (In a model a pool keeps one idle producer.)
#[test]
fn calls_by_one_handle_take_a_producer_each_and_put_it_back() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(small(Overflow::DropOldest));
        let own = topic.memory_bytes();
        let segment = own / 3;
        let handle = topic.shared_producer();
        let calls = [1, 2].map(|n| {
            let handle = handle.clone();
            thread::spawn(move || handle.send(Record::new(&value(n))).unwrap().offset)
        });
        let mut sent = calls.map(|call| call.join().unwrap());
        let spares = (topic.memory_bytes() - own) / segment;
        // Two calls after one another find an idle producer, and so does this one.
        let last = handle.send(Record::new(&value(3))).unwrap().offset;
        assert_eq!((topic.memory_bytes() - own) / segment, spares);
        assert_eq!(last, 2);
        let first = sent[0];
        sent.sort_unstable();
        assert_eq!(sent, [0, 1]);
        let seen = drain(&mut reader(&broker)).0;
        let expected = if first == 0 { [1, 2, 3] } else { [2, 1, 3] };
        assert!(seen.iter().map(|&(_, n)| n).eq(expected), "{seen:?}");
        observed.add((spares, first));
        drop(handle);
        assert!(
            topic.exclusive_producer().is_ok(),
            "all producers are dropped"
        );
        topic.assert_no_segment_is_lost();
    });
    outcomes.are([(1, 0), (1, 1), (2, 0), (2, 1)]);
}
