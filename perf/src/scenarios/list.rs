//! The list of all scenarios.

use super::scenario::{Scenario, ScenarioOptions};
use super::{
    asleep, contended, fan_out, idle, keyed, one_to_one, original, paced, ping_pong, read, replay,
    scale, wake_up,
};

/// All scenarios, in the order in which they are measured.
pub(crate) fn scenarios(options: &ScenarioOptions) -> Vec<Scenario> {
    let mut all = one_to_one::scenarios(options);
    all.push(contended::scenario(options));
    all.push(keyed::scenario(options));
    all.push(scale::scenario(options));
    all.push(fan_out::scenario(options));
    all.push(replay::scenario(options));
    all.push(read::scenario(options));
    all.push(idle::scenario(options));
    all.push(original::scenario());
    all.push(ping_pong::scenario(options));
    all.push(paced::scenario(options));
    all.push(wake_up::scenario(options));
    all.push(asleep::scenario(options));
    all
}
