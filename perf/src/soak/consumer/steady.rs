//! A consumer that stays for the whole round: it reads everything, and settles the accounts.

use crate::soak::checker::Checker;
use crate::soak::counts::Counts;
use crate::soak::fault::Fault;
use crate::soak::ledger::Ledger;
use crate::soak::rng::Rng;
use crate::soak::watchdog::{Activity, Heartbeat, RoundControl};
use ringlog::Consumer;
use std::sync::Arc;
use std::time::Duration;

/// The timeout of a poll: short, so that the consumer notices the end of the round.
const POLL: Duration = Duration::from_millis(2);

/// Reads until the producers are done and nothing is left. The consumer was subscribed to the
/// topic before anything was sent.
pub(crate) fn stay(
    ledger: &Arc<Ledger>,
    mut consumer: Consumer,
    mut rng: Rng,
    control: &RoundControl,
    heartbeat: &Heartbeat,
) -> Result<Counts, Fault> {
    let mut checker = Checker::new(ledger.clone());
    let partitions = 0..ledger.plan.partitions;
    for partition in partitions.clone() {
        checker.begin(partition, 0, true);
    }
    while !control.has_failed() {
        // Checked before the poll, which then finds everything that was sent.
        let is_final = ledger.is_final();
        heartbeat.set_activity(Activity::Polling);
        let batch = consumer.poll(POLL).map_err(|error| error.to_string())?;
        checker.batch(&batch)?;
        let count = batch.len() as u64;
        if let Some(partition) = batch.partition() {
            heartbeat.advance(
                count,
                partition,
                checker.next(partition).unwrap_or_default(),
            );
        } else if is_final && at_end(&consumer, ledger)? {
            let mut counts = Counts {
                joined: 1,
                bytes: checker.bytes,
                ..Counts::default()
            };
            for partition in partitions {
                counts.add(&settle(ledger, partition, &checker)?);
            }
            return Ok(counts);
        }
        if !ledger.plan.gated() && rng.one_in(10_000) {
            // Sometimes it falls behind by more than the ring holds.
            heartbeat.set_activity(Activity::Napping);
            std::thread::sleep(Duration::from_millis(rng.below(5)));
        }
    }
    Ok(Counts::default())
}

fn at_end(consumer: &Consumer, ledger: &Ledger) -> Result<bool, Fault> {
    for partition in 0..ledger.plan.partitions {
        let position = consumer.position((&ledger.plan.name, partition));
        if position.map_err(|error| error.to_string())? != ledger.log_end(partition)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Compares what was read of a partition with the producers' accounts.
fn settle(ledger: &Ledger, partition: u32, checker: &Checker) -> Result<Counts, Fault> {
    let end = ledger.log_end(partition)?;
    let aborted = ledger.aborted_in(partition, 0..end);
    let published = ledger.published(partition);
    let progress = &checker.progress()[partition as usize];
    let next = checker.next(partition).unwrap_or_default();
    let account = || {
        let topic = &ledger.plan.name;
        format!(
            "{topic}, partition {partition}: the log ends at {end}; the producers' accounts \
             have {published:?} and {aborted} claims given up; a steady consumer has read {:?}, \
             lost {} and stepped over {}, up to {next}",
            progress.read, progress.lost, progress.stepped
        )
    };
    let fail = |what: &str| Err(format!("{what}: {}", account()));
    // Every offset was claimed, and then published or given up.
    if published.records + aborted != end {
        return fail("offsets that no producer has claimed, or claims without one");
    }
    // After the last record read, the retained offsets are claims given up. The offsets before
    // the log start were lost, and no later batch has reported them.
    let start = ledger.log_start(partition)?.clamp(next, end);
    if ledger.aborted_in(partition, start..end) != end - start {
        return fail("records after the last one read");
    }
    let stepped = progress.stepped + (end - start);
    let lost = progress.lost + (start - next);
    if progress.read.records + lost + stepped != end {
        return fail("what was read, lost and stepped over is not everything");
    }
    // A lost offset is a record or a claim given up; the count does not distinguish them. So with
    // loss there are bounds. Without loss, every record was read at the offset that its producer
    // got.
    let all = published.records;
    if progress.read.records > all || progress.read.records + lost < all || stepped > aborted {
        return fail("more records read, or fewer lost, than there were");
    }
    if ledger.plan.gated() && lost > 0 {
        return fail("loss under Backpressure");
    }
    if lost == 0 && (progress.read != published || stepped != aborted) {
        return fail("nothing was lost, and what was read is not what was published");
    }
    Ok(Counts {
        read: progress.read.records,
        lost,
        stepped,
        ..Counts::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::ledger::{PartitionTotal, weight};
    use crate::soak::plan::RoundPlan;
    use crate::soak::record::id::{RecordId, SendKind};
    use ringlog::{Broker, ConsumerConfig, Overflow, Record};

    /// Sends three records and a claim that is given up, reads all of them, and settles with
    /// accounts of `published` records, more `aborted` claims, and `swapped` offsets.
    fn settled(published: u64, aborted: &[u64], swapped: bool) -> Result<Counts, Fault> {
        let mut plan = RoundPlan::new(1, 0).topics.remove(0);
        (plan.overflow, plan.records, plan.producers) = (Overflow::DropOldest, 10, 1);
        let broker = Broker::new();
        let ledger = Arc::new(Ledger::new(&broker, plan).unwrap());
        let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
        consumer.subscribe([&ledger.plan.name]).unwrap();
        let mut checker = Checker::new(ledger.clone());
        checker.begin(0, 0, true);
        let mut producer = ledger.topic.producer();
        let mut total = PartitionTotal::default();
        ledger.abort(0, 2);
        for sequence in 0..3u64 {
            if sequence == 2 {
                drop(producer.claim(ringlog::Destination::Partition(0), None, 16));
            }
            let id = RecordId::new(SendKind::Single, 0, 0, 0, sequence);
            let record = Record::new(b"").partition(0).timestamp(id.time());
            let sent = producer.send(record).unwrap();
            let offset = if swapped {
                sent.offset ^ 1
            } else {
                sent.offset
            };
            let digest = id.digest(ledger.plan.salt);
            total.digest = total.digest.wrapping_add(weight(id, digest, offset));
        }
        total.records = published;
        checker.batch(&consumer.poll(POLL).unwrap())?;
        for &offset in aborted {
            ledger.abort(0, offset);
        }
        ledger.settle(&[total]);
        assert!(ledger.is_final());
        settle(&ledger, 0, &checker)
    }

    #[test]
    fn accounts_that_agree_are_settled() {
        let counts = settled(3, &[], false).unwrap();
        assert_eq!((counts.read, counts.lost, counts.stepped), (3, 0, 1));
    }

    #[test]
    fn accounts_that_do_not_agree_are_found() {
        let fails = |settled: Result<Counts, Fault>, with: &str| {
            let fault = settled.unwrap_err();
            assert!(fault.starts_with(with), "{fault:?} instead of {with:?}");
        };
        // One record more or less than there are offsets.
        fails(settled(2, &[], false), "offsets that no producer");
        fails(settled(4, &[], false), "offsets that no producer");
        // A record that was read, but should have been a claim given up.
        fails(settled(2, &[1], false), "more records read");
        // The right number of records, but not at the offsets that their producer got.
        fails(settled(3, &[], true), "nothing was lost");
    }
}
