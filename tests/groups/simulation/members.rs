//! Members come and go, sleep and outlive each other.

use super::{
    BatchCommit, Checked, INSTANCE_IDS, INTERVAL, Joining, LONG_INTERVAL, Leave, Member,
    Simulation, milliseconds, now, pass,
};
use ringlog::{Assignor, ConsumerConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

impl<A: Assignor + 'static, F: Fn() -> A> Simulation<A, F> {
    pub(super) fn join(&mut self, joining: Joining) {
        let topics = self.topic_names(joining.topic);
        self.join_with(joining, topics);
    }

    fn join_with(&mut self, joining: Joining, topics: Vec<&'static str>) {
        self.disturbances += 1;
        let interval = if joining.patient {
            LONG_INTERVAL
        } else {
            INTERVAL
        };
        let assignor = Checked {
            inner: (self.assignor)(),
            promise: self.promise,
            record: self.last_assignment.clone(),
        };
        let mut config = ConsumerConfig::new()
            .group("g")
            .assignor(assignor)
            .auto_commit(self.setup.auto_commit)
            .hold_back(self.setup.hold_back)
            .max_poll_records(3)
            .max_poll_interval(Duration::from_millis(interval))
            .clock(now);
        if joining.patient {
            config = config
                .fetch_min_records(4)
                .fetch_max_wait(Duration::from_nanos(1));
        }
        if let Some(name) = joining.name {
            config = config.instance_id(INSTANCE_IDS[usize::from(name)]);
        }
        let mut consumer = self.broker.consumer(config).unwrap();
        consumer.subscribe(&topics).unwrap();
        self.members.push(Member {
            consumer,
            name: joining.name,
            topics,
            interval,
            polled: milliseconds(),
            must_rejoin: false,
            replaced: false,
            paused: BTreeSet::new(),
            moved: BTreeSet::new(),
            ended: BTreeMap::new(),
            due_again: BTreeSet::new(),
            sought: BTreeSet::new(),
            skipped: BTreeMap::new(),
            waits: None,
        });
    }

    pub(super) fn subscribe(&mut self, i: usize, topic: Option<usize>) {
        self.disturbances += 1;
        let topics = self.topic_names(topic);
        let member = &mut self.members[i];
        member.stop_waiting();
        let before = member.owned();
        let fenced = member.is_fenced();
        member.consumer.subscribe(&topics).unwrap();
        if fenced {
            member.polled = milliseconds();
            (member.must_rejoin, member.replaced) = (false, false);
            member.forget();
            assert!(member.owned().is_empty());
        } else {
            assert_eq!(member.owned(), before);
        }
        member.topics = topics;
    }

    /// A task that waits is sometimes dropped together with its consumer.
    pub(super) fn leave(&mut self, i: usize, leave: Leave) {
        self.disturbances += 1;
        let mut member = self.members.remove(i);
        let fenced = member.is_fenced();
        let before = self.positions(&member.owned(), &member);
        match leave {
            Leave::Drop => return drop(member),
            Leave::Close => member.consumer.close(),
            Leave::Unsubscribe => {
                member.consumer.unsubscribe();
                assert_eq!(member.consumer.assignment(), []);
            }
        }
        let moved = if fenced {
            BTreeSet::new()
        } else {
            member.moved
        };
        self.check_own_commits(&before, &moved);
    }

    /// A named member leaves once everything has settled. If it is back early, its group does not
    /// notice. If it stays away, its partitions go to the others.
    pub(super) fn restart(&mut self, i: usize, leave: Leave, late: bool) {
        let Some(name) = self.members[i].name else {
            return;
        };
        if leave == Leave::Unsubscribe || self.members[i].is_fenced() {
            return;
        }
        self.settle();
        if self.members[i].is_fenced() {
            return; // another member with its name has joined again
        }
        let joining = Joining {
            name: Some(name),
            topic: None,
            patient: self.members[i].interval == LONG_INTERVAL,
        };
        let (topics, owned) = (self.members[i].topics.clone(), self.members[i].owned());
        let generation = self.group().unwrap().generation;
        self.leave(i, leave);
        if late && !joining.patient {
            self.outlive(u8::MAX);
            // Only a member that polls can notice.
            if self.members.iter().any(|m| !m.replaced) {
                let mut members = self.group().unwrap().members.into_iter();
                let found =
                    members.find(|m| m.instance_id.as_deref() == Some(INSTANCE_IDS[name as usize]));
                assert_eq!(found, None, "still expected back");
            }
            return self.join_with(joining, topics);
        }
        self.join_with(joining, topics);
        for i in 0..self.members.len() {
            self.poll(i, BatchCommit::Nothing);
            self.check_invariants();
        }
        assert_eq!(self.group().unwrap().generation, generation);
        assert_eq!(self.members.last().unwrap().owned(), owned);
    }

    /// Time passes. The members whose bits are set poll meanwhile, and expel the others, unless
    /// these wait or are patient.
    pub(super) fn outlive(&mut self, polling: u8) {
        let polls = |i: usize| polling >> i & 1 == 1;
        let fenced: Vec<bool> = self.members.iter_mut().map(Member::is_fenced).collect();
        for _ in 0..4 {
            pass(INTERVAL * 3 / 4);
            // A member that polls without a pause reads the clock in one of 64 polls.
            for _ in 0..64 {
                for i in (0..self.members.len()).filter(|&i| polls(i)) {
                    self.poll(i, BatchCommit::Nothing);
                }
            }
        }
        let noticed = (0..self.members.len()).any(|i| polls(i) && !self.members[i].replaced);
        for (i, member) in self.members.iter_mut().enumerate() {
            if polls(i) && !member.replaced {
                assert!(!member.is_fenced(), "a member that polls was expelled");
            } else if member.waits.is_some() && !fenced[i] {
                assert!(!member.is_fenced(), "a member that waits was expelled");
            } else if noticed && !fenced[i] && member.interval == INTERVAL {
                assert!(member.is_fenced(), "a member that sleeps was not expelled");
            }
        }
    }
}
