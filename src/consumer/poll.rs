use super::assigned_partition::AssignedPartition;
use super::batch::Batch;
use super::membership::Membership;
use super::{Consumer, MANY};
use crate::error::ConsumeError;
use crate::log::cursor::QuickPoll;
use crate::topic::TopicShared;
use crate::wait::{EventCount, NextStep, WaitSchedule, WaitStrategy, Wakeup};
use core::iter;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Of many partitions, the descriptor to be looked at so many looks later is on its way: they are
/// too many for the caches.
const LOOKS_AHEAD: usize = 8;

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
        let i = match self.glance_round() {
            Some(Some(i)) => i,
            Some(None) if timeout.is_zero() => return Ok(Batch::empty()),
            _ => match self.find(timeout)? {
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

    /// The usual look at every partition once, beginning behind the one read last: which has
    /// something, or `None` when it takes more than a glance to tell.
    #[inline(always)]
    fn glance_round(&mut self) -> Option<Option<usize>> {
        let count = self.assigned.len();
        if self.wakeup.is_set() {
            return None; // to be told so
        }
        if let Some(member) = &mut self.member {
            if !member.turn(&self.assigned, self.next) {
                return None;
            }
        }
        if count >= MANY {
            return self.glance_around();
        }
        let (first, max) = (self.next, self.config.max_poll_records);
        let mut i = first;
        loop {
            let behind = if i + 1 == count { 0 } else { i + 1 };
            // The last one of the round is the one that had something last.
            let again = || behind == first && self.wait != WaitStrategy::BusySpin;
            // None at all: to be told so.
            match self.assigned.get_mut(i)?.glance(again, true, max) {
                QuickPoll::Records => {
                    self.next = behind;
                    return Some(Some(i));
                }
                QuickPoll::Empty => {}
                QuickPoll::Undecided => return None,
            }
            if behind == first {
                return Some(None);
            }
            i = behind;
        }
    }

    /// The same for many partitions, of which it looks at some only, unless they have nothing. What
    /// takes more than a glance is looked at thoroughly at once: the others need not be for that.
    #[inline(never)]
    fn glance_around(&mut self) -> Option<Option<usize>> {
        let count = self.assigned.len();
        let mut poll_order = core::mem::take(&mut self.poll_order);
        let found = poll_order.look(count, |i, again| self.glance_or_poll(i, again));
        self.poll_order = poll_order;
        let found = found.ok()?;
        if let Some(i) = found {
            self.next = self.behind(i);
        }
        Some(found)
    }

    /// The partition whose turn is behind partition `i`'s.
    fn behind(&self, i: usize) -> usize {
        if i + 1 == self.assigned.len() {
            0
        } else {
            i + 1
        }
    }

    /// How many records partition `i` has to read, which are its cursor's run now. An error: to be
    /// told by [`find`](Self::find).
    #[inline(always)]
    fn glance_or_poll(&mut self, i: usize, again: bool) -> Result<usize, ()> {
        if let Some(later) = self.assigned.get(i + LOOKS_AHEAD) {
            later.cursor.prefetch_descriptor();
        }
        let assigned = &mut self.assigned[i];
        let again = || again && self.wait != WaitStrategy::BusySpin;
        match assigned.glance(again, false, self.config.max_poll_records) {
            QuickPoll::Empty => Ok(0),
            QuickPoll::Records => Ok(assigned.cursor.run().0.records as usize),
            QuickPoll::Undecided => self.poll_apart(i),
        }
    }

    #[cold]
    #[inline(never)]
    fn poll_apart(&mut self, i: usize) -> Result<usize, ()> {
        if self.assigned[i].is_behind() {
            return Err(()); // what has changed is for `find`, all of it
        }
        let found = self.poll_one(i).map_err(drop)?;
        let (run, _) = self.assigned[i].cursor.run();
        Ok(if found { run.records as usize } else { 0 })
    }

    /// Looks until a partition has something, or the time is up.
    #[cold]
    #[inline(never)]
    fn find(&mut self, timeout: Duration) -> Result<Option<usize>, ConsumeError> {
        if self.given.is_none() {
            return Err(ConsumeError::NotSubscribed);
        }
        // What a wait before this has left there (a future that was leaked, a panic of the user's) is
        // not this thread.
        self.waiter.withdraw();
        let mut schedule = WaitSchedule::new(self.wait.clone(), timeout);
        let found = loop {
            match self.look() {
                Ok(None) => {}
                found => break found,
            }
            match schedule.next() {
                NextStep::TimeUp => break Ok(None),
                NextStep::Look => {}
                NextStep::Sleep(limit) if self.is_enrolled() => {
                    let most = self.member.as_ref().map_or(limit, |m| m.most_sleep());
                    self.waiter.sleep(limit.min(most), true);
                }
                NextStep::Sleep(_) => {
                    let lists = lists(&self.wakeup, self.member.as_deref(), &self.assigned);
                    self.waiter.enrol_thread(lists);
                }
            }
        };
        self.waiter.withdraw();
        found
    }

    /// The same for a task that is woken when it is worth another look.
    pub(crate) fn find_for(&mut self, waker: &Waker) -> Poll<Result<usize, ConsumeError>> {
        self.waiter.withdraw();
        if let Some(Some(i)) = self.glance_round() {
            return Poll::Ready(Ok(i));
        }
        if self.given.is_none() {
            return Poll::Ready(Err(ConsumeError::NotSubscribed));
        }
        let found = loop {
            match self.look() {
                Ok(None) => {}
                Ok(Some(i)) => break Ok(i),
                Err(error) => break Err(error),
            }
            if self.is_enrolled() {
                if self.waiter.is_unsure() {
                    waker.wake_by_ref();
                }
                return Poll::Pending;
            }
            let lists = lists(&self.wakeup, self.member.as_deref(), &self.assigned);
            self.waiter.enrol(waker, lists);
        };
        self.waiter.withdraw();
        Poll::Ready(found)
    }

    /// Whether it is on the lists of all that it reads. (That may change at every look.)
    fn is_enrolled(&self) -> bool {
        let lists = lists(&self.wakeup, self.member.as_deref(), &self.assigned);
        self.waiter.is_enrolled(lists)
    }

    /// One look at everything that may end a poll.
    fn look(&mut self) -> Result<Option<usize>, ConsumeError> {
        if self.wakeup.take() {
            return Err(ConsumeError::Wakeup);
        }
        self.attend()?;
        if let Some(found) = self.look_round()? {
            self.poll_order.found(found);
            self.next = self.behind(found);
            return Ok(Some(found));
        }
        // With nothing to read: what others see of it is exact until it goes on.
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
        Err(ConsumeError::Closed {
            topic: topic.name().clone(),
        })
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
    fn look_round(&mut self) -> Result<Option<usize>, ConsumeError> {
        self.refresh();
        let count = self.assigned.len();
        if count >= MANY {
            self.poll_order.make_room(count);
        }
        let mut i = self.next;
        for _ in 0..count {
            if self.poll_one(i)? {
                return Ok(Some(i));
            }
            i = if i + 1 == count { 0 } else { i + 1 };
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

    fn poll_one(&mut self, i: usize) -> Result<bool, ConsumeError> {
        let assigned = &self.assigned[i];
        if assigned.topic.is_deleted() {
            return Err(ConsumeError::Closed {
                topic: assigned.topic.name().clone(),
            });
        }
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

/// What a consumer sleeps on: its own list, and that of each partition. A member also on that of each
/// of its topics: what is added to them may be its own, whoever reads the rest.
fn lists<'a>(
    wakeup: &'a Wakeup,
    member: Option<&'a Membership>,
    assigned: &'a [AssignedPartition],
) -> impl Iterator<Item = &'a Arc<EventCount>> {
    let topics = member.map_or(&[][..], Membership::topics);
    let topics = topics.iter().map(|topic| topic.waiting_for_changes());
    let partitions = assigned.iter().map(AssignedPartition::waiting_for_records);
    iter::once(wakeup.event_count())
        .chain(topics)
        .chain(partitions)
}
