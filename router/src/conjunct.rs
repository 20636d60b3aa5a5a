//! What WHERE and ON say about shard keys: equalities and ranges with known values, and
//! equalities between the key columns of tables of one colocation group. Only what is
//! true of every row that can matter is kept; leaving something out is always safe.

use crate::{
    bind::{BoundColumn, Facts, column_parts},
    lexer::TokenKind,
    parse::{Pieces, piece_of},
};
use sqlparser::ast::{BinaryOperator, Expr, ObjectName, UnaryOperator};
use std::ops::Range;

/// Most values of one IN list, or of ORed equalities, that are looked at.
const VALUES_MAX: usize = 4_096;

/// A value that is known when the statement is bound to its literals and parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueRef {
    /// NULL.
    Null,
    /// TRUE and FALSE, which are 1 and 0.
    Boolean(bool),
    /// A literal by number, perhaps behind a minus sign.
    Literal { ordinal: u32, negative: bool },
    /// `DATE '..'` and the like.
    Temporal { ordinal: u32 },
    /// A parameter by number, perhaps behind a minus sign.
    Parameter { index: u32, negative: bool },
}

/// A limit of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) value: ValueRef,
    pub(crate) inclusive: bool,
}

/// What is known about one key column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Predicate {
    /// It is one of these; NULL among them matches nothing.
    In(Vec<ValueRef>),
    /// It lies between these.
    Range { low: Option<Bound>, high: Option<Bound> },
}

/// One shard-key column of one table instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeySlot {
    pub(crate) instance: usize,
    pub(crate) index: usize,
}

/// Everything that was learnt.
#[derive(Debug, Default)]
pub(crate) struct Conjuncts {
    predicates: Vec<(KeySlot, Predicate)>,
    /// Classes of equal key columns; every member is in exactly one.
    classes: Vec<Vec<KeySlot>>,
    /// A key column of a subquery that equals one of the query around it.
    from_outer: Vec<(KeySlot, KeySlot)>,
}

impl Conjuncts {
    /// Learns from a condition that every row of its tables meets. `filters` is false
    /// inside the null-supplied side of an outer join: there only equalities between
    /// its own columns count.
    pub(crate) fn filter(
        &mut self,
        facts: &Facts,
        pieces: &Pieces<'_>,
        scope: usize,
        condition: &Expr,
        filters: bool,
    ) {
        let reader = Reader { facts, pieces, scope, place: Facts::key_index };
        for term in and_terms(condition) {
            if let Some((left, right)) = reader.equal_columns(term) {
                self.tie(facts, scope, left, right);
            } else if filters {
                self.predicates.extend(reader.predicates(term));
            }
        }
    }

    /// Learns from the ON of an outer join: it ties null-supplied tables to preserved
    /// ones, and all of them to the same class, so that it says nothing about preserved
    /// tables among themselves.
    pub(crate) fn outer(
        &mut self,
        facts: &Facts,
        pieces: &Pieces<'_>,
        scope: usize,
        condition: &Expr,
        preserved: &Range<usize>,
        supplied: &Range<usize>,
    ) {
        let reader = Reader { facts, pieces, scope, place: Facts::key_index };
        let mut ties = Vec::new();
        for term in and_terms(condition) {
            let Some((left, right)) = reader.equal_columns(term) else { continue };
            if preserved.contains(&left.instance) && supplied.contains(&right.instance) {
                ties.push((left, right));
            } else if preserved.contains(&right.instance) && supplied.contains(&left.instance) {
                ties.push((right, left));
            }
        }
        self.tie_outer(facts, &ties);
    }

    /// Learns from USING.
    pub(crate) fn using(
        &mut self,
        facts: &Facts,
        preserved: &Range<usize>,
        supplied: &Range<usize>,
        columns: &[ObjectName],
    ) {
        let mut ties = Vec::new();
        for column in columns {
            let Some(name) = column.0.last().and_then(|part| part.as_ident()) else { continue };
            let find = |range: &Range<usize>| {
                let mut found = range.clone().filter_map(|instance| {
                    let table = facts.instances.get(instance)?.table.as_ref()?;
                    let column = crate::bind::column_index(table, &name.value)?;
                    Some(BoundColumn { instance, column })
                });
                found.next().filter(|_| found.next().is_none())
            };
            if let (Some(left), Some(right)) = (find(preserved), find(supplied)) {
                ties.push((left, right));
            }
        }
        self.tie_outer(facts, &ties);
    }

    fn tie_outer(&mut self, facts: &Facts, ties: &[(BoundColumn, BoundColumn)]) {
        let mut roots: Vec<(usize, KeySlot)> = Vec::new();
        for &(preserved, supplied) in ties {
            let Some((preserved, supplied)) = key_slots(facts, preserved, supplied) else {
                continue;
            };
            let root = roots.iter().find(|(index, _)| *index == preserved.index);
            match root {
                Some((_, root)) if !self.same_class(*root, preserved) => continue,
                Some(_) => {}
                None => roots.push((preserved.index, preserved)),
            }
            self.join_classes(preserved, supplied);
        }
    }

    fn tie(&mut self, facts: &Facts, scope: usize, left: BoundColumn, right: BoundColumn) {
        let Some((left, right)) = key_slots(facts, left, right) else { return };
        let own = |slot: KeySlot| facts.instances[slot.instance].scope == scope;
        match (own(left), own(right)) {
            (true, true) => self.join_classes(left, right),
            (true, false) => self.from_outer.push((left, right)),
            (false, true) => self.from_outer.push((right, left)),
            (false, false) => {}
        }
    }

    fn class_of(&self, slot: KeySlot) -> Option<usize> {
        self.classes.iter().position(|class| class.contains(&slot))
    }

    fn join_classes(&mut self, left: KeySlot, right: KeySlot) {
        match (self.class_of(left), self.class_of(right)) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => {
                let (keep, lose) = (a.min(b), a.max(b));
                let members = self.classes.swap_remove(lose);
                self.classes[keep].extend(members);
            }
            (Some(a), None) => self.classes[a].push(right),
            (None, Some(b)) => self.classes[b].push(left),
            (None, None) => self.classes.push(vec![left, right]),
        }
    }

    /// Whether two key columns are known to be equal.
    pub(crate) fn same_class(&self, left: KeySlot, right: KeySlot) -> bool {
        left == right
            || self.class_of(left).is_some_and(|class| self.classes[class].contains(&right))
    }

    /// All that holds for one key column, also by way of columns that equal it.
    pub(crate) fn of(&self, slot: KeySlot) -> Vec<Predicate> {
        let mut reached = vec![slot];
        let mut next = 0;
        while let Some(&slot) = reached.get(next) {
            next += 1;
            let class = self.class_of(slot).map(|class| self.classes[class].as_slice());
            let outer = self.from_outer.iter().filter(|(inner, _)| *inner == slot).map(|(_, o)| *o);
            for other in class.unwrap_or_default().iter().copied().chain(outer) {
                if !reached.contains(&other) {
                    reached.push(other);
                }
            }
        }
        let held = self.predicates.iter().filter(|(slot, _)| reached.contains(slot));
        held.map(|(_, predicate)| predicate.clone()).collect()
    }
}

/// Both as key columns, when they have the same place in the key of one group.
fn key_slots(facts: &Facts, left: BoundColumn, right: BoundColumn) -> Option<(KeySlot, KeySlot)> {
    let slot = |bound: BoundColumn| {
        Some(KeySlot { instance: bound.instance, index: facts.key_index(bound)? })
    };
    let (left, right) = (slot(left)?, slot(right)?);
    let group = |slot: KeySlot| facts.instances[slot.instance].sharding().map(|s| s.group);
    (group(left) == group(right) && left.index == right.index && left != right)
        .then_some((left, right))
}

/// The terms of a condition that all must be true.
pub(crate) fn and_terms(condition: &Expr) -> Vec<&Expr> {
    flatten(condition, &BinaryOperator::And)
}

fn flatten<'e>(condition: &'e Expr, operator: &BinaryOperator) -> Vec<&'e Expr> {
    let mut terms = Vec::new();
    let mut open = vec![condition];
    while let Some(expr) = open.pop() {
        match expr {
            Expr::BinaryOp { left, op, right } if op == operator => {
                open.extend([right.as_ref(), left.as_ref()]);
            }
            Expr::Nested(inner) => open.push(inner),
            _ => terms.push(expr),
        }
    }
    terms
}

fn bare(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

/// What the condition of a statement on one table says about the columns of that table's
/// primary key.
pub(crate) fn of_primary_key(
    facts: &Facts,
    pieces: &Pieces<'_>,
    condition: &Expr,
) -> Vec<(KeySlot, Predicate)> {
    let reader = Reader { facts, pieces, scope: 0, place: Facts::primary_index };
    let terms = and_terms(condition).into_iter();
    terms.flat_map(|term| reader.predicates(term)).collect()
}

/// Reads terms in one scope.
struct Reader<'a> {
    facts: &'a Facts,
    pieces: &'a Pieces<'a>,
    scope: usize,
    /// The place of a column in the key that predicates are gathered for.
    place: fn(&Facts, BoundColumn) -> Option<usize>,
}

impl Reader<'_> {
    fn column(&self, expr: &Expr) -> Option<BoundColumn> {
        let parts = column_parts(bare(expr), self.pieces)?;
        self.facts.column(self.scope, &parts)
    }

    fn equal_columns(&self, term: &Expr) -> Option<(BoundColumn, BoundColumn)> {
        match term {
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
                Some((self.column(left)?, self.column(right)?))
            }
            _ => None,
        }
    }

    /// A key column of this scope's own tables.
    fn key(&self, expr: &Expr) -> Option<KeySlot> {
        let bound = self.column(expr)?;
        let own = self.facts.instances[bound.instance].scope == self.scope;
        let index = (self.place)(self.facts, bound)?;
        own.then_some(KeySlot { instance: bound.instance, index })
    }

    fn value(&self, expr: &Expr) -> Option<ValueRef> {
        value_ref(expr, self.pieces)
    }

    /// What a term says about key columns: one fact, or several for a row constructor.
    fn predicates(&self, term: &Expr) -> Vec<(KeySlot, Predicate)> {
        if let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = term
            && let (Expr::Tuple(left), Expr::Tuple(right)) = (bare(left), bare(right))
            && left.len() == right.len()
        {
            let pairs = left.iter().zip(right);
            return pairs.filter_map(|(l, r)| self.equality(l, r)).collect();
        }
        self.predicate(term).into_iter().collect()
    }

    fn equality(&self, left: &Expr, right: &Expr) -> Option<(KeySlot, Predicate)> {
        let (key, value) = match self.key(left) {
            Some(key) => (key, right),
            None => (self.key(right)?, left),
        };
        Some((key, Predicate::In(vec![self.value(value)?])))
    }

    fn predicate(&self, term: &Expr) -> Option<(KeySlot, Predicate)> {
        match term {
            Expr::BinaryOp { left, op, right } => self.binary(term, left, op, right),
            Expr::InList { expr, list, negated: false } if list.len() <= VALUES_MAX => {
                let values = list.iter().map(|value| self.value(value)).collect::<Option<_>>()?;
                Some((self.key(expr)?, Predicate::In(values)))
            }
            Expr::Between { expr, negated: false, low, high } => {
                let bound = |expr| Some(Bound { value: self.value(expr)?, inclusive: true });
                let range = Predicate::Range { low: Some(bound(low)?), high: Some(bound(high)?) };
                Some((self.key(expr)?, range))
            }
            _ => None,
        }
    }

    fn binary(
        &self,
        term: &Expr,
        left: &Expr,
        op: &BinaryOperator,
        right: &Expr,
    ) -> Option<(KeySlot, Predicate)> {
        match op {
            BinaryOperator::Eq => self.equality(left, right),
            // A null-supplied row can meet `<=> NULL`.
            BinaryOperator::Spaceship => self.equality(left, right).filter(|(_, predicate)| {
                matches!(predicate, Predicate::In(values)
                    if matches!(values[..], [ValueRef::Literal { .. } | ValueRef::Boolean(_)]))
            }),
            BinaryOperator::Or => self.either(term),
            BinaryOperator::Lt => self.comparison(left, right, false, false),
            BinaryOperator::LtEq => self.comparison(left, right, false, true),
            BinaryOperator::Gt => self.comparison(left, right, true, false),
            BinaryOperator::GtEq => self.comparison(left, right, true, true),
            _ => None,
        }
    }

    /// `left > right` (when `greater`) or `left < right`.
    fn comparison(
        &self,
        left: &Expr,
        right: &Expr,
        greater: bool,
        inclusive: bool,
    ) -> Option<(KeySlot, Predicate)> {
        let (key, value, low) = match self.key(left) {
            Some(key) => (key, right, greater),
            None => (self.key(right)?, left, !greater),
        };
        let bound = Some(Bound { value: self.value(value)?, inclusive });
        let (low, high) = if low { (bound, None) } else { (None, bound) };
        Some((key, Predicate::Range { low, high }))
    }

    /// `k = 1 OR k IN (2, 3)`.
    fn either(&self, term: &Expr) -> Option<(KeySlot, Predicate)> {
        let mut found: Option<KeySlot> = None;
        let mut all = Vec::new();
        for term in flatten(term, &BinaryOperator::Or) {
            if matches!(term, Expr::BinaryOp { op: BinaryOperator::Or, .. }) {
                return None;
            }
            let (key, Predicate::In(values)) = self.predicate(term)? else { return None };
            if *found.get_or_insert(key) != key || all.len() + values.len() > VALUES_MAX {
                return None;
            }
            all.extend(values);
        }
        Some((found?, Predicate::In(all)))
    }
}

/// A literal or parameter of the tree.
pub(crate) fn value_ref(expr: &Expr, pieces: &Pieces<'_>) -> Option<ValueRef> {
    let (expr, negative) = match bare(expr) {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => (bare(expr), true),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => (bare(expr), false),
        expr => (expr, false),
    };
    match expr {
        Expr::Value(value) => piece_value(pieces, piece_of(&value.span)?, negative),
        Expr::TypedString(typed) if !negative => {
            match piece_value(pieces, piece_of(&typed.value.span)?, false)? {
                ValueRef::Literal { ordinal, .. } => Some(ValueRef::Temporal { ordinal }),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The value that one piece is.
pub(crate) fn piece_value(pieces: &Pieces<'_>, index: usize, negative: bool) -> Option<ValueRef> {
    let piece = pieces.get(index)?;
    match piece.kind {
        TokenKind::Integer | TokenKind::Decimal | TokenKind::Float => {
            Some(ValueRef::Literal { ordinal: piece.ordinal, negative })
        }
        kind if kind.is_literal() && !negative => {
            Some(ValueRef::Literal { ordinal: piece.ordinal, negative })
        }
        TokenKind::Parameter => Some(ValueRef::Parameter { index: piece.ordinal, negative }),
        TokenKind::BackslashN => Some(ValueRef::Null),
        TokenKind::Word if pieces.is_word(index, "NULL") => Some(ValueRef::Null),
        TokenKind::Word if !negative && pieces.is_word(index, "TRUE") => {
            Some(ValueRef::Boolean(true))
        }
        TokenKind::Word if !negative && pieces.is_word(index, "FALSE") => {
            Some(ValueRef::Boolean(false))
        }
        _ => None,
    }
}
