//! What pairs of shards do next, put together: some things each does by itself, and the owners change for
//! all at once, when all can. Pure.

use crate::workflow::Step;
use shardline_model::moves::MoveState;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Together {
    /// Each pair whose step is its own does that; the others wait.
    Apart,
    /// One thing for all.
    All(Step),
}

/// Whether a pair does it without the others.
fn is_own(step: Step) -> bool {
    match step {
        Step::Check | Step::Start(_) | Step::Stop | Step::Verify | Step::Unrecord(_) => true,
        Step::Wait(_) | Step::Rest | Step::CutOver(_) | Step::Set(_) | Step::Clear(_) => false,
    }
}

fn is_waiting(step: Step) -> bool {
    match step {
        Step::Wait(_) => true,
        Step::Check
        | Step::Start(_)
        | Step::Stop
        | Step::Verify
        | Step::Unrecord(_)
        | Step::Rest
        | Step::CutOver(_)
        | Step::Set(_)
        | Step::Clear(_) => false,
    }
}

/// Puts the steps of all pairs of a table together, of which there is one at least.
pub(super) fn of(state: MoveState, steps: &[Step]) -> Together {
    if steps.iter().any(|step| is_own(*step)) {
        return Together::Apart;
    }
    if let Some(wait) = steps.iter().find(|step| is_waiting(**step)) {
        return Together::All(*wait);
    }
    let first = steps.first().copied().unwrap_or(Step::Rest);
    if steps.iter().all(|step| *step == first) {
        return Together::All(first);
    }
    // A hold that was left: not all pairs have noted the switch, so it was not made.
    if state.holds() { Together::All(Step::Set(Some(state.released()))) } else { Together::Apart }
}

impl Together {
    /// What people are told: of different steps the one that comes first.
    pub(super) fn shown(self, steps: &[Step]) -> Step {
        match self {
            Together::All(step) => step,
            Together::Apart => {
                steps.iter().copied().find(|step| is_own(*step)).unwrap_or(Step::Rest)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Side, state::Direction, workflow::Waits};

    #[test]
    fn the_owners_change_when_all_can() {
        let cut = Step::CutOver(Direction::Forward);
        assert_eq!(of(MoveState::Incoming, &[cut, cut]), Together::All(cut));
        let lag = Step::Wait(Waits::Lag);
        assert_eq!(of(MoveState::Incoming, &[cut, lag]), Together::All(lag));
        assert_eq!(of(MoveState::Incoming, &[cut, Step::Verify]), Together::Apart);
        assert_eq!(of(MoveState::Incoming, &[lag, Step::Check]), Together::Apart);
        assert_eq!(Together::Apart.shown(&[lag, Step::Check]), Step::Check);
    }

    #[test]
    fn a_hold_that_was_left_goes_on_when_all_have_noted_it() {
        let set = |state| Step::Set(Some(state));
        let (on, back) = (set(MoveState::Outgoing), set(MoveState::Incoming));
        assert_eq!(of(MoveState::Held, &[on, on]), Together::All(on));
        assert_eq!(of(MoveState::Held, &[on, back]), Together::All(back));
        let (on, back) = (set(MoveState::Incoming), set(MoveState::Outgoing));
        assert_eq!(of(MoveState::HeldBack, &[back, on]), Together::All(back));
    }

    #[test]
    fn the_end_is_one_for_all() {
        let clear = Step::Clear(Side::Source);
        assert_eq!(of(MoveState::Purging, &[clear, clear]), Together::All(clear));
        assert_eq!(of(MoveState::Outgoing, &[Step::Rest, Step::Rest]), Together::All(Step::Rest));
    }
}
