//! Every scenario, once, with few messages; and what is told of them.

use super::*;
use crate::cores::Cores;
use crate::report::{Block, Report};
use serde_json::Value;
use std::sync::OnceLock;

/// Room for a few batches of each size.
const RING: usize = 1 << 16;

fn choice() -> Choice {
    Choice {
        sizes: vec![8, 64],
        ring_bytes: RING,
        producers: 2,
        lmax: None,
    }
}

fn plan() -> Plan {
    Plan {
        ring_bytes: RING,
        runs: 1,
        budget: Duration::from_micros(100),
        quick: true,
        cores: Cores::choose(&[]).unwrap(),
    }
}

/// All scenarios measured, once for all tests.
fn report() -> &'static Report {
    static REPORT: OnceLock<Report> = OnceLock::new();
    REPORT.get_or_init(|| {
        let plan = plan();
        let mut report = Report::new(&plan);
        for scenario in scenarios(&choice()) {
            for case in &scenario.cases {
                let rows = case.measure(&plan, || ());
                report.blocks.push(Block::new(scenario.name, case, rows));
            }
        }
        report
    })
}

#[test]
fn every_system_of_every_scenario_runs_and_is_verified() {
    let report = report();
    assert_eq!(report.failures(), Vec::<String>::new());
    for block in &report.blocks {
        assert!(block.rows.len() > 1, "{} compares nothing", block.scenario);
        for row in &block.rows {
            assert!(row.verified(), "{}, {}", block.scenario, row.system);
            assert_eq!(row.runs.len(), 1);
        }
    }
}

#[test]
fn the_table_has_a_line_for_every_system() {
    for block in &report().blocks {
        let table = block.table();
        for row in &block.rows {
            assert!(table.contains(&row.system), "{table}");
        }
    }
}

#[test]
fn the_json_has_its_fields() {
    let json: Value = serde_json::from_str(&report().to_json().unwrap()).unwrap();
    for field in ["cpu", "cores", "pinned", "os", "arch", "warnings"] {
        assert!(!json["machine"][field].is_null(), "{field}");
    }
    let rows = json["rows"].as_array().unwrap();
    for row in rows {
        for field in ["scenario", "system", "version", "runs"] {
            assert!(!row[field].is_null(), "{field} of {row}");
        }
        for field in ["payload_bytes", "batch", "producers", "consumers"] {
            assert!(row[field].is_u64(), "{field} of {row}");
        }
        for field in ["min", "median", "max"] {
            assert!(
                row["ns_per_message"][field].as_f64().unwrap() > 0.0,
                "{row}"
            );
        }
        assert_eq!(row["verified"], true);
        assert!(row["oversubscribed"].is_boolean());
        // One for each run, or none at all.
        let trips = row["round_trips"].as_array().map_or(0, Vec::len);
        assert!(trips == 0 || trips == row["runs"].as_array().unwrap().len());
    }
    let asked = |row: &&Value| !row["round_trips"].is_null();
    let two_cores = Cores::choose(&[]).unwrap().apart(2);
    assert_eq!(rows.iter().filter(asked).count() > 8, two_cores);
    let ahead = |row: &&Value| row["times_best_peer"].is_number();
    assert!(rows.iter().filter(ahead).count() > 8);
    let latency = json["latency"].as_array().unwrap();
    assert!(latency.iter().any(|row| row["rate"] == 100_000));
    for row in latency {
        for field in ["p50", "p90", "p99", "p999", "max"] {
            assert!(row[field].is_u64(), "{field} of {row}");
        }
        assert_eq!(row["verified"], true);
    }
}

#[test]
fn the_page_and_the_chart_hold_every_scenario() {
    let report = report();
    let page = report.to_html(&|_| "what it is");
    for block in &report.blocks {
        assert!(page.contains(&format!("id=\"{}\"", block.scenario)));
        for row in &block.rows {
            assert!(page.contains(&row.system), "{}", row.system);
        }
    }
    // It needs nothing else.
    for outside in ["http://", "https://", "<script", "<link", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    let chart = report.to_chart();
    for name in one_to_one::NAMES {
        assert!(chart.contains(name), "{name}");
    }
}

#[test]
fn all_that_is_measured_has_a_version() {
    for scenario in scenarios(&choice()) {
        for entry in scenario.cases.iter().flat_map(|case| &case.entries) {
            // The original is part of this crate, the floors are bare code.
            let own = entry.system == "one lock, slices" || entry.kind == Kind::Floor;
            assert_eq!(entry.version.is_empty(), own, "{}", entry.system);
        }
    }
}

#[test]
fn the_lmax_disruptor_is_verified_where_it_can_be_run() {
    let lmax = match Lmax::find() {
        Ok(lmax) => Some(lmax),
        Err(missing) => return println!("not tested: {missing}"),
    };
    let choice = Choice { lmax, ..choice() };
    for multi in [false, true] {
        let shape = Shape::one_to_one(RING);
        let case = Case {
            label: String::new(),
            payload: PAYLOAD,
            batch: 16,
            shape,
            rate: None,
            messages: Case::filling(&shape, PAYLOAD),
            entries: Entry::lmax(&choice, multi).into_iter().collect(),
        };
        let rows = case.measure(&plan(), || ());
        assert_eq!((rows.len(), &rows[0].failure), (1, &None));
        assert!(rows[0].verified());
    }
}

#[test]
fn a_system_that_cannot_do_the_work_says_so() {
    use crate::system::rtrb::Rtrb;
    let shape = Shape {
        producers: 2,
        ..Shape::one_to_one(RING)
    };
    let case = Case {
        label: String::new(),
        payload: PAYLOAD,
        batch: 1,
        shape,
        rate: None,
        messages: Case::filling(&shape, PAYLOAD),
        entries: vec![Entry::lanes::<Rtrb>()],
    };
    let rows = case.measure(&plan(), || ());
    assert!(!rows[0].verified());
    let failure = rows[0].failure.as_deref();
    assert_eq!(failure, Some("warming up: rtrb allows 1 producers, not 2"));
}

#[test]
fn a_system_that_changes_a_message_fails() {
    use crate::measure::Failure;
    use crate::system::{Ends, Receiver, Sender, array_queue::CrossbeamArrayQueue};
    use crate::tally::Reader;

    /// Changes the number of its 101st message.
    struct Wrong;
    struct Tx<E>(E, u64);
    struct Rx<E>(E);

    impl System for Wrong {
        const NAME: &'static str = "wrong";
        const CRATE: &'static str = "std";
        const PRODUCERS: usize = 1;
        type Sender<const N: usize, const B: usize> =
            Tx<<CrossbeamArrayQueue as System>::Sender<N, B>>;
        type Receiver<const N: usize, const B: usize> =
            Rx<<CrossbeamArrayQueue as System>::Receiver<N, B>>;

        fn ends<const N: usize, const B: usize>(
            shape: &Shape,
        ) -> Result<Ends<Self, N, B>, Failure> {
            let (tx, rx) = CrossbeamArrayQueue::ends::<N, B>(shape)?;
            let tx = tx.into_iter().map(|tx| Tx(tx, 0)).collect();
            Ok((tx, rx.into_iter().map(Rx).collect()))
        }
    }

    impl<E: Sender<N, B>, const N: usize, const B: usize> Sender<N, B> for Tx<E> {
        fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
            let mut messages = *messages;
            if self.1 == 100 {
                messages[0][0] ^= 1;
            }
            let sent = self.0.send(&messages)?;
            self.1 += u64::from(sent);
            Ok(sent)
        }
    }

    impl<E: Receiver<N>, const N: usize> Receiver<N> for Rx<E> {
        fn receive(&mut self, reader: &mut impl Reader<N>) -> Result<bool, Failure> {
            self.0.receive(reader)
        }
    }

    let shape = Shape::one_to_one(RING);
    let case = Case {
        label: String::new(),
        payload: PAYLOAD,
        batch: 1,
        shape,
        rate: None,
        messages: Case::filling(&shape, PAYLOAD),
        entries: vec![Entry::lanes::<Wrong>()],
    };
    let rows = case.measure(&plan(), || ());
    let failure = rows[0].failure.as_deref();
    assert_eq!(failure, Some("warming up: messages came out of order"));
}
