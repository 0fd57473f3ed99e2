//! Pinning: which core each thread of a run is pinned to.

use crate::failure::Failure;
use core_affinity::CoreId;

/// The cores that threads are pinned to.
#[derive(Clone)]
pub(crate) struct Cores {
    /// How many cores this process may use.
    available: usize,
    chosen: Vec<CoreId>,
}

impl Cores {
    /// Takes the requested cores, or all that this process may use if `requested` is empty.
    ///
    /// Must be called before any thread is pinned: the system reports a pinned thread its own
    /// core only.
    pub(crate) fn choose(requested: &[usize]) -> Result<Cores, Failure> {
        let all = core_affinity::get_core_ids().unwrap_or_default();
        let mut chosen = Vec::new();
        for &id in requested {
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

    /// The system's numbers of the chosen cores, in the order in which threads take them.
    pub(crate) fn ids(&self) -> Vec<usize> {
        self.chosen.iter().map(|core| core.id).collect()
    }

    /// The number of chosen cores.
    pub(crate) fn count(&self) -> usize {
        let mut ids = self.ids();
        ids.sort_unstable();
        ids.dedup();
        ids.len()
    }

    /// Whether each of `threads` threads has a core of its own.
    pub(crate) fn suffice(&self, threads: usize) -> bool {
        threads <= self.count()
    }

    /// Pins the calling thread to the core at `index` of the chosen ones. An index beyond the
    /// last wraps around to the first.
    pub(crate) fn pin(&self, index: usize) -> Result<(), Failure> {
        // Without a list of cores nothing is pinned, and the head of the report says so.
        let Some(core) = self.chosen.get(index % self.chosen.len().max(1)) else {
            return Ok(());
        };
        if !core_affinity::set_for_current(*core) {
            return Err(format!("cannot pin a thread to core {}", core.id).into());
        }
        Ok(())
    }
}

/// The core index of a producer. The first producer and the first consumer take the first two
/// cores; the other producers follow, then the other consumers.
pub(crate) fn producer_core(producer: usize) -> usize {
    if producer == 0 { 0 } else { producer + 1 }
}

/// The core index of a consumer in a run with this number of producers.
pub(crate) fn consumer_core(consumer: usize, producers: usize) -> usize {
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
    fn every_thread_has_a_core_index_of_its_own() {
        for producers in 1..5 {
            for consumers in 1..4 {
                let mut indexes: Vec<usize> = (0..producers).map(producer_core).collect();
                indexes.extend((0..consumers).map(|c| consumer_core(c, producers)));
                indexes.sort_unstable();
                assert_eq!(indexes, Vec::from_iter(0..producers + consumers));
            }
        }
    }

    #[test]
    fn a_missing_core_is_refused() {
        let refused = Cores::choose(&[usize::MAX]).err().map(|e| e.to_string());
        let words = format!("there is no core {} for this process", usize::MAX);
        assert_eq!(refused, Some(words));
    }
}
