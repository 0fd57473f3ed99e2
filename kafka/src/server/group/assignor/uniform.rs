//! The uniform assignor: as many partitions for each member as for any other, moving few.
//!
//! 1. Each member keeps what it had, as far as that is there and it still subscribes to it.
//! 2. Partitions without a member go to the subscriber with the fewest. Topics with few subscribers
//!    come first: their partitions have the least choice.
//! 3. While a subscriber of some topic has two more than another, it gives that one a partition of
//!    such a topic.
//!
//! When all members subscribe to the same topics, the result is balanced within one, and no partition
//! moves that does not have to. Otherwise no single move would improve it, unless step 3 ran into its
//! limit.

use super::{Demand, Partition, Partitions, TopicClass};
use std::collections::{BTreeSet, HashMap, HashSet};
use uuid::Uuid;

/// How often step 3 goes over all topics. Moves within one set of topics unbalance another, if their
/// subscribers overlap.
const MAX_PASSES: usize = 16;

struct Plan {
    /// Of each set of topics: what each of its members has, in the order of `TopicClass::members`.
    held: Vec<Vec<Vec<Partition>>>,
    /// The number of partitions of each member, of all topics.
    loads: Vec<usize>,
}

pub(super) fn assign(demand: &Demand<'_>) -> Vec<Partitions> {
    let classes = demand.classes();
    let mut plan = Plan {
        held: Vec::new(),
        loads: vec![0; demand.members.len()],
    };
    let taken = plan.keep(demand, &classes);
    for (i, class) in classes.iter().enumerate() {
        plan.fill(demand, class, i, &taken);
    }
    for _ in 0..MAX_PASSES {
        let mut moved = false;
        for (i, class) in classes.iter().enumerate() {
            moved |= plan.balance(class, i);
        }
        if !moved {
            break;
        }
    }
    let mut assigned = vec![Partitions::new(); demand.members.len()];
    for (class, held) in classes.iter().zip(plan.held) {
        for (member, partitions) in class.members.iter().zip(held) {
            assigned[*member].extend(partitions);
        }
    }
    assigned
}

impl Plan {
    /// Step 1. Returns the partitions that have a member.
    fn keep(&mut self, demand: &Demand<'_>, classes: &[TopicClass]) -> HashSet<Partition> {
        let mut class_of: HashMap<Uuid, usize> = HashMap::new();
        for (i, class) in classes.iter().enumerate() {
            class_of.extend(class.topics.iter().map(|topic| (*topic, i)));
            self.held.push(vec![Vec::new(); class.members.len()]);
        }
        let mut taken = HashSet::new();
        for (member, candidate) in demand.members.iter().enumerate() {
            for partition in candidate.before.into_iter().flatten() {
                let Some(&class) = class_of.get(&partition.0) else {
                    continue;
                };
                let Ok(place) = classes[class].members.binary_search(&member) else {
                    continue;
                };
                let count = demand.topics.get(&partition.0).copied().unwrap_or(0);
                let exists = u32::try_from(partition.1).is_ok_and(|number| number < count);
                if exists && taken.insert(*partition) {
                    self.held[class][place].push(*partition);
                    self.loads[member] += 1;
                }
            }
        }
        taken
    }

    /// The members of a set of topics by their loads, each with its place in it.
    fn by_load(&self, class: &TopicClass) -> BTreeSet<(usize, usize)> {
        let members = class.members.iter().enumerate();
        members
            .map(|(place, member)| (self.loads[*member], place))
            .collect()
    }

    /// Step 2.
    fn fill(
        &mut self,
        demand: &Demand<'_>,
        class: &TopicClass,
        i: usize,
        taken: &HashSet<Partition>,
    ) {
        let mut by_load = self.by_load(class);
        let partitions = class.topics.iter();
        let partitions = partitions.flat_map(|topic| demand.partitions(*topic));
        for partition in partitions.filter(|partition| !taken.contains(partition)) {
            let Some((load, place)) = by_load.pop_first() else {
                return;
            };
            self.held[i][place].push(partition);
            self.loads[class.members[place]] += 1;
            by_load.insert((load + 1, place));
        }
    }

    /// Step 3, for one set of topics. Returns whether anything was moved.
    fn balance(&mut self, class: &TopicClass, i: usize) -> bool {
        let mut by_load = self.by_load(class);
        let mut givers = by_load.clone();
        givers.retain(|(_, place)| !self.held[i][*place].is_empty());
        let mut moved = false;
        while let (Some(&(least, taker)), Some(&(most, giver))) = (by_load.first(), givers.last()) {
            if most <= least + 1 {
                break;
            }
            let Some(partition) = self.held[i][giver].pop() else {
                break;
            };
            self.held[i][taker].push(partition);
            self.loads[class.members[giver]] -= 1;
            self.loads[class.members[taker]] += 1;
            by_load.remove(&(most, giver));
            by_load.remove(&(least, taker));
            by_load.insert((most - 1, giver));
            by_load.insert((least + 1, taker));
            givers.remove(&(most, giver));
            givers.remove(&(least, taker));
            if !self.held[i][giver].is_empty() {
                givers.insert((most - 1, giver));
            }
            givers.insert((least + 1, taker));
            moved = true;
        }
        moved
    }
}
