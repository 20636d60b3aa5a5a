//! The text of a condition, with the values of one execution. It names the table's columns
//! alone, since it stands in a query of nothing else.

use super::filter::Filter;
use crate::{conjunct::ValueRef, route::Values, splice::write_literal};
use shardline_model::{catalog::Table, predicate::quote_identifier};

impl Filter {
    /// None when a value is not there.
    pub(super) fn sql(&self, table: &Table, values: &Values<'_>) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        self.write(table, values, &mut text)?;
        Some(text)
    }

    fn write(&self, table: &Table, values: &Values<'_>, text: &mut Vec<u8>) -> Option<()> {
        let not = |negated: &bool| if *negated { " NOT" } else { "" };
        match self {
            Self::Column(index) => {
                let name = &table.columns.get(*index)?.name;
                text.extend_from_slice(quote_identifier(name).as_bytes());
            }
            Self::Value(value) => write_value(*value, values, text)?,
            Self::Typed(word, ordinal) => {
                text.extend_from_slice(word.as_bytes());
                write_value(
                    ValueRef::Literal { ordinal: *ordinal, negative: false },
                    values,
                    text,
                )?;
            }
            Self::Interval(value, unit) => {
                text.extend_from_slice(b"INTERVAL ");
                value.write(table, values, text)?;
                text.extend_from_slice(format!(" {unit}").as_bytes());
            }
            Self::Pair(left, operator, right) => {
                text.push(b'(');
                left.write(table, values, text)?;
                text.extend_from_slice(format!(" {operator} ").as_bytes());
                right.write(table, values, text)?;
                text.push(b')');
            }
            Self::Between { negated, of } => {
                let [value, low, high] = of.as_ref();
                text.push(b'(');
                value.write(table, values, text)?;
                text.extend_from_slice(format!("{} BETWEEN ", not(negated)).as_bytes());
                low.write(table, values, text)?;
                text.extend_from_slice(b" AND ");
                high.write(table, values, text)?;
                text.push(b')');
            }
            Self::In { negated, of, list } => {
                text.push(b'(');
                of.write(table, values, text)?;
                text.extend_from_slice(format!("{} IN (", not(negated)).as_bytes());
                for (number, value) in list.iter().enumerate() {
                    text.extend_from_slice(if number > 0 { b"," } else { b"" });
                    value.write(table, values, text)?;
                }
                text.extend_from_slice(b"))");
            }
            Self::IsNull { negated, of } => {
                text.push(b'(');
                of.write(table, values, text)?;
                text.extend_from_slice(format!(" IS{} NULL)", not(negated)).as_bytes());
            }
        }
        Some(())
    }
}

/// A literal as the client wrote it, or a parameter's value.
fn write_value(value: ValueRef, values: &Values<'_>, text: &mut Vec<u8>) -> Option<()> {
    let (negative, bytes) = match value {
        ValueRef::Null => (false, b"NULL".to_vec()),
        ValueRef::Boolean(true) => (false, b"TRUE".to_vec()),
        ValueRef::Boolean(false) => (false, b"FALSE".to_vec()),
        ValueRef::Literal { ordinal, negative } => {
            let literal = values.literals.get(ordinal as usize)?;
            (negative, literal.span.of(values.sql).to_vec())
        }
        ValueRef::Temporal { .. } => return None,
        ValueRef::Parameter { index, negative } => {
            let mut bytes = Vec::new();
            let no_escapes = values.mode.no_backslash_escapes;
            write_literal(values.params.get(index as usize)?, no_escapes, &mut bytes);
            (negative, bytes)
        }
    };
    if negative {
        text.extend_from_slice(b"(- ");
        text.extend_from_slice(&bytes);
        text.push(b')');
    } else {
        text.extend_from_slice(&bytes);
    }
    Some(())
}
