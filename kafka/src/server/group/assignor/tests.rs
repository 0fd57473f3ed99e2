//! What holds for each assignment, whatever the members subscribe to.

use super::*;

/// A generator of numbers (xorshift), so that a failure is repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

fn topic(number: usize) -> Uuid {
    Uuid::from_u128(number as u128 + 1)
}

/// Members by their subscription, and what each had.
struct Case {
    ids: Vec<String>,
    subscription_of: Vec<usize>,
    before: Vec<Partitions>,
    subscriptions: Vec<BTreeSet<Uuid>>,
    topics: BTreeMap<Uuid, u32>,
}

impl Case {
    fn random(random: &mut Random, subscriptions: usize) -> Case {
        let topics = 1 + random.below(6);
        let subscription = |random: &mut Random| match subscriptions {
            1 => (0..topics).map(topic).collect(),
            _ => (0..topics)
                .filter(|_| random.below(2) == 0)
                .map(topic)
                .collect(),
        };
        let mut case = Case {
            ids: Vec::new(),
            subscription_of: Vec::new(),
            before: Vec::new(),
            subscriptions: (0..subscriptions).map(|_| subscription(random)).collect(),
            topics: (0..topics)
                .map(|i| (topic(i), random.below(9) as u32))
                .collect(),
        };
        for _ in 0..=random.below(8) {
            case.join(random);
        }
        case
    }

    fn join(&mut self, random: &mut Random) {
        // Ids in order: assignors get the members by their ids.
        self.ids.push(format!("member-{:03}", self.ids.len()));
        self.subscription_of
            .push(random.below(self.subscriptions.len()));
        self.before.push(Partitions::new());
    }

    fn leave(&mut self, member: usize) {
        self.ids.remove(member);
        self.subscription_of.remove(member);
        self.before.remove(member);
    }

    fn assign(&self, assignor: Assignor) -> Vec<Partitions> {
        let members = (0..self.ids.len()).map(|i| Candidate {
            id: &self.ids[i],
            instance_id: None,
            subscription: self.subscription_of[i],
            before: Some(&self.before[i]),
        });
        assignor.assign(&Demand {
            members: members.collect(),
            subscriptions: self.subscriptions.clone(),
            topics: self.topics.clone(),
        })
    }

    /// Each partition that is subscribed to is given once, to a subscriber, and no other.
    fn check(&self, assigned: &[Partitions], what: &str) {
        let mut given = Partitions::new();
        for (member, partitions) in assigned.iter().enumerate() {
            let subscription = &self.subscriptions[self.subscription_of[member]];
            for partition in partitions {
                assert!(given.insert(*partition), "{what}: {partition:?} twice");
                assert!(subscription.contains(&partition.0), "{what}: {partition:?}");
            }
        }
        let subscribed: BTreeSet<Uuid> = self
            .subscription_of
            .iter()
            .flat_map(|i| &self.subscriptions[*i])
            .copied()
            .collect();
        let expected: Partitions = self
            .topics
            .iter()
            .filter(|(topic, _)| subscribed.contains(topic))
            .flat_map(|(topic, count)| (0..*count as i32).map(|number| (*topic, number)))
            .collect();
        assert_eq!(given, expected, "{what}");
    }
}

fn loads(assigned: &[Partitions]) -> (usize, usize) {
    let loads = assigned.iter().map(Partitions::len);
    (loads.clone().min().unwrap_or(0), loads.max().unwrap_or(0))
}

/// The partitions that a member had and another one gets.
fn moved(before: &[Partitions], after: &[Partitions]) -> usize {
    let both = before.iter().zip(after);
    both.map(|(before, after)| before.difference(after).count())
        .sum()
}

#[test]
fn every_partition_is_given_to_one_subscriber() {
    for seed in 1..500 {
        let mut random = Random(seed);
        let subscriptions = 1 + random.below(4);
        let mut case = Case::random(&mut random, subscriptions);
        for step in 0..4 {
            for assignor in Assignor::ALL {
                let what = format!("seed {seed}, step {step}, {assignor:?}");
                case.check(&case.assign(assignor), &what);
            }
            case.before = case.assign(Assignor::ALL[random.below(2)]);
            match random.below(3) {
                0 => case.join(&mut random),
                1 if case.ids.len() > 1 => case.leave(random.below(case.ids.len())),
                _ => {
                    // Topics grow, and vanish.
                    let changed = topic(random.below(6));
                    case.topics.insert(changed, random.below(9) as u32);
                }
            }
        }
    }
}

#[test]
fn uniform_balances_equal_subscriptions_within_one() {
    for seed in 1..500 {
        let mut random = Random(seed);
        let mut case = Case::random(&mut random, 1);
        for _ in 0..4 {
            case.before = case.assign(Assignor::Uniform);
            let (least, most) = loads(&case.before);
            assert!(most <= least + 1, "seed {seed}: {least} to {most}");
            case.join(&mut random);
        }
    }
}

#[test]
fn uniform_leaves_no_improving_move() {
    for seed in 1..500 {
        let mut random = Random(seed);
        let case = Case::random(&mut random, 3);
        let assigned = case.assign(Assignor::Uniform);
        for giver in &assigned {
            for (taker, has) in assigned.iter().enumerate() {
                let subscription = &case.subscriptions[case.subscription_of[taker]];
                let could_move = giver
                    .iter()
                    .any(|partition| subscription.contains(&partition.0));
                assert!(!could_move || giver.len() <= has.len() + 1, "seed {seed}");
            }
        }
    }
}

#[test]
fn uniform_moves_only_what_a_new_member_gets() {
    for seed in 1..500 {
        let mut random = Random(seed);
        let mut case = Case::random(&mut random, 1);
        case.before = case.assign(Assignor::Uniform);
        assert_eq!(
            moved(&case.before, &case.assign(Assignor::Uniform)),
            0,
            "seed {seed}"
        );
        case.join(&mut random);
        let after = case.assign(Assignor::Uniform);
        let new = after.last().map_or(0, Partitions::len);
        assert_eq!(moved(&case.before, &after), new, "seed {seed}");
    }
}

#[test]
fn uniform_moves_nothing_of_the_members_that_stay() {
    for seed in 1..500 {
        let mut random = Random(seed);
        let mut case = Case::random(&mut random, 1);
        case.join(&mut random);
        case.before = case.assign(Assignor::Uniform);
        case.leave(random.below(case.ids.len()));
        let after = case.assign(Assignor::Uniform);
        assert_eq!(moved(&case.before, &after), 0, "seed {seed}");
    }
}

#[test]
fn range_divides_topics_alike() {
    for seed in 1..200 {
        let mut random = Random(seed);
        let mut case = Case::random(&mut random, 1);
        let count = random.below(9) as u32;
        case.topics
            .values_mut()
            .for_each(|partitions| *partitions = count);
        for partitions in case.assign(Assignor::Range) {
            let numbers = |i: usize| {
                let of_topic = partitions
                    .iter()
                    .filter(|partition| partition.0 == topic(i));
                of_topic.map(|partition| partition.1).collect::<Vec<_>>()
            };
            let first = numbers(0);
            assert!(
                first.windows(2).all(|two| two[0] + 1 == two[1]),
                "seed {seed}"
            );
            for i in 1..case.topics.len() {
                assert_eq!(numbers(i), first, "seed {seed}");
            }
        }
    }
}

#[test]
fn the_assignor_with_the_most_votes_is_preferred() {
    use Assignor::{Range, Uniform};
    for (votes, expected) in [
        (&[][..], Uniform),
        (&[Range], Range),
        (&[Range, Uniform], Uniform),
        (&[Range, Uniform, Range], Range),
    ] {
        assert_eq!(Assignor::preferred(votes.iter().copied()), expected);
    }
}
