//! The columns by which values are compared when rows are merged.

use super::{Builder, KeyTarget};
use crate::{
    bind::BoundColumn,
    plan::{ColumnRef, Refusal, SortColumn},
    planner::scatter::{
        item::{ItemKind, comparison, kind_of},
        weight::{Comparison, Weights, column_comparison},
    },
};

impl Builder<'_> {
    /// The column by which a target is compared. For `order`, an ENUM goes by its number.
    pub(super) fn sort_column(
        &mut self,
        target: &KeyTarget,
        order: bool,
    ) -> Result<Option<SortColumn>, Refusal> {
        let (text, compare, shown) = match target {
            KeyTarget::Nothing => return Ok(None),
            KeyTarget::Item(index) => {
                let item = &self.form.items[*index];
                let expr = item.expr.clone();
                if item.kind == ItemKind::Constant {
                    return Ok(None);
                }
                let compare = comparison(self.pieces, expr.clone(), &self.form.facts);
                (self.splicer.text(expr), compare, self.visible(*index))
            }
            KeyTarget::Expr(expr) => {
                if kind_of(self.pieces, expr.clone(), &self.form.facts) == ItemKind::Constant {
                    return Ok(None);
                }
                let compare = comparison(self.pieces, expr.clone(), &self.form.facts);
                (self.splicer.text(expr.clone()), compare, None)
            }
            KeyTarget::Column(bound) => {
                let (text, compare) = self.column_text(*bound);
                (text, compare, None)
            }
        };
        if let Some(number) = self.numbered(&text, &compare) {
            return Ok(Some(number));
        }
        if compare == Comparison::Enum && order {
            let number = self.hidden([b"(", text.as_slice(), b")+0"].concat());
            return Ok(Some(SortColumn { value: number, weight: None, pad: None }));
        }
        let value = match shown {
            Some(index) => ColumnRef::Visible(index),
            None => self.hidden(text.clone()),
        };
        self.weighted(value, &text, &compare).map(Some)
    }

    /// The number that a value is compared by, where its form does not show it.
    pub(super) fn numbered(&mut self, text: &[u8], compare: &Comparison) -> Option<SortColumn> {
        let Comparison::Number(suffix) = compare else { return None };
        let value = self.hidden([b"(", text, b")", suffix.as_bytes()].concat());
        Some(SortColumn { value, weight: None, pad: None })
    }

    fn column_text(&self, bound: BoundColumn) -> (Vec<u8>, Comparison) {
        let facts = &self.form.facts;
        let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
        let instance = &facts.instances[bound.instance];
        let column = facts.definition(bound).map(|column| column.name.as_str()).unwrap_or_default();
        let text = format!("{}.{}", quoted(&instance.name), quoted(column)).into_bytes();
        let kind = facts.definition(bound).map(column_comparison);
        (text, kind.unwrap_or(Comparison::Unknown))
    }

    /// A value with the hidden weights that it is compared by.
    pub(super) fn weighted(
        &mut self,
        value: ColumnRef,
        text: &[u8],
        compare: &Comparison,
    ) -> Result<SortColumn, Refusal> {
        let Weights { weight, pad } = Weights::of(text, compare, &self.form.facts)?;
        let weight = weight.map(|weight| self.hidden(weight));
        let pad = pad.map(|pad| self.hidden(pad));
        Ok(SortColumn { value, weight, pad })
    }
}
