//! The ways of a move, played against a catalog and servers that do what they are told, fail, or are
//! taken over at any step.

use super::*;

/// What a driver would meet.
#[derive(Clone, Debug)]
struct World {
    state: Option<MoveState>,
    epoch: u64,
    since: u64,
    switches: Switches,
    flow: FlowView,
    checked: bool,
    verified: bool,
}

impl World {
    fn new() -> Self {
        World {
            state: Some(MoveState::Incoming),
            epoch: 1,
            since: 1,
            switches: Switches::default(),
            flow: FlowView::Stopped,
            checked: false,
            verified: false,
        }
    }

    fn view(&self, state: MoveState) -> View {
        View {
            state,
            since: Epoch(self.since),
            acknowledged: true,
            switches: self.switches.clone(),
            checked: self.checked,
            flow: self.flow,
            verified: self.verified,
            backs_off: false,
        }
    }

    fn set(&mut self, to: Option<MoveState>) {
        let from = self.state.expect("a move that is there");
        assert!(MoveState::may_follow(to, from), "{from} to {to:?}");
        self.epoch += 1;
        self.since = self.epoch;
        self.state = to;
    }

    /// Another driver: what only the last one knew is gone.
    fn take_over(&mut self) {
        (self.flow, self.checked, self.verified) = (FlowView::Stopped, false, false);
    }

    /// A cutover that ends after so many of its four steps, its driver with it.
    fn cut_over(&mut self, direction: Direction, steps: u32) {
        let (held, on) = match direction {
            Direction::Forward => (MoveState::Held, MoveState::Outgoing),
            Direction::Reverse => (MoveState::HeldBack, MoveState::Incoming),
        };
        self.set(Some(held));
        if steps > 1 {
            let record = Some(self.since);
            match direction {
                Direction::Forward => self.switches.forward = record,
                Direction::Reverse => self.switches.reverse = record,
            }
        }
        match steps {
            1 | 2 => {}
            // A proxy takes the hold back before the catalog hears of the switch.
            3 => self.set(Some(held.released())),
            _ => self.set(Some(on)),
        }
        match steps {
            4 => self.flow = FlowView::Stopped,
            _ => self.take_over(),
        }
    }

    /// One step; false when there is none any more.
    fn step(&mut self, wish: Wish, cut_steps: u32) -> bool {
        let Some(state) = self.state else { return false };
        let calm = |direction| FlowView::Running { direction, copied: true, calm: CALM };
        match next(wish, &self.view(state)) {
            Step::Wait(waits) => panic!("nothing lets {waits:?} wait"),
            Step::Check => self.checked = true,
            Step::Start(direction) => {
                let (mine, other) = match direction {
                    Direction::Forward => (self.switches.forward, self.switches.reverse),
                    Direction::Reverse => (self.switches.reverse, self.switches.forward),
                };
                assert!(mine.is_none() || other > mine, "{direction:?} was ended by a switch");
                self.flow = calm(direction);
            }
            Step::Stop => self.flow = FlowView::Stopped,
            Step::Verify => self.verified = true,
            Step::CutOver(direction) => self.cut_over(direction, cut_steps),
            Step::Unrecord(Direction::Forward) => self.switches.forward = None,
            Step::Unrecord(Direction::Reverse) => self.switches.reverse = None,
            Step::Set(to) => self.set(to),
            Step::Clear(side) => {
                let owner = self.view(state).state.is_owned_by_source();
                assert_eq!(side == Side::Target, owner, "the owner's rows are not cleared");
                self.set(None);
            }
            Step::Rest => return false,
        }
        true
    }

    fn run(&mut self, wish: Wish, cut_steps: u32) {
        for _ in 0..40 {
            if !self.step(wish, cut_steps) {
                return;
            }
        }
        panic!("{wish:?} does not end: {self:?}");
    }
}

const MOVED: Wish = Wish::GoOn(Until::Moved);

#[test]
fn there_and_finished() {
    let mut world = World::new();
    world.run(Wish::GoOn(Until::Ready), 4);
    assert_eq!(world.state, Some(MoveState::Incoming));
    world.run(MOVED, 4);
    assert_eq!(world.state, Some(MoveState::Outgoing));
    world.run(Wish::Finish, 4);
    assert_eq!(world.state, None);
}

#[test]
fn there_back_and_there_again() {
    let mut world = World::new();
    world.run(MOVED, 4);
    world.run(Wish::RollBack, 4);
    assert_eq!(world.state, None);
    let mut cancelled = World::new();
    cancelled.step(MOVED, 4);
    cancelled.run(Wish::Cancel, 4);
    assert_eq!(cancelled.state, None);
}

#[test]
fn a_cutover_that_ends_anywhere_is_gone_on_with() {
    for ended in 1..=3 {
        let mut world = World::new();
        for _ in 0..5 {
            world.step(MOVED, ended);
        }
        world.run(MOVED, 4);
        assert_eq!(world.state, Some(MoveState::Outgoing), "ended after {ended}");
        for _ in 0..3 {
            world.step(Wish::RollBack, ended);
        }
        world.run(Wish::RollBack, 4);
        assert_eq!(world.state, None, "ended after {ended}");
    }
}

#[test]
fn a_pause_stops_what_runs_and_nothing_else() {
    let mut world = World::new();
    world.run(Wish::GoOn(Until::Ready), 4);
    world.run(Wish::Pause, 4);
    assert_eq!((world.state, world.flow), (Some(MoveState::Incoming), FlowView::Stopped));
    world.run(MOVED, 4);
    world.run(Wish::Pause, 4);
    assert_eq!((world.state, world.flow), (Some(MoveState::Outgoing), FlowView::Stopped));
}

#[test]
fn a_job_says_how_far_it_is() {
    let check = |wish, steps: &[(MoveState, Step)], expected| {
        assert_eq!(phase(wish, steps), expected, "{steps:?}");
    };
    let (incoming, outgoing) = (MoveState::Incoming, MoveState::Outgoing);
    check(MOVED, &[(incoming, Step::Check)], JobPhase::Preparing);
    let copies = [(outgoing, Step::Rest), (incoming, Step::Wait(Waits::Copy))];
    check(MOVED, &copies, JobPhase::Copying);
    check(MOVED, &[(incoming, Step::Verify)], JobPhase::Verifying);
    check(Wish::GoOn(Until::Ready), &[(incoming, Step::Rest)], JobPhase::Ready);
    check(MOVED, &[(incoming, Step::Wait(Waits::Lag))], JobPhase::CatchingUp);
    check(MOVED, &[(incoming, Step::CutOver(Direction::Forward))], JobPhase::Cutover);
    check(MOVED, &[(outgoing, Step::Start(Direction::Reverse))], JobPhase::Watching);
    check(Wish::Pause, &[(incoming, Step::Rest)], JobPhase::Paused);
    check(Wish::Finish, &[], JobPhase::Finished);
    check(Wish::RollBack, &[], JobPhase::RolledBack);
}
