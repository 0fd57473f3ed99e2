//! Which core each thread is pinned to.

use crate::measure::Failure;
use core_affinity::CoreId;

/// The cores that threads are pinned to.
pub(crate) struct Cores {
    /// The cores that this process may use.
    available: usize,
    chosen: Vec<CoreId>,
}

impl Cores {
    /// Takes the cores asked for, or all that this process may use.
    ///
    /// To be called before anything is pinned: a pinned thread is told of its own core only.
    pub(crate) fn choose(asked: &[usize]) -> Result<Cores, Failure> {
        let all = core_affinity::get_core_ids().unwrap_or_default();
        let mut chosen = Vec::new();
        for &id in asked {
            let core = all.iter().find(|core| core.id == id);
            chosen.push(*core.ok_or_else(|| format!("there is no core {id} for this process"))?);
        }
        if chosen.is_empty() {
            chosen.clone_from(&all);
        }
        Ok(Cores {
            available: all.len(),
            chosen,
        })
    }

    pub(crate) fn available(&self) -> usize {
        self.available
    }

    /// The system's numbers of the cores in use, in the order in which threads take them.
    pub(crate) fn ids(&self) -> Vec<usize> {
        self.chosen.iter().map(|core| core.id).collect()
    }

    /// So many threads have a core each.
    pub(crate) fn apart(&self, threads: usize) -> bool {
        let mut ids = self.ids();
        ids.sort_unstable();
        ids.dedup();
        threads <= ids.len()
    }

    /// Pins the calling thread to a place's core. Places beyond the cores begin again.
    pub(crate) fn pin(&self, place: usize) -> Result<(), Failure> {
        // Without a list of cores nothing is pinned, and the head of the report says so.
        let Some(core) = self.chosen.get(place % self.chosen.len().max(1)) else {
            return Ok(());
        };
        if !core_affinity::set_for_current(*core) {
            return Err(format!("cannot pin a thread to core {}", core.id).into());
        }
        Ok(())
    }
}

/// The place of a producer. The first producer and the first consumer take the first two
/// places, the other producers and then the other consumers those behind.
pub(crate) fn producer_place(producer: usize) -> usize {
    if producer == 0 { 0 } else { producer + 1 }
}

/// The place of a consumer beside so many producers.
pub(crate) fn consumer_place(consumer: usize, producers: usize) -> usize {
    if consumer == 0 {
        1
    } else {
        producers + consumer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_has_a_place_of_its_own() {
        for producers in 1..5 {
            for consumers in 1..4 {
                let mut places: Vec<usize> = (0..producers).map(producer_place).collect();
                places.extend((0..consumers).map(|c| consumer_place(c, producers)));
                places.sort_unstable();
                assert_eq!(places, Vec::from_iter(0..producers + consumers));
            }
        }
    }

    #[test]
    fn a_core_that_is_not_there_is_refused() {
        let refused = Cores::choose(&[usize::MAX]).err().map(|e| e.to_string());
        let words = format!("there is no core {} for this process", usize::MAX);
        assert_eq!(refused, Some(words));
    }
}
