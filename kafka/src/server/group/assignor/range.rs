//! The range assignor: each topic is divided into one range for each of its subscribers.

use super::{Demand, Partitions};

pub(super) fn assign(demand: &Demand<'_>) -> Vec<Partitions> {
    let mut assigned = vec![Partitions::new(); demand.members.len()];
    for mut class in demand.classes() {
        // Instance ids outlive member ids, so a static member keeps its range when it comes back.
        class.members.sort_by_key(|member| {
            let member = &demand.members[*member];
            (member.instance_id.is_none(), member.instance_id, member.id)
        });
        for topic in &class.topics {
            let mut partitions = demand.partitions(*topic);
            let count = demand.topics.get(topic).copied().unwrap_or(0) as usize;
            let (each, more) = (count / class.members.len(), count % class.members.len());
            for (place, member) in class.members.iter().enumerate() {
                let share = each + usize::from(place < more);
                assigned[*member].extend(partitions.by_ref().take(share));
            }
        }
    }
    assigned
}
