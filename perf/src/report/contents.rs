//! The contents of a report: the machine, how it was measured, and the results.

use crate::machine::facts::Machine;
use crate::measure::job::Plan;
use crate::results::block::Block;

/// All results of one call, with the conditions of the measurement.
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) ring_bytes: usize,
    pub(crate) runs: usize,
    pub(crate) budget_ms: u128,
    pub(crate) quick: bool,
    pub(crate) blocks: Vec<Block>,
}

impl Report {
    pub(crate) fn new(plan: &Plan) -> Report {
        Report {
            machine: Machine::inspect(&plan.cores),
            ring_bytes: plan.ring_bytes,
            runs: plan.runs,
            budget_ms: plan.budget.as_millis(),
            quick: plan.quick,
            blocks: Vec::new(),
        }
    }

    /// The systems that failed, in words.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for block in &self.blocks {
            for row in &block.rows {
                if let Some(failure) = &row.failure {
                    let (scenario, title) = (block.scenario, block.title());
                    failures.push(format!("{scenario}, {title}, {}: {failure}", row.system));
                }
            }
        }
        failures
    }
}
