//! [`ProducerMode`]: whether a producer shares its topic with others.

use crate::log::segment::{ClaimMode, ExclusiveMode, SharedMode};
use core::fmt;

/// The mode of a [`Producer`](crate::Producer): [`SharedMode`], beside any number of others, or
/// [`ExclusiveMode`], as its topic's only one.
///
/// Use it as a bound to write code for both kinds of [`Producer`](crate::Producer). It is sealed:
/// there are no other modes. A [`SharedProducer`](crate::SharedProducer) is another type; code over
/// all three needs a trait of its own, as a test double does.
///
/// ```
/// use ringlog::{Broker, Producer, ProducerMode, Record, SendError, TopicConfig};
///
/// fn fill<M: ProducerMode>(producer: &mut Producer<M>) -> Result<(), SendError> {
///     for order in ["first", "second"] {
///         producer.send(Record::new(order))?;
///     }
///     Ok(())
/// }
///
/// let topic = Broker::new().create_topic("orders", TopicConfig::new())?;
/// let mut shared = topic.producer();
/// fill(&mut shared)?;
/// drop(shared);
/// fill(&mut topic.exclusive_producer()?)?;
/// assert_eq!(topic.log_end_offset(0)?, 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait ProducerMode: ClaimMode + fmt::Debug + Send + Sync {}

impl ProducerMode for SharedMode {}

impl ProducerMode for ExclusiveMode {}
