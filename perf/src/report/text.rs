//! The report for a terminal: the conditions of the measurement, and a table for each block.

use super::contents::Report;
use crate::results::block::Block;
use crate::results::row::{Row, Spread};
use crate::systems::ringlog::SEGMENTS;
use crate::systems::system::SystemKind;
use std::fmt::Write;

/// The machine and how it is measured, as lines of text.
pub(crate) fn conditions(report: &Report) -> Vec<String> {
    let machine = &report.machine;
    let mut lines = vec![format!(
        "{}, {} cores for this process, {} {}",
        machine.cpu, machine.cores, machine.os, machine.arch
    )];
    if !machine.pinned.is_empty() {
        let cores: Vec<_> = machine.pinned.iter().map(usize::to_string).collect();
        lines.push(format!(
            "pinned to cores {}: first producer, first consumer, other producers, other \
             consumers, starting over where there are more threads",
            cores.join(", ")
        ));
    }
    lines.extend(machine.warnings.iter().map(|w| format!("warning: {w}")));
    lines.push(format!(
        "ring: {} KiB of payload in every system; ringlog divides it into {SEGMENTS} segments, \
         of which the producer gets one back at a time",
        report.ring_bytes / 1024
    ));
    lines.push(format!(
        "{} counted runs of each system after the warm-up runs, the systems in turn; messages \
         to fill about {} ms per run, and at least twice the ring; every message read and \
         checked",
        report.runs, report.budget_ms
    ));
    lines
}

/// A block as lines of text.
pub(crate) fn table(block: &Block) -> String {
    let mut out = String::new();
    write_block(&mut out, block).unwrap_or_default();
    out
}

fn write_block(out: &mut String, block: &Block) -> std::fmt::Result {
    write!(out, "\n{}, {}", block.scenario, block.title())?;
    if block.is_oversubscribed() {
        write!(out, "  [oversubscribed: more threads than cores]")?;
    }
    if let Some(Spread { min, max, .. }) = block.round_trips() {
        write!(
            out,
            "  [a bare word there and back: {min:.0} to {max:.0} ns]"
        )?;
    }
    writeln!(out)?;
    let width = block.rows.iter().map(|row| row.system.len());
    let width = width.max().unwrap_or_default().max(28);
    write_heading(out, block, width)?;
    for row in &block.rows {
        let mark = match row.kind {
            SystemKind::Ringlog => '>',
            SystemKind::Peer => ' ',
            SystemKind::Floor => '_',
        };
        write!(out, "{mark} {:width$}", row.system)?;
        if let Some(failure) = &row.failure {
            writeln!(out, " FAILED: {failure}")?;
        } else if let Some(percentiles) = row.percentiles() {
            for (_, ns) in percentiles.named() {
                write!(out, " {ns:>9}")?;
            }
            write_distances(out, block, row)?;
        } else {
            write_spread(out, block, row)?;
        }
    }
    Ok(())
}

fn write_heading(out: &mut String, block: &Block, width: usize) -> std::fmt::Result {
    write!(out, "  {:width$}", "")?;
    if !block.is_latency() {
        return writeln!(
            out,
            " {:>9} {:>9} {:>9}  ns per message",
            "min", "median", "max"
        );
    }
    for name in ["p50", "p90", "p99", "p99.9", "max"] {
        write!(out, " {name:>9}")?;
    }
    writeln!(out, "  ns")
}

fn write_spread(out: &mut String, block: &Block, row: &Row) -> std::fmt::Result {
    let Some(Spread { min, median, max }) = row.spread() else {
        return writeln!(out, " no runs");
    };
    write!(out, " {min:>9.2} {median:>9.2} {max:>9.2}")?;
    if block.scenario == "fan-out"
        && let Some(producer) = Spread::of(&row.producer_runs)
    {
        write!(out, "  producer {:>9.2}", producer.median)?;
    }
    if block.scenario == "scale" {
        write!(out, "  {:>7.1} M/s", 1e3 / median)?;
    }
    if let Some(times) = block.times_best_peer(row) {
        write!(out, "  {times:.2}x the best peer's speed")?;
    }
    write_distances(out, block, row)
}

/// The medians of the runs on near and on far cores, with their numbers.
fn write_distances(out: &mut String, block: &Block, row: &Row) -> std::fmt::Result {
    let parts = block.distances(row).unwrap_or_default();
    for (name, part) in ["near", "far"].iter().zip(parts) {
        let Some(part) = part else {
            continue;
        };
        match part.percentiles {
            Some(percentiles) => write!(out, "  {name} p50 {} ({}", percentiles.p50, part.runs)?,
            None => write!(out, "  {name} {:.2} ({}", part.spread.median, part.runs)?,
        }
        if let Some(times) = part.times_best_peer.filter(|_| !block.is_latency()) {
            write!(out, ", {times:.2}x")?;
        }
        write!(out, ")")?;
    }
    writeln!(out)
}
