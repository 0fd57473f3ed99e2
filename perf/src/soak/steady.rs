//! A consumer that stays: it reads all there is, and settles the accounts at the end.

use super::checker::Checker;
use super::dice::Dice;
use super::ledger::{Ledger, Wrong};
use super::tally::Tally;
use super::worker::{Control, Doing, Station};
use ringlog::Consumer;
use std::sync::Arc;
use std::time::Duration;

/// One empty poll, so that the consumer comes to see the end of the round.
const POLL: Duration = Duration::from_millis(2);

/// Reads until the producers are done and nothing is left. The consumer was subscribed to the
/// topic before anything was sent.
pub(crate) fn stay(
    ledger: &Arc<Ledger>,
    mut consumer: Consumer,
    mut dice: Dice,
    control: &Control,
    station: &Station,
) -> Result<Tally, Wrong> {
    let mut checker = Checker::new(ledger.clone());
    let partitions = 0..ledger.plan.partitions;
    for partition in partitions.clone() {
        checker.begin(partition, 0, true);
    }
    while !control.has_failed() {
        // Before the poll: what was sent by then, the poll can find.
        let is_final = ledger.is_final();
        station.doing(Doing::Polling);
        let batch = consumer.poll(POLL).map_err(|error| error.to_string())?;
        checker.batch(&batch)?;
        let (count, partition) = (batch.len() as u64, batch.partition());
        drop(batch);
        if count > 0 {
            station.moved(
                count,
                partition,
                checker.next(partition).unwrap_or_default(),
            );
        } else if is_final && at_end(&consumer, ledger)? {
            let mut tally = Tally {
                joined: 1,
                bytes: checker.bytes,
                ..Tally::default()
            };
            for partition in partitions {
                tally.add(&settle(ledger, partition, &checker)?);
            }
            return Ok(tally);
        }
        if !ledger.plan.gated() && dice.one_in(10_000) {
            // Behind by more than the ring holds, now and then.
            station.doing(Doing::Napping);
            std::thread::sleep(Duration::from_millis(dice.below(5)));
        }
    }
    Ok(Tally::default())
}

fn at_end(consumer: &Consumer, ledger: &Ledger) -> Result<bool, Wrong> {
    for partition in 0..ledger.plan.partitions {
        let position = consumer.position(&ledger.plan.name, partition);
        if position.map_err(|error| error.to_string())? != ledger.log_end(partition)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Compares what was read of a partition with what its producers have put on record.
fn settle(ledger: &Ledger, partition: u32, checker: &Checker) -> Result<Tally, Wrong> {
    let end = ledger.log_end(partition)?;
    let aborted = ledger.aborted_in(partition, 0..end);
    let published = ledger.published(partition);
    let seen = &checker.seen()[partition as usize];
    let next = checker.next(partition).unwrap_or_default();
    let account = || {
        let topic = &ledger.plan.name;
        format!(
            "{topic}, partition {partition}: the log ends at {end}; producers tell of \
             {published:?} and {aborted} claims given up; a consumer that stayed has read \
             {:?}, lost {} and stepped over {}, up to {next}",
            seen.read, seen.lost, seen.stepped
        )
    };
    let fail = |what: &str| Err(format!("{what}: {}", account()));
    // Every offset was claimed by somebody, and published or given up.
    if published.records + aborted != end {
        return fail("offsets that nobody has claimed, or claims without one");
    }
    // Behind the last record there are only claims that were given up, as far as the log
    // retains it. The offsets before that were lost, with no batch behind them to say so.
    let start = ledger.log_start(partition)?.clamp(next, end);
    if ledger.aborted_in(partition, start..end) != end - start {
        return fail("records behind the last one read");
    }
    let stepped = seen.stepped + (end - start);
    let lost = seen.lost + (start - next);
    if seen.read.records + lost + stepped != end {
        return fail("what was read, lost and stepped over is not all there was");
    }
    // Offsets lost are records, or claims given up: those are not told apart. So with loss
    // there are bounds, and without it every record was read where its producer was told.
    let all = published.records;
    if seen.read.records > all || seen.read.records + lost < all || stepped > aborted {
        return fail("more records read, or fewer lost, than there were");
    }
    if ledger.plan.gated() && lost > 0 {
        return fail("loss under Backpressure");
    }
    if lost == 0 && (seen.read != published || stepped != aborted) {
        return fail("nothing was lost, and what was read is not what was published");
    }
    Ok(Tally {
        read: seen.read.records,
        lost,
        stepped,
        ..Tally::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::identity::{Id, Kind};
    use super::super::ledger::{Share, weight};
    use super::super::plan::RoundPlan;
    use super::*;
    use ringlog::{Broker, ConsumerConfig, Overflow, Record};

    /// Sends three records and a claim that is given up, reads all of them, and settles with
    /// producers that tell of `published` records, `aborted` claims, and `swapped` offsets.
    fn settled(published: u64, aborted: &[u64], swapped: bool) -> Result<Tally, Wrong> {
        let mut plan = RoundPlan::new(1, 0).topics.remove(0);
        (plan.overflow, plan.records, plan.producers) = (Overflow::DropOldest, 10, 1);
        let broker = Broker::new();
        let ledger = Arc::new(Ledger::new(&broker, plan).unwrap());
        let mut consumer = broker.consumer(ConsumerConfig::new());
        consumer.subscribe(&[&ledger.plan.name]).unwrap();
        let mut checker = Checker::new(ledger.clone());
        checker.begin(0, 0, true);
        let mut producer = ledger.topic.producer();
        let mut share = Share::default();
        ledger.abort(0, 2);
        for sequence in 0..3u64 {
            if sequence == 2 {
                drop(producer.claim(ringlog::Route::Partition(0), None, 16));
            }
            let id = Id::new(Kind::Single, 0, 0, 0, sequence);
            let record = Record::new(b"").partition(0).timestamp(id.time());
            let sent = producer.send(record).unwrap();
            let offset = if swapped {
                sent.offset ^ 1
            } else {
                sent.offset
            };
            let digest = id.digest(ledger.plan.salt);
            share.digest = share.digest.wrapping_add(weight(id, digest, offset));
        }
        share.records = published;
        checker.batch(&consumer.poll(POLL).unwrap())?;
        for &offset in aborted {
            ledger.abort(0, offset);
        }
        ledger.settle(&[share]);
        assert!(ledger.is_final());
        settle(&ledger, 0, &checker)
    }

    #[test]
    fn accounts_that_agree_are_settled() {
        let tally = settled(3, &[], false).unwrap();
        assert_eq!((tally.read, tally.lost, tally.stepped), (3, 0, 1));
    }

    #[test]
    fn accounts_that_do_not_agree_are_told() {
        let fails = |settled: Result<Tally, Wrong>, with: &str| {
            let wrong = settled.unwrap_err();
            assert!(wrong.starts_with(with), "{wrong:?} instead of {with:?}");
        };
        // One record more or less than there are offsets.
        fails(settled(2, &[], false), "offsets that nobody");
        fails(settled(4, &[], false), "offsets that nobody");
        // A record that came, and should have been a claim given up.
        fails(settled(2, &[1], false), "more records read");
        // The right number of records, but not at the offsets that their producer was told.
        fails(settled(3, &[], true), "nothing was lost");
    }
}
