//! The log of what was done.

use crate::{
    api::{
        call::{Call, Reply},
        endpoint::{Endpoint, QueryParameter, Rule},
        secret::hex,
    },
    operations::{OperationError, view::Listing},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shardline_model::access::{AuditLine, AuditNote, AuditPhase, Scope};
use std::sync::Arc;

const AUDIT: Rule = Rule::Any(&[Scope::Audit]);
/// Lines of one answer.
const LINES_MAX: u64 = 5_000;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditView {
    /// Its number.
    pub seq: u64,
    /// When, by the clock of the process that did it.
    pub unix_s: u64,
    /// Who.
    pub user: String,
    /// How they were known.
    pub via: String,
    /// Where from.
    pub source: String,
    /// What.
    pub operation: String,
    /// To what.
    pub target: String,
    /// Which lines belong together.
    pub request: String,
    /// `asked`, `done` or `refused`.
    pub phase: String,
    /// How it was, as JSON.
    pub before: Option<String>,
    /// How it is now, as JSON.
    pub after: Option<String>,
    /// What was asked for, or what went wrong.
    pub detail: String,
    /// SHA-256 over this line and the hash of the one before, in hexadecimal digits.
    pub hash: String,
}

impl From<&AuditLine> for AuditView {
    fn from(line: &AuditLine) -> Self {
        let note = line.note.clone();
        Self {
            seq: line.seq,
            unix_s: note.unix_s,
            user: note.user,
            via: note.via,
            source: note.source,
            operation: note.operation,
            target: note.target,
            request: note.request,
            phase: note.phase.name().to_owned(),
            before: note.before,
            after: note.after,
            detail: note.detail,
            hash: hex(&line.hash),
        }
    }
}

impl AuditView {
    /// The line that was shown; None when it is not one.
    pub fn line(&self) -> Option<AuditLine> {
        let phases = [AuditPhase::Asked, AuditPhase::Done, AuditPhase::Refused];
        let phase = phases.into_iter().find(|phase| phase.name() == self.phase)?;
        let byte = |at: usize| u8::from_str_radix(self.hash.get(2 * at..2 * at + 2)?, 16).ok();
        let mut hash = [0; 32];
        for (at, place) in hash.iter_mut().enumerate() {
            *place = byte(at)?;
        }
        let note = AuditNote {
            unix_s: self.unix_s,
            user: self.user.clone(),
            via: self.via.clone(),
            source: self.source.clone(),
            operation: self.operation.clone(),
            target: self.target.clone(),
            request: self.request.clone(),
            phase,
            before: self.before.clone(),
            after: self.after.clone(),
            detail: self.detail.clone(),
        };
        Some(AuditLine { seq: self.seq, note, hash })
    }
}

/// Whether the log is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditVerdict {
    /// Whether every line is what was written.
    pub intact: bool,
    /// Lines that were looked at.
    pub entries: u64,
    /// The number of the first one.
    pub first_seq: u64,
    /// The number of the last one.
    pub last_seq: u64,
    /// The newest hash: worth writing down elsewhere.
    pub head: String,
    /// The first line that is wrong.
    pub broken_at: Option<u64>,
}

/// The operations.
pub(super) fn table() -> Vec<Endpoint> {
    const QUERY: &[QueryParameter] = &[
        QueryParameter { name: "limit", kind: "integer", text: "lines, 100 unless named" },
        QueryParameter { name: "before", kind: "integer", text: "only lines of lower numbers" },
        QueryParameter { name: "user", kind: "string", text: "only what this user did" },
        QueryParameter { name: "operation", kind: "string", text: "only this operation" },
    ];
    vec![
        Endpoint::get::<Listing<AuditView>, _>("listAudit", "/audit", AUDIT, list)
            .query(QUERY)
            .cli("audit list")
            .does("What was done, the newest first"),
        Endpoint::get::<AuditVerdict, _>("verifyAudit", "/audit:verify", AUDIT, verify)
            .cli("audit verify")
            .does("Whether the log is whole"),
    ]
}

async fn list(call: Arc<Call>) -> Result<Reply, OperationError> {
    let limit = call.query_number("limit", 100, LINES_MAX)?;
    let before = call.query_number("before", u64::MAX, u64::MAX)?;
    let (user, operation) = (call.query("user"), call.query("operation"));
    let access = call.operations().access();
    let lines = access.audit.lines.iter().rev().filter(|line| {
        line.seq < before
            && user.is_none_or(|user| line.note.user == user)
            && operation.is_none_or(|operation| line.note.operation == operation)
    });
    let lines = lines.take(limit as usize).map(|line| AuditView::from(&**line)).collect();
    Reply::of(&Listing::<AuditView>::of("AuditList", lines))
}

async fn verify(call: Arc<Call>) -> Result<Reply, OperationError> {
    let access = call.operations().access();
    let log = &access.audit;
    let verified = log.verify();
    Reply::of(&AuditVerdict {
        intact: verified.is_ok(),
        entries: log.lines.len() as u64,
        first_seq: log.dropped + 1,
        last_seq: log.last_seq(),
        head: hex(&log.head()),
        broken_at: verified.err(),
    })
}
