//! Systems that fail, and how their failure is reported.

use super::scenario::{Candidate, Case, PAYLOAD, ScenarioOptions};
use crate::failure::Failure;
use crate::machine::cores::Cores;
use crate::measure::job::Plan;
use crate::message::tally::Reader;
use crate::systems::channels::CrossbeamArrayQueue;
use crate::systems::lmax::Lmax;
use crate::systems::rtrb::Rtrb;
use crate::systems::system::{Endpoints, Receiver, Sender, Shape, System};
use std::time::Duration;

/// Room for a few batches of each size.
const RING: usize = 1 << 16;

fn options() -> ScenarioOptions {
    ScenarioOptions {
        sizes: vec![8, 64],
        ring_bytes: RING,
        producers: 2,
        cores: 2,
        quick: false,
        lmax: None,
    }
}

pub(super) fn plan() -> Plan {
    Plan {
        ring_bytes: RING,
        runs: 1,
        budget: Duration::from_micros(100),
        quick: true,
        cores: Cores::choose(&[]).unwrap(),
    }
}

#[test]
fn the_lmax_disruptor_is_verified_where_it_can_be_run() {
    let lmax = match Lmax::find() {
        Ok(lmax) => Some(lmax),
        Err(missing) => return println!("not tested: {missing}"),
    };
    let options = ScenarioOptions { lmax, ..options() };
    for multi in [false, true] {
        let shape = Shape::one_to_one(RING);
        let case = Case {
            label: String::new(),
            payload: PAYLOAD,
            batch: 16,
            shape,
            rate: None,
            messages: Case::filling(&shape, PAYLOAD),
            candidates: Candidate::lmax(&options, multi).into_iter().collect(),
        };
        let rows = case.measure(&plan(), || ());
        assert_eq!((rows.len(), &rows[0].failure), (1, &None));
        assert!(rows[0].verified());
    }
}

#[test]
fn a_system_that_cannot_do_the_work_says_so() {
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
        candidates: vec![Candidate::many_streams::<Rtrb>()],
    };
    let rows = case.measure(&plan(), || ());
    assert!(!rows[0].verified());
    let failure = rows[0].failure.as_deref();
    assert_eq!(failure, Some("warming up: rtrb allows 1 producers, not 2"));
}

#[test]
fn a_system_that_changes_a_message_fails() {
    /// Changes the number of its 101st message.
    struct CorruptingQueue;
    struct Tx<E>(E, u64);
    struct Rx<E>(E);

    impl System for CorruptingQueue {
        const NAME: &'static str = "wrong";
        const CRATE: &'static str = "std";
        const PRODUCERS: usize = 1;
        type Sender<const N: usize, const B: usize> =
            Tx<<CrossbeamArrayQueue as System>::Sender<N, B>>;
        type Receiver<const N: usize, const B: usize> =
            Rx<<CrossbeamArrayQueue as System>::Receiver<N, B>>;

        fn endpoints<const N: usize, const B: usize>(
            shape: &Shape,
        ) -> Result<Endpoints<Self, N, B>, Failure> {
            let (tx, rx) = CrossbeamArrayQueue::endpoints::<N, B>(shape)?;
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
        candidates: vec![Candidate::many_streams::<CorruptingQueue>()],
    };
    let rows = case.measure(&plan(), || ());
    let failure = rows[0].failure.as_deref();
    assert_eq!(failure, Some("warming up: messages arrived out of order"));
}
