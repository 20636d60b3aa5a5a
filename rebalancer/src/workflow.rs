//! What is to be done next for a move, from what the catalog and the servers say now. Pure, and without
//! a memory: whoever takes a job over decides the same, so the way after a crash is the usual way.

use crate::{Side, mover::Switches, state::Direction};
use shardline_model::{
    id::Epoch,
    moves::{JobPhase, MoveState, Until, Wish},
};
use std::time::Duration;

/// The change stream may be so far behind when statements begin to wait for it.
pub const LAG_MAX: Duration = Duration::from_millis(50);
/// And must have been for so long.
pub const CALM: Duration = Duration::from_secs(1);

/// What a flow does in this driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowView {
    /// Nothing runs.
    Stopped,
    /// It runs.
    Running {
        /// In this direction.
        direction: Direction,
        /// Every row has been copied.
        copied: bool,
        /// For so long it has been no further behind than [`LAG_MAX`].
        calm: Duration,
    },
}

/// A move, as a driver sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// By the catalog.
    pub state: MoveState,
    /// The epoch that made it so.
    pub since: Epoch,
    /// Every proxy has acknowledged that epoch.
    pub acknowledged: bool,
    /// By the servers.
    pub switches: Switches,
    /// Definitions and settings were found right since the epoch was acknowledged.
    pub checked: bool,
    /// By this driver.
    pub flow: FlowView,
    /// Both sides were compared, and are the same.
    pub verified: bool,
    /// The last attempt to change the owner failed so shortly ago that the next has to wait.
    pub backs_off: bool,
}

/// What is to be done for a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing; look again soon. What it waits for.
    Wait(Waits),
    /// Look for what could make it fail.
    Check,
    /// Begin the flow, or go on with it.
    Start(Direction),
    /// End the flow where it is.
    Stop,
    /// Compare both sides.
    Verify,
    /// Hold statements, and change the owner, in this direction.
    CutOver(Direction),
    /// Take back a switch that was noted on the server and is not in the catalog: the flow goes on.
    Unrecord(Direction),
    /// The next state in the catalog; None when nothing is left to be done.
    Set(Option<MoveState>),
    /// Take away what a server holds and does not own, and the move's own state.
    Clear(Side),
    /// Nothing more, as things are wanted.
    Rest,
}

/// What a move waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// Proxies that have not acknowledged it.
    Acknowledgement,
    /// The copy.
    Copy,
    /// The change stream.
    Lag,
    /// The next attempt.
    Attempt,
}

/// The next step of a move.
pub fn next(wish: Wish, view: &View) -> Step {
    match view.state {
        MoveState::Incoming => incoming(wish, view),
        MoveState::Held => left_held(view, view.switches.forward, MoveState::Outgoing),
        MoveState::Outgoing => outgoing(wish, view),
        MoveState::HeldBack => left_held(view, view.switches.reverse, MoveState::Incoming),
        MoveState::Purging => Step::Clear(Side::Source),
        MoveState::Clearing => Step::Clear(Side::Target),
    }
}

/// A hold that a driver has left. Its record on the server says whether it had gone all the way.
fn left_held(view: &View, recorded: Option<u64>, on: MoveState) -> Step {
    let gone = recorded == Some(view.since.0);
    Step::Set(Some(if gone { on } else { view.state.released() }))
}

fn incoming(wish: Wish, view: &View) -> Step {
    match wish {
        Wish::Cancel | Wish::RollBack => return Step::Set(Some(MoveState::Clearing)),
        Wish::Pause if view.flow == FlowView::Stopped => return Step::Rest,
        Wish::Pause => return Step::Stop,
        Wish::GoOn(_) | Wish::Finish => {}
    }
    if !view.acknowledged {
        return Step::Wait(Waits::Acknowledgement);
    }
    // A switch whose hold was taken back before the catalog had it.
    if view.switches.forward > view.switches.reverse {
        return Step::Unrecord(Direction::Forward);
    }
    if !view.checked {
        return Step::Check;
    }
    let FlowView::Running { direction: Direction::Forward, copied, calm } = view.flow else {
        return Step::Start(Direction::Forward);
    };
    if !copied {
        return Step::Wait(Waits::Copy);
    }
    if !view.verified {
        return Step::Verify;
    }
    match wish {
        Wish::GoOn(Until::Ready) => Step::Rest,
        _ => when_calm(calm, view, Direction::Forward),
    }
}

fn outgoing(wish: Wish, view: &View) -> Step {
    match wish {
        Wish::Finish => return Step::Set(Some(MoveState::Purging)),
        Wish::Pause if view.flow == FlowView::Stopped => return Step::Rest,
        Wish::Pause => return Step::Stop,
        // What has changed its owner is not given up, it goes back.
        Wish::GoOn(_) | Wish::RollBack | Wish::Cancel => {}
    }
    if view.switches.reverse > view.switches.forward {
        return Step::Unrecord(Direction::Reverse);
    }
    let FlowView::Running { direction: Direction::Reverse, calm, .. } = view.flow else {
        return Step::Start(Direction::Reverse);
    };
    match wish {
        Wish::RollBack | Wish::Cancel => when_calm(calm, view, Direction::Reverse),
        Wish::GoOn(_) | Wish::Pause | Wish::Finish => Step::Rest,
    }
}

fn when_calm(calm: Duration, view: &View, direction: Direction) -> Step {
    if calm < CALM {
        return Step::Wait(Waits::Lag);
    }
    match view.backs_off {
        true => Step::Wait(Waits::Attempt),
        false => Step::CutOver(direction),
    }
}

/// How far a job is whose moves, all that the catalog has of it, are there and do these steps next.
pub fn phase(wish: Wish, steps: &[(MoveState, Step)]) -> JobPhase {
    let any = |wanted: fn(&(MoveState, Step)) -> bool| steps.iter().any(wanted);
    if steps.is_empty() {
        return match wish {
            Wish::Cancel => JobPhase::Cancelled,
            Wish::RollBack => JobPhase::RolledBack,
            Wish::GoOn(_) | Wish::Pause | Wish::Finish => JobPhase::Finished,
        };
    }
    if wish == Wish::Pause && steps.iter().all(|(_, step)| *step == Step::Rest) {
        return JobPhase::Paused;
    }
    if any(|(_, step)| matches!(step, Step::Check | Step::Wait(Waits::Acknowledgement))) {
        return JobPhase::Preparing;
    }
    let copies = |(state, step): &(MoveState, Step)| {
        let begins = matches!(step, Step::Start(Direction::Forward) | Step::Wait(Waits::Copy));
        begins && *state == MoveState::Incoming
    };
    if any(copies) {
        return JobPhase::Copying;
    }
    if any(|(_, step)| *step == Step::Verify) {
        return JobPhase::Verifying;
    }
    let moved = |(state, step): &(MoveState, Step)| {
        *state == MoveState::Outgoing && matches!(step, Step::Rest | Step::Start(_))
    };
    if steps.iter().all(moved) {
        return JobPhase::Watching;
    }
    if any(|(_, step)| *step == Step::Wait(Waits::Lag)) {
        return JobPhase::CatchingUp;
    }
    let waits =
        |(state, step): &(MoveState, Step)| *state == MoveState::Incoming && *step == Step::Rest;
    if steps.iter().all(waits) { JobPhase::Ready } else { JobPhase::Cutover }
}

#[cfg(test)]
mod tests;
