//! The text of errors.

use super::common::TOPIC;
use ringlog::{BatchError, ConsumeError, SendError, TopicError, ViewError};
use std::error::Error;
use std::time::Duration;

#[test]
fn every_message_is_one_sentence_with_the_facts() {
    fn is_an_error<E: Error + Send + Sync + Clone + PartialEq + 'static>(error: E) -> String {
        let boxed: Box<dyn Error + Send + Sync + 'static> = Box::new(error);
        boxed.to_string()
    }
    let topic: std::sync::Arc<str> = TOPIC.into();
    let full = SendError::Full {
        topic: topic.clone(),
        partition: 4,
        waited: Duration::from_millis(250),
    };
    let cases = [
        (is_an_error(full.clone()), &["4", "\"t\"", "250ms"][..]),
        (
            is_an_error(SendError::RecordTooLarge { size: 99, max: 64 }),
            &["99", "64"],
        ),
        (
            is_an_error(SendError::Closed {
                topic: topic.clone(),
            }),
            &["\"t\"", "closed"],
        ),
        (
            is_an_error(BatchError {
                cause: full,
                appended: 2,
                refused: vec![3, 5, 6],
            }),
            &["2 records", "3 refused", "full"],
        ),
        (
            is_an_error(ConsumeError::OffsetOutOfRange {
                topic: topic.clone(),
                partition: 1,
                position: 77,
                log_start: 80,
                log_end: 90,
            }),
            &["77", "80", "90", "1", "\"t\""],
        ),
        (
            is_an_error(TopicError::ProducersExist {
                topic,
                shared: 2,
                exclusive: 0,
            }),
            &["2 shared", "0 exclusive"],
        ),
        (
            is_an_error(TopicError::OutOfMemory { bytes: 12_345 }),
            &["12345"],
        ),
        (
            is_an_error(ViewError::Size {
                offset: 7,
                length: 5,
                size: 8,
            }),
            &["7", "5", "8"],
        ),
    ];
    for (text, facts) in cases {
        assert!(!text.contains('\n') && !text.ends_with('.'), "{text}");
        for fact in facts {
            assert!(text.contains(fact), "{text:?} lacks {fact:?}");
        }
    }
}
