//! Conditions that can be checked where a table's rows are: top terms of WHERE that speak of one
//! reference alone, in a small grammar of which the tree's shape is sure. A row that does not
//! meet them cannot matter to that reference, unless an outer join would replace it by NULLs.

use crate::{
    bind::{BoundColumn, Facts, column_parts},
    conjunct::{ValueRef, and_terms, value_ref},
    parse::Pieces,
};
use sqlparser::ast::{
    BinaryOperator, DataType, DateTimeField, Expr, Select, Statement, TimezoneInfo, Visit, Visitor,
};
use std::ops::ControlFlow;

/// Deepest nesting of a condition.
const DEPTH_MAX: usize = 16;
/// Most values of one list.
const VALUES_MAX: usize = 256;

/// A condition on one table, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Filter {
    /// By its index in the table.
    Column(usize),
    Value(ValueRef),
    /// `DATE '..'` with its word.
    Typed(&'static str, u32),
    /// `INTERVAL value unit`.
    Interval(Box<Filter>, &'static str),
    /// In parentheses, with the operator between.
    Pair(Box<Filter>, &'static str, Box<Filter>),
    Between {
        negated: bool,
        of: Box<[Filter; 3]>,
    },
    In {
        negated: bool,
        of: Box<Filter>,
        list: Vec<Filter>,
    },
    IsNull {
        negated: bool,
        of: Box<Filter>,
    },
}

/// Finds them.
pub(super) struct Finder<'a> {
    facts: &'a Facts,
    pieces: &'a Pieces<'a>,
    /// The scope of the next SELECT: they are numbered in the order in which they are visited.
    next: usize,
    found: Vec<Vec<Filter>>,
}

impl<'a> Finder<'a> {
    /// Those of each table reference.
    pub(super) fn find(
        statement: &Statement,
        facts: &'a Facts,
        pieces: &'a Pieces<'a>,
    ) -> Vec<Vec<Filter>> {
        let found = facts.instances.iter().map(|_| Vec::new()).collect();
        let mut finder = Self { facts, pieces, next: 0, found };
        // A write has the first scope for itself.
        let selection = match statement {
            Statement::Update(update) => Some(&update.selection),
            Statement::Delete(delete) => Some(&delete.selection),
            Statement::Insert(_) => Some(&None),
            _ => None,
        };
        if let Some(selection) = selection {
            finder.next = 1;
            selection.iter().for_each(|condition| finder.look_through(condition, 0));
        }
        // It never breaks off.
        let _ = statement.visit(&mut finder);
        finder.found
    }
}

impl Visitor for Finder<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let scope = self.next;
        self.next += 1;
        select.selection.iter().for_each(|condition| self.look_through(condition, scope));
        ControlFlow::Continue(())
    }
}

impl Finder<'_> {
    /// Looks through the condition of a scope's rows.
    fn look_through(&mut self, condition: &Expr, scope: usize) {
        for term in and_terms(condition) {
            let mut reader =
                Reader { facts: self.facts, pieces: self.pieces, scope, instance: None };
            let Some(filter) = reader.condition(term, 0) else { continue };
            let Some(instance) = reader.instance else { continue };
            let supplied = self.facts.outer_joins.iter().any(|(_, s)| s.contains(&instance));
            if !supplied && let Some(filters) = self.found.get_mut(instance) {
                filters.push(filter);
            }
        }
    }
}

/// Reads one term.
struct Reader<'a> {
    facts: &'a Facts,
    pieces: &'a Pieces<'a>,
    scope: usize,
    /// The one reference that it speaks of.
    instance: Option<usize>,
}

fn bare(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

impl Reader<'_> {
    fn condition(&mut self, expr: &Expr, depth: usize) -> Option<Filter> {
        if depth > DEPTH_MAX {
            return None;
        }
        match bare(expr) {
            Expr::BinaryOp { left, op, right } => {
                let logical = match op {
                    BinaryOperator::And => Some("AND"),
                    BinaryOperator::Or => Some("OR"),
                    _ => None,
                };
                if let Some(word) = logical {
                    let left = self.condition(left, depth + 1)?;
                    let right = self.condition(right, depth + 1)?;
                    return Some(Filter::Pair(Box::new(left), word, Box::new(right)));
                }
                let sign = match op {
                    BinaryOperator::Eq => "=",
                    BinaryOperator::NotEq => "<>",
                    BinaryOperator::Lt => "<",
                    BinaryOperator::LtEq => "<=",
                    BinaryOperator::Gt => ">",
                    BinaryOperator::GtEq => ">=",
                    BinaryOperator::Spaceship => "<=>",
                    _ => return None,
                };
                let left = self.operand(left, depth + 1)?;
                let right = self.operand(right, depth + 1)?;
                Some(Filter::Pair(Box::new(left), sign, Box::new(right)))
            }
            Expr::Between { expr, negated, low, high } => {
                let mut operand = |expr| self.operand(expr, depth + 1);
                let of = [operand(expr)?, operand(low)?, operand(high)?];
                Some(Filter::Between { negated: *negated, of: Box::new(of) })
            }
            Expr::InList { expr, list, negated } if list.len() <= VALUES_MAX => {
                let of = Box::new(self.operand(expr, depth + 1)?);
                let list = list.iter().map(|value| self.operand(value, depth + 1));
                let list = list.collect::<Option<Vec<_>>>()?;
                Some(Filter::In { negated: *negated, of, list })
            }
            Expr::IsNull(of) => {
                let of = Box::new(self.column(of)?);
                Some(Filter::IsNull { negated: false, of })
            }
            Expr::IsNotNull(of) => {
                let of = Box::new(self.column(of)?);
                Some(Filter::IsNull { negated: true, of })
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
                let (left, right) = (self.column(expr)?, self.value(pattern)?);
                let word = if *negated { "NOT LIKE" } else { "LIKE" };
                Some(Filter::Pair(Box::new(left), word, Box::new(right)))
            }
            _ => None,
        }
    }

    fn operand(&mut self, expr: &Expr, depth: usize) -> Option<Filter> {
        if depth > DEPTH_MAX {
            return None;
        }
        if let Some(value) = self.value(expr) {
            return Some(value);
        }
        match bare(expr) {
            Expr::BinaryOp { left, op, right } => {
                let sign = match op {
                    BinaryOperator::Plus => "+",
                    BinaryOperator::Minus => "-",
                    BinaryOperator::Multiply => "*",
                    _ => return None,
                };
                let left = self.operand(left, depth + 1)?;
                let right = match (sign, bare(right)) {
                    ("+" | "-", Expr::Interval(interval)) => {
                        let plain = interval.leading_precision.is_none()
                            && interval.last_field.is_none()
                            && interval.fractional_seconds_precision.is_none();
                        let unit = interval.leading_field.as_ref().and_then(unit)?;
                        let value = self.value(&interval.value).filter(|_| plain)?;
                        Filter::Interval(Box::new(value), unit)
                    }
                    _ => self.operand(right, depth + 1)?,
                };
                Some(Filter::Pair(Box::new(left), sign, Box::new(right)))
            }
            _ => self.column(expr),
        }
    }

    /// A column of the scope's own tables.
    fn column(&mut self, expr: &Expr) -> Option<Filter> {
        let parts = column_parts(bare(expr), self.pieces)?;
        let BoundColumn { instance, column } = self.facts.column(self.scope, &parts)?;
        let own = self.facts.instances.get(instance)?.scope == self.scope;
        let same = *self.instance.get_or_insert(instance) == instance;
        (own && same).then_some(Filter::Column(column))
    }

    fn value(&self, expr: &Expr) -> Option<Filter> {
        if let Expr::TypedString(typed) = bare(expr) {
            let word = match &typed.data_type {
                DataType::Date => "DATE",
                DataType::Time(None, TimezoneInfo::None) => "TIME",
                DataType::Timestamp(None, TimezoneInfo::None) => "TIMESTAMP",
                _ => return None,
            };
            return match value_ref(expr, self.pieces)? {
                ValueRef::Temporal { ordinal } => Some(Filter::Typed(word, ordinal)),
                ValueRef::Null
                | ValueRef::Boolean(_)
                | ValueRef::Literal { .. }
                | ValueRef::Parameter { .. } => None,
            };
        }
        value_ref(expr, self.pieces).map(Filter::Value)
    }
}

fn unit(field: &DateTimeField) -> Option<&'static str> {
    Some(match field {
        DateTimeField::Year => "YEAR",
        DateTimeField::Month => "MONTH",
        DateTimeField::Day => "DAY",
        DateTimeField::Hour => "HOUR",
        DateTimeField::Minute => "MINUTE",
        DateTimeField::Second => "SECOND",
        _ => return None,
    })
}
