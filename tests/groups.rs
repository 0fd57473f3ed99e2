//! Consumer groups: members share partitions, hand them over and commit; nothing committed is read
//! again, and nothing is skipped.
#![allow(missing_docs, missing_debug_implementations)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "groups/assignment.rs"]
mod assignment;
#[path = "groups/assignors.rs"]
mod assignors;
#[path = "groups/clock.rs"]
mod clock;
#[path = "groups/closed_topics.rs"]
mod closed_topics;
mod common;
#[path = "groups/deleted_topics.rs"]
mod deleted_topics;
#[path = "groups/hold_back.rs"]
mod hold_back;
#[path = "groups/lag.rs"]
mod lag;
#[path = "groups/listener.rs"]
mod listener;
#[path = "groups/liveness.rs"]
mod liveness;
#[path = "groups/refusals.rs"]
mod refusals;
#[path = "groups/reset.rs"]
mod reset;
#[path = "groups/schedules.rs"]
mod schedules;
#[path = "groups/static_members.rs"]
mod static_members;
#[path = "groups/support.rs"]
mod support;
#[path = "groups/thread_exit.rs"]
mod thread_exit;
#[path = "groups/threads.rs"]
mod threads;
#[path = "groups/waiting_members.rs"]
mod waiting_members;
