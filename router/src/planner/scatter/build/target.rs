//! What the keys of ORDER BY and GROUP BY stand for: a select item, a column behind a star,
//! or an expression of their own.

use super::{Builder, KeyTarget, refuse};
use crate::{
    bind::BoundColumn,
    lexer::TokenKind,
    plan::Refusal,
    planner::scatter::item::{Item, ItemKind, column_at, same},
};
use std::ops::Range;

impl Builder<'_> {
    /// What a key of ORDER BY (`order`) or GROUP BY stands for.
    pub(super) fn target(&self, expr: Range<usize>, order: bool) -> Result<KeyTarget, Refusal> {
        let (pieces, facts) = (self.pieces, &self.form.facts);
        if expr.len() == 1 {
            match pieces.kind(expr.start) {
                Some(TokenKind::Integer) => return self.position(expr.start),
                Some(TokenKind::Parameter) => {
                    return refuse(
                        "a parameter as a key of ORDER BY or GROUP BY is a constant",
                        "write the column's name or its position in the text",
                    );
                }
                _ if pieces.is_word(expr.start, "NULL") => return Ok(KeyTarget::Nothing),
                _ => {}
            }
            if let Some(name) = pieces.identifier(expr.start) {
                let column = column_at(pieces, expr.clone(), facts);
                // In GROUP BY a column hides an alias; in ORDER BY it is the other way round.
                if order || column.is_none() {
                    let named = |item: &Item| {
                        item.name(facts).is_some_and(|n| n.to_lowercase() == name.to_lowercase())
                    };
                    if let Some(index) = self.form.items.iter().position(named) {
                        return Ok(KeyTarget::Item(index));
                    }
                }
            }
        }
        let equal = |item: &Item| {
            !matches!(item.kind, ItemKind::Star(_))
                && same(pieces, item.expr.clone(), expr.clone(), facts)
        };
        if let Some(index) = self.form.items.iter().position(equal) {
            return Ok(KeyTarget::Item(index));
        }
        if let Some(bound) = column_at(pieces, expr.clone(), facts) {
            let starred = |item: &Item| matches!(&item.kind, ItemKind::Star(of) if of.contains(&bound.instance));
            if self.form.items.iter().any(starred) {
                return Ok(KeyTarget::Column(bound));
            }
        }
        self.check_aliases(expr.clone(), order)?;
        Ok(KeyTarget::Expr(expr))
    }

    /// A select list cannot refer to its own aliases, so hidden columns cannot either.
    fn check_aliases(&self, expr: Range<usize>, order: bool) -> Result<(), Refusal> {
        let facts = &self.form.facts;
        let aliased = |index: usize| {
            let qualified = index > 0 && self.pieces.is(index - 1, TokenKind::Dot);
            let called = self.pieces.is(index + 1, TokenKind::LeftParen);
            let name = self.pieces.identifier(index).filter(|_| !qualified && !called)?;
            let named = |item: &&Item| {
                item.alias.as_ref().is_some_and(|a| a.to_lowercase() == name.to_lowercase())
            };
            let item = self.form.items.iter().find(named)?;
            let column = column_at(self.pieces, index..index + 1, facts);
            let same = matches!((column, &item.kind), (Some(a), ItemKind::Column(b)) if a == *b);
            // GROUP BY takes the column, as a hidden column does.
            let hidden = column.is_some() && !order;
            (!same && !hidden).then(|| name.into_owned())
        };
        if let Some(alias) = expr.into_iter().find_map(aliased) {
            return Err(Refusal::not_supported(
                format!(
                    "an ORDER BY or GROUP BY expression uses the alias '{alias}' over several shards"
                ),
                "write the expression that the alias stands for",
            ));
        }
        Ok(())
    }

    fn position(&self, index: usize) -> Result<KeyTarget, Refusal> {
        let text = std::str::from_utf8(self.pieces.text(index)).unwrap_or_default();
        let position = text.parse::<usize>().ok().and_then(|position| position.checked_sub(1));
        let unknown = || {
            Err(Refusal {
                code: 1054,
                reason: format!("Unknown column '{text}' in 'order clause'"),
                hint: "positions count the select list's columns from 1".into(),
            })
        };
        let Some(mut left) = position else { return unknown() };
        for (number, item) in self.form.items.iter().enumerate() {
            match &item.kind {
                ItemKind::Star(of) => {
                    let [instance] = of.as_slice() else {
                        return refuse(
                            "a position behind the * of a join is not supported over several shards",
                            "write the column's name",
                        );
                    };
                    let shown = self.shown_columns(*instance);
                    if let Some(&column) = shown.get(left) {
                        return Ok(KeyTarget::Column(BoundColumn { instance: *instance, column }));
                    }
                    left -= shown.len();
                }
                _ if left == 0 => return Ok(KeyTarget::Item(number)),
                _ => left -= 1,
            }
        }
        unknown()
    }
}
