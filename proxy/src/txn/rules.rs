//! The rules that the machines of this folder keep, by name, so that the simulator can
//! break one on purpose and must then find what goes wrong. A build without the feature
//! `fault-points` cannot break any: [`Rules::keeps`] is then the constant `true`.

/// What the protocol lives by. Each has a reason where it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Nothing is decided before every branch answered that it has committed.
    DecideAfterAllPrepared,
    /// A lost answer to the decision is no abort before the anchor says so.
    LostDecisionIsUnknown,
    /// A missing `gtx` row means nothing; only inserting ABORTED decides.
    AbsenceDecidesNothing,
    /// The branches are forgotten before the `gtx` row.
    ForgetDecisionLast,
    /// `gtx` rows go only below the watermark, which refuses later decisions.
    WatermarkGuardsForgotten,
    /// A tombstone is deleted only after its incarnation is fenced on all shards.
    SweepAfterFencing,
    /// A guard is on only after every proxy has acknowledged it or is fenced.
    GuardAfterAcknowledgement,
    /// Snapshots are opened only after every proxy admits commits by the barrier or is fenced.
    BarrierBeforeSnapshots,
    /// What was opened counts only if the barrier could be ended: it was there to the end.
    BarrierStoodToTheEnd,
}

/// The rules that are kept: all of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    #[cfg(feature = "fault-points")]
    broken: Option<Rule>,
}

impl Rules {
    /// All rules but one, for the simulator.
    #[cfg(feature = "fault-points")]
    pub fn all_but(rule: Rule) -> Self {
        Self { broken: Some(rule) }
    }

    /// Whether a rule is kept.
    #[cfg(feature = "fault-points")]
    pub fn keeps(self, rule: Rule) -> bool {
        self.broken != Some(rule)
    }

    /// Whether a rule is kept: always.
    #[cfg(not(feature = "fault-points"))]
    pub const fn keeps(self, _rule: Rule) -> bool {
        true
    }
}
