//! Answers that come later: of Produce requests whose batches are in the log, and not yet stored as far
//! as they are to be. They are sent in the order of their requests.

use super::api::LaterFrame;
use super::protocol::frame::ProtocolError;
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;

/// The most answers that a connection waits for: clients have five requests in flight, as a rule.
const MOST: usize = 32;

#[derive(Default)]
pub(super) struct OwedAnswers(VecDeque<LaterFrame>);

impl OwedAnswers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MOST
    }

    /// Whether the request in this frame may be worked on before they have come.
    pub(super) fn may_grow(&self, frame: &Bytes) -> bool {
        let key = frame.first_chunk().map(|key| i16::from_be_bytes(*key));
        self.is_empty() || (!self.is_full() && key == Some(ApiKey::Produce as i16))
    }

    pub(super) fn push(&mut self, answer: LaterFrame) {
        self.0.push_back(answer);
    }

    /// Waits for the first of them. Returns it with the ones behind it that have come, too. If this is
    /// given up, the next call goes on where it was.
    pub(super) async fn next(&mut self) -> Result<BytesMut, ProtocolError> {
        let mut frames = BytesMut::new();
        poll_fn(|context| {
            while let Some(first) = self.0.front_mut() {
                match first.as_mut().poll(context) {
                    Poll::Pending => break,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(frame)) => {
                        self.0.pop_front();
                        match frames.is_empty() {
                            true => frames = frame,
                            false => frames.extend_from_slice(&frame),
                        }
                    }
                }
            }
            match frames.is_empty() {
                true => Poll::Pending,
                false => Poll::Ready(Ok(std::mem::take(&mut frames))),
            }
        })
        .await
    }
}
