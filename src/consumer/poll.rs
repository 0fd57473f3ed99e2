use super::assigned_partition::AssignedPartition;
use super::batch::Batch;
use super::membership::Membership;
use super::poll_order::next_in_round;
use super::{Consumer, MANY};
use crate::error::ConsumeError;
use crate::log::cursor::Glance;
use crate::topic::TopicShared;
use crate::wait::{Attempt, EventCount, Patience, WaitFor, WaitStrategy, Waited, Waiter, wait};
use core::iter;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Of many partitions, the descriptor to be looked at so many looks later is on its way: they are
/// too many for the caches.
const LOOKS_AHEAD: usize = 8;

/// What a quick look at the partitions found.
enum QuickRound {
    /// This partition has records: they are its cursor's run.
    Found(usize),
    Nothing,
    /// It takes a full poll to tell.
    Unsure,
}

/// It takes a full poll to tell what a partition has.
struct Unsure;

impl Consumer {
    /// Reads the next records of one partition, waiting for some up to `timeout`. The batch
    /// is empty when none came.
    ///
    /// Partitions with records take turns. Of more than 16, those that had records lately are looked
    /// at first, and the others a few at each poll, so that one busy partition among thousands is
    /// read as fast as it would be alone. A record in a partition that had none is found after a
    /// quarter as many polls as there are partitions, at most, and one more for each other partition
    /// that comes to have some meanwhile; at once, where the others have none.
    ///
    /// A consumer that polls again and again, finds a few records each time, and so gets in the way
    /// of a producer that it is faster than, looks one or two microseconds later, as long as it finds
    /// many then, and at least twice of what it found before. A record that comes alone is never waited with; with [`WaitStrategy::BusySpin`] none is.
    ///
    /// The position moves past what is returned, as Kafka's does; [`seek`](Self::seek) goes
    /// back.
    ///
    /// # Errors
    /// [`ConsumeError::NotSubscribed`] without partitions; [`ConsumeError::Wakeup`] when it was
    /// woken up; [`ConsumeError::Closed`] when one of its topics was deleted, and when one was
    /// [closed](Topic::close) and all of it is read, once for each if there are others; with
    /// [`OffsetReset::None`](crate::OffsetReset::None)
    /// [`ConsumeError::OffsetOutOfRange`] for a position outside what is retained, and
    /// [`ConsumeError::NoPosition`] before the first seek. Of a member of a group also
    /// [`ConsumeError::Fenced`], once, and the next poll joins again; and
    /// [`ConsumeError::BadAssignment`]. Then a topic that was deleted is told once, if there are
    /// others.
    #[inline]
    pub fn poll(&mut self, timeout: Duration) -> Result<Batch<'_>, ConsumeError> {
        let i = match self.quick_round() {
            QuickRound::Found(i) => i,
            QuickRound::Nothing if timeout.is_zero() => return Ok(Batch::empty()),
            _ => match self.wait_for_records(timeout)? {
                Some(i) => i,
                None => return Ok(Batch::empty()),
            },
        };
        Ok(self.batch(i))
    }

    /// What was found in partition `i`.
    #[inline(always)]
    pub(crate) fn batch(&mut self, i: usize) -> Batch<'_> {
        let AssignedPartition {
            topic,
            partition,
            cursor,
            ..
        } = &mut self.assigned[i];
        Batch::new(cursor, topic, *partition)
    }

    /// Reads the next records of one partition, if there are any now.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    #[inline]
    pub fn try_poll(&mut self) -> Result<Batch<'_>, ConsumeError> {
        self.poll(Duration::ZERO)
    }

    /// The usual look at every partition once, beginning behind the one read last.
    #[inline(always)]
    fn quick_round(&mut self) -> QuickRound {
        let count = self.assigned.len();
        if self.wakeup.is_set() {
            return QuickRound::Unsure;
        }
        if let Some(member) = &mut self.member {
            if !member.turn(&self.assigned, self.next) {
                return QuickRound::Unsure;
            }
        }
        if count >= MANY {
            return self.quick_round_of_many();
        }
        let (first, max) = (self.next, self.config.max_poll_records);
        let mut i = first;
        loop {
            let behind = next_in_round(i, count);
            // The last one of the round is the one that had something last.
            let again = || behind == first && self.wait != WaitStrategy::BusySpin;
            let Some(assigned) = self.assigned.get_mut(i) else {
                return QuickRound::Unsure; // there are none: the full poll says so
            };
            match assigned.glance(again, true, max) {
                Glance::Found => {
                    self.next = behind;
                    return QuickRound::Found(i);
                }
                Glance::Nothing => {}
                Glance::Unsure => return QuickRound::Unsure,
            }
            if behind == first {
                return QuickRound::Nothing;
            }
            i = behind;
        }
    }

    /// The same for many partitions, of which it looks at some only, unless they have nothing. A
    /// partition about which a quick look cannot decide is polled in full at once: the others need
    /// not be for that.
    #[inline(never)]
    fn quick_round_of_many(&mut self) -> QuickRound {
        let count = self.assigned.len();
        let mut poll_order = core::mem::take(&mut self.poll_order);
        let found = poll_order.look(count, |i, again| self.poll_of_many(i, again));
        self.poll_order = poll_order;
        match found {
            Ok(Some(i)) => {
                self.next = next_in_round(i, count);
                QuickRound::Found(i)
            }
            Ok(None) => QuickRound::Nothing,
            Err(Unsure) => QuickRound::Unsure,
        }
    }

    /// How many records partition `i` has to read, which are its cursor's run now.
    #[inline(always)]
    fn poll_of_many(&mut self, i: usize, again: bool) -> Result<usize, Unsure> {
        if let Some(later) = self.assigned.get(i + LOOKS_AHEAD) {
            later.cursor.will_look();
        }
        let assigned = &mut self.assigned[i];
        let again = || again && self.wait != WaitStrategy::BusySpin;
        match assigned.glance(again, false, self.config.max_poll_records) {
            Glance::Nothing => Ok(0),
            Glance::Found => Ok(assigned.cursor.run().0.records as usize),
            Glance::Unsure => self.poll_apart(i),
        }
    }

    #[cold]
    #[inline(never)]
    fn poll_apart(&mut self, i: usize) -> Result<usize, Unsure> {
        if self.assigned[i].is_behind() {
            return Err(Unsure); // what has changed is for the full poll, all of it
        }
        let found = self.poll_partition(i).map_err(|_| Unsure)?;
        let (run, _) = self.assigned[i].cursor.run();
        Ok(if found { run.records as usize } else { 0 })
    }

    /// Waits until a partition has something, or the time is up.
    #[cold]
    #[inline(never)]
    fn wait_for_records(&mut self, timeout: Duration) -> Result<Option<usize>, ConsumeError> {
        if self.mode.is_none() {
            return Err(ConsumeError::NotSubscribed);
        }
        let strategy = self.wait.clone();
        match wait(self, strategy, Patience::UpTo(timeout)) {
            Waited::Ready(found) => found.map(Some),
            Waited::TimedOut(_) | Waited::Pending => Ok(None),
        }
    }

    /// The same for a task, which is woken when another look may find something.
    pub(super) fn poll_for_task(&mut self, waker: &Waker) -> Poll<Result<usize, ConsumeError>> {
        self.waiter.withdraw();
        if let QuickRound::Found(i) = self.quick_round() {
            return Poll::Ready(Ok(i));
        }
        if self.mode.is_none() {
            return Poll::Ready(Err(ConsumeError::NotSubscribed));
        }
        let strategy = self.wait.clone();
        match wait(self, strategy, Patience::Task(waker)) {
            Waited::Ready(found) => Poll::Ready(found),
            Waited::TimedOut(_) | Waited::Pending => Poll::Pending,
        }
    }

    /// One look at everything that may end a poll.
    fn full_poll(&mut self) -> Result<Option<usize>, ConsumeError> {
        if self.wakeup.take() {
            return Err(ConsumeError::Wakeup);
        }
        self.attend()?;
        if let Some(found) = self.full_round()? {
            self.poll_order.found(found);
            self.next = next_in_round(found, self.assigned.len());
            return Ok(Some(found));
        }
        // With nothing to read, the position that others see is exact until it moves on.
        self.assigned.iter().for_each(AssignedPartition::show);
        self.report_closed()?;
        Ok(None)
    }

    /// After a round in vain: of each topic that is closed and read to its end the poll says so.
    /// Once, as long as there are others; and then always.
    fn report_closed(&mut self) -> Result<(), ConsumeError> {
        if !self.assigned.iter().any(|a| a.topic.is_closed()) {
            return Ok(());
        }
        // One look at each partition, however many there are.
        let is = |topic: &Arc<TopicShared>| {
            let topic = topic.clone();
            move |other: &&Arc<TopicShared>| Arc::ptr_eq(&topic, other)
        };
        let (mut untold, mut unread) = (Vec::new(), Vec::new());
        for assigned in self.assigned.iter().filter(|a| a.topic.is_closed()) {
            let topic = &assigned.topic;
            if !unread.iter().any(is(topic)) && !assigned.is_drained() {
                unread.push(topic);
            }
            if !assigned.closed_reported && !untold.iter().any(is(topic)) {
                untold.push(topic);
            }
        }
        let new = untold.into_iter().find(|t| !unread.iter().any(is(t)));
        let first = self.assigned.first().map(|a| &a.topic);
        let Some(topic) = new.or_else(|| first.filter(|_| self.is_over())).cloned() else {
            return Ok(());
        };
        for assigned in &mut self.assigned {
            assigned.closed_reported |= Arc::ptr_eq(&assigned.topic, &topic);
        }
        Err(topic.closed_error())
    }

    /// Nothing will ever be read again, as far as this consumer knows: it has told so of every topic
    /// that it reads. A member may still get partitions of those that are open.
    pub(crate) fn is_over(&self) -> bool {
        let over = |a: &AssignedPartition| a.closed_reported || a.topic.is_deleted();
        let is_over = |topic: &Arc<TopicShared>| {
            let mut of_it = self
                .assigned
                .iter()
                .filter(|a| Arc::ptr_eq(&a.topic, topic));
            topic.is_deleted() || (of_it.clone().next().is_some() && of_it.all(over))
        };
        match &self.member {
            Some(member) => member.topics().iter().all(is_over),
            None => self.assigned.iter().all(over),
        }
    }

    /// Looks at every partition once, beginning behind the one read last.
    fn full_round(&mut self) -> Result<Option<usize>, ConsumeError> {
        self.refresh();
        let count = self.assigned.len();
        if count >= MANY {
            self.poll_order.make_room(count);
        }
        let mut i = self.next;
        for _ in 0..count {
            if self.poll_partition(i)? {
                return Ok(Some(i));
            }
            i = next_in_round(i, count);
        }
        Ok(None)
    }

    /// Looks at what has changed in the topics.
    fn refresh(&mut self) {
        let mut changed = false;
        for assigned in &mut self.assigned {
            changed |= assigned.refresh();
        }
        // Behind the states that were just read: what they tell of is there.
        if changed {
            self.take_added();
        }
    }

    fn poll_partition(&mut self, i: usize) -> Result<bool, ConsumeError> {
        let assigned = &self.assigned[i];
        assigned.topic.refuse_deleted::<ConsumeError>()?;
        if assigned.paused {
            return Ok(false);
        }
        if !assigned.positioned {
            return Err(ConsumeError::NoPosition {
                topic: assigned.topic.name().clone(),
                partition: assigned.partition,
            });
        }
        if !assigned.cursor.may_move() {
            return Ok(false);
        }
        self.pin_only(i);
        self.assigned[i].poll(&self.config)
    }

    /// Before partition `i` may pin a segment, the one that did so last lets go.
    #[inline]
    pub(crate) fn pin_only(&mut self, i: usize) {
        // A member has brought a spare for each of its pins.
        if self.pinned != i && self.member.is_none() {
            if let Some(last) = self.assigned.get_mut(self.pinned) {
                last.cursor.unpin();
            }
            self.pinned = i;
        }
    }
}

/// A consumer waits for records of its partitions, and for all else that ends a poll.
impl WaitFor for Consumer {
    type Output = Result<usize, ConsumeError>;

    fn attempt(&mut self) -> Attempt<Self::Output> {
        match self.full_poll() {
            Ok(Some(i)) => Attempt::Ready(Ok(i)),
            Ok(None) => Attempt::Pending { notified: true },
            Err(error) => Attempt::Ready(Err(error)),
        }
    }

    /// The consumer's own event count and that of each partition. A member also waits for changes of
    /// its topics: a partition that is added may become its own, whichever member reads the rest.
    fn enrolment(&mut self) -> (&mut Waiter, impl Iterator<Item = &Arc<EventCount>>) {
        let topics = self.member.as_deref().map_or(&[][..], Membership::topics);
        let topics = topics.iter().map(|topic| topic.waiting_for_changes());
        let partitions = self.assigned.iter();
        let partitions = partitions.map(AssignedPartition::waiting_for_records);
        let own = iter::once(self.wakeup.event_count());
        (&mut self.waiter, own.chain(topics).chain(partitions))
    }

    /// A member looks now and then whether another is dead.
    fn longest_park(&self) -> Duration {
        let member = self.member.as_ref();
        member.map_or(Duration::MAX, |member| member.most_sleep())
    }
}
