//! Random writes of one table, with values that mostly fit.

use crate::{
    across,
    answer::Statement,
    expression::{Maker, Piece, Source},
    random::Random,
    table::{Class, Table},
    value::Lit,
};
use mysql_async::Value;

/// Makes writes. `n` of new rows is never used twice.
pub(crate) struct Changes {
    next: i64,
}

/// Of one statement.
struct Text {
    piece: Piece,
    prepared: bool,
}

impl Text {
    fn literal(&mut self, lit: &Lit) {
        match &lit.param {
            Some(value) if self.prepared => {
                self.piece.sql.push('?');
                self.piece.params.push(value.clone());
            }
            _ => self.piece.sql.push_str(&lit.text),
        }
    }

    fn statement(self) -> Statement {
        let params: Vec<Value> = self.piece.params;
        let prepared = self.prepared;
        let text = Statement::text(self.piece.sql);
        Statement { params: prepared.then_some(params), ..text }
    }
}

impl Changes {
    /// `next`: the first `n` that no row has.
    pub(crate) fn new(next: i64) -> Self {
        Self { next }
    }

    /// A write on one of the tables.
    pub(crate) fn change(&mut self, random: &mut Random, tables: &[Table]) -> Statement {
        let table = &tables[random.below(tables.len())];
        match random.below(44) {
            30.. => across::change(random, tables, &mut self.next),
            0..=8 => self.insert(random, table),
            9..=15 => self.insert_again(random, table),
            16..=17 => self.misfit(random, table),
            18..=24 => update(random, table, false),
            25..=28 => delete(random, table, false),
            _ if random.percent(10) => Statement::text(format!("TRUNCATE TABLE {}", table.name)),
            _ => delete(random, table, true),
        }
    }

    /// A write on one of the tables that a transaction may undo.
    pub(crate) fn undoable(&mut self, random: &mut Random, tables: &[Table]) -> Statement {
        loop {
            let statement = self.change(random, tables);
            if !statement.sql.starts_with(b"TRUNCATE") {
                return statement;
            }
        }
    }

    /// Writes that meet one shard only, for a transaction: all on one key.
    pub(crate) fn on_key(&mut self, random: &mut Random, table: &Table) -> Vec<Statement> {
        let key = table.columns[0].kind.value(random);
        let mut statements = Vec::new();
        for _ in 0..random.between(1, 3) {
            let mut text = Text { piece: Piece::default(), prepared: random.percent(30) };
            match random.below(3) {
                0 => {
                    let mut row = table.row(random, self.take());
                    row[0] = key.clone();
                    text.piece.push(&format!("INSERT INTO {} VALUES ", table.name));
                    push_row(&mut text, &row);
                }
                1 => {
                    text.piece.push(&format!("DELETE FROM {} WHERE k = ", table.name));
                    text.literal(&key);
                    text.piece.push(&format!(" AND n % 3 = {}", random.below(3)));
                }
                _ => {
                    text.piece.push(&format!("UPDATE {} SET ", table.name));
                    assignments(random, table, &mut text);
                    text.piece.push(" WHERE k = ");
                    text.literal(&key);
                }
            }
            statements.push(text.statement());
            let mut check = Statement::text(format!("SELECT * FROM {} WHERE k = ", table.name));
            check.sql.extend_from_slice(key.text.as_bytes());
            check.strict = false;
            statements.push(check);
        }
        statements
    }

    fn take(&mut self) -> i64 {
        self.next += 1;
        self.next
    }

    /// INSERT of rows that are new, in all its forms.
    fn insert(&mut self, random: &mut Random, table: &Table) -> Statement {
        let mut text = Text { piece: Piece::default(), prepared: random.percent(40) };
        let word = random.of(&[
            "INSERT INTO",
            "INSERT",
            "REPLACE INTO",
            "insert into",
            "INSERT IGNORE INTO",
        ]);
        text.piece.push(&format!("{word} {} ", table.name));
        let listed: Vec<usize> = match random.below(3) {
            0 => (0..table.columns.len()).collect(),
            _ => {
                let wanted = |i: &usize| !table.columns[*i].nullable || i.is_multiple_of(2);
                let mut listed: Vec<usize> = (0..table.columns.len()).filter(wanted).collect();
                if random.percent(50) {
                    listed.reverse();
                }
                listed
            }
        };
        let names: Vec<String> = listed
            .iter()
            .map(|i| match random.below(6) {
                0 => format!("`{}`", table.columns[*i].name),
                1 => table.columns[*i].name.to_uppercase(),
                _ => table.columns[*i].name.clone(),
            })
            .collect();
        if random.percent(15) {
            let row = table.row(random, self.take());
            text.piece.push("SET ");
            for (number, (index, name)) in listed.iter().zip(&names).enumerate() {
                text.piece.push(&format!("{}{name} = ", if number > 0 { ", " } else { "" }));
                text.literal(&row[*index]);
            }
            return text.statement();
        }
        let all = listed.len() == table.columns.len() && listed[0] == 0;
        if !all || random.percent(50) {
            text.piece.push(&format!("({}) ", names.join(", ")));
        }
        text.piece.push(random.of(&["VALUES ", "VALUES ", "VALUE "]));
        for number in 0..random.between(1, 6) {
            if number > 0 {
                text.piece.push(", ");
            }
            let row = table.row(random, self.take());
            let mut shown = Vec::new();
            for index in &listed {
                let default = table.columns[*index].nullable && random.percent(10);
                shown.push(if default { Lit::raw("DEFAULT") } else { row[*index].clone() });
            }
            push_row(&mut text, &shown);
        }
        text.statement()
    }

    /// INSERT of rows that may be there already.
    fn insert_again(&mut self, random: &mut Random, table: &Table) -> Statement {
        let mut text = Text { piece: Piece::default(), prepared: random.percent(40) };
        let form = random.below(4);
        let word = ["INSERT INTO", "REPLACE INTO", "INSERT IGNORE INTO", "INSERT INTO"][form];
        text.piece.push(&format!("{word} {} VALUES ", table.name));
        for number in 0..random.between(1, 6) {
            if number > 0 {
                text.piece.push(", ");
            }
            let n = random.between(0, 40);
            push_row(&mut text, &table.row(random, n));
        }
        if form == 3 {
            text.piece.push(" ON DUPLICATE KEY UPDATE ");
            let columns = &table.columns[2..];
            let column = &columns[random.below(columns.len())];
            if random.percent(60) {
                text.piece.push(&format!("{0} = VALUES({0})", column.name));
            } else {
                text.piece.push(&format!("{} = ", column.name));
                text.literal(&column.kind.value(random));
            }
        }
        text.statement()
    }

    /// INSERT of which one value does not fit its column: what becomes of it is up to the mode.
    fn misfit(&mut self, random: &mut Random, table: &Table) -> Statement {
        let mut text = Text { piece: Piece::default(), prepared: false };
        let word = random.of(&["INSERT INTO", "REPLACE INTO", "INSERT IGNORE INTO"]);
        text.piece.push(&format!("{word} {} VALUES ", table.name));
        let rows = random.below(4) + 1;
        let wrong = random.below(rows);
        let column = 2 + random.below(table.columns.len() - 2);
        for number in 0..rows {
            if number > 0 {
                text.piece.push(", ");
            }
            let mut row = table.row(random, self.take());
            if number == wrong {
                row[column] = Lit::raw(random.of(&[
                    "NULL",
                    "'a text that is far longer than any column of these tables may hold'",
                    "99999999999999999999",
                    "'x'",
                    "-1",
                    "'2024-02-31'",
                    "1.005",
                ]));
            }
            push_row(&mut text, &row);
        }
        text.statement()
    }
}

fn push_row(text: &mut Text, row: &[Lit]) {
    text.piece.push("(");
    for (number, lit) in row.iter().enumerate() {
        if number > 0 {
            text.piece.push(", ");
        }
        text.literal(lit);
    }
    text.piece.push(")");
}

fn assignments(random: &mut Random, table: &Table, text: &mut Text) {
    let columns = &table.columns[2..];
    for number in 0..random.between(1, 2) {
        if number > 0 {
            text.piece.push(", ");
        }
        let column = &columns[random.below(columns.len())];
        let name = &column.name;
        match random.below(5) {
            0 if column.nullable => text.piece.push(&format!("{name} = NULL")),
            1 if column.kind.class() == Class::Int => {
                text.piece.push(&format!("{name} = (n + COALESCE({name}, 1)) % 7"));
            }
            2 => {
                text.piece.push(&format!("{name} = COALESCE({name}, "));
                text.literal(&column.kind.value(random));
                text.piece.push(")");
            }
            _ => {
                text.piece.push(&format!("{name} = "));
                text.literal(&column.kind.value(random));
            }
        }
    }
}

/// A condition without conversions that strict modes refuse.
fn condition(random: &mut Random, table: &Table, prepared: bool) -> Piece {
    let sources = vec![Source { alias: None, table }];
    let mut maker = Maker { random, sources, prepared, odd: false };
    let mut piece = Piece::text(" WHERE ");
    if maker.random.percent(55) {
        let key = maker.key_condition();
        piece.add(key);
        piece.push(" AND ");
    }
    let more = maker.condition(1);
    piece.add(more);
    piece
}

fn update(random: &mut Random, table: &Table, prepared: bool) -> Statement {
    let prepared = prepared || random.percent(40);
    let mut text = Text { piece: Piece::default(), prepared };
    text.piece.push(&format!("UPDATE {} SET ", table.name));
    assignments(random, table, &mut text);
    text.piece.add(condition(random, table, prepared));
    text.statement()
}

/// `keyed`: of one key, in an order, with a limit.
fn delete(random: &mut Random, table: &Table, keyed: bool) -> Statement {
    let prepared = random.percent(40);
    let mut text = Text { piece: Piece::default(), prepared };
    if keyed {
        let key = table.columns[0].kind.value(random);
        text.piece.push(&format!("DELETE FROM {} WHERE k = ", table.name));
        text.literal(&key);
        text.piece.push(" ORDER BY n DESC LIMIT 2");
        return text.statement();
    }
    text.piece.push(&format!("DELETE FROM {}", table.name));
    text.piece.add(condition(random, table, prepared));
    let part = random.below(4);
    text.piece.push(&format!(" AND n % 4 = {part}"));
    text.statement()
}
