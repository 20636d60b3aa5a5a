//! Random changes whose rows come from several shards together: INSERT by a query, UPDATE and DELETE by
//! other tables, with an order and a limit, of shard keys, of several tables, with RETURNING.

use crate::{
    answer::Statement,
    expression::{Maker, Piece, Source},
    random::Random,
    table::{Class, Column, Place, Table},
};

/// Rows of the tables that were there from the beginning have smaller numbers.
const FIRST_ROWS: i64 = 60;

/// A statement being written.
struct Across<'a> {
    maker: Maker<'a>,
    tables: &'a [Table],
    text: Piece,
}

/// A random change; `next` numbers rows that are new.
pub(crate) fn change(random: &mut Random, tables: &[Table], next: &mut i64) -> Statement {
    let prepared = random.percent(30);
    let maker = Maker { random, sources: Vec::new(), prepared, odd: false };
    let mut across = Across { maker, tables, text: Piece::default() };
    let mut ordered = false;
    match across.maker.random.below(20) {
        0..=5 => across.insert_rows(next),
        6 => across.insert_values(next),
        7 => ordered = across.insert_returning(next),
        8 | 9 => across.update_limited(),
        10 | 11 => across.update_by_query(),
        12 => across.update_joined(),
        13 => across.update_two(),
        14 | 15 => across.move_rows(),
        16 => across.delete_limited(),
        17 => across.delete_joined(),
        18 => across.delete_returning(),
        _ => across.delete_by_query(),
    }
    let Piece { sql, params } = across.text;
    Statement {
        sql: sql.into_bytes(),
        params: prepared.then_some(params),
        ordered,
        representative: Vec::new(),
        strict: true,
        own_ids: false,
    }
}

impl<'a> Across<'a> {
    fn table(&mut self) -> &'a Table {
        &self.tables[self.maker.random.below(self.tables.len())]
    }

    fn sharded(&mut self) -> &'a Table {
        loop {
            let table = self.table();
            if table.place == Place::Sharded {
                return table;
            }
        }
    }

    /// A condition on one table, named by an alias or not.
    fn condition(&mut self, alias: Option<&'static str>, table: &'a Table) {
        self.maker.sources = vec![Source { alias, table }];
        if self.maker.random.percent(30) {
            let key = self.maker.key_condition();
            self.text.add(key);
            self.text.push(" AND ");
        }
        let condition = self.maker.condition(1);
        self.text.add(condition);
    }

    fn literal(&mut self, column: &Column) {
        let lit = column.kind.value(self.maker.random);
        let piece = self.maker.literal(lit);
        self.text.add(piece);
    }

    /// A column beside the keys.
    fn plain(&mut self, table: &'a Table) -> &'a Column {
        &table.columns[2 + self.maker.random.below(table.columns.len() - 2)]
    }

    /// INSERT, REPLACE, IGNORE or ON DUPLICATE KEY UPDATE of the rows of a query.
    fn insert_rows(&mut self, next: &mut i64) {
        let (target, source) = (self.table(), self.table());
        let form = self.maker.random.below(5);
        let word = ["INSERT INTO", "INSERT", "REPLACE INTO", "INSERT IGNORE INTO", "INSERT INTO"];
        // Rows that are there already are met where the number is kept.
        let fresh = form == 0 || self.maker.random.percent(40);
        let number = if fresh { format!("s.n + {next}") } else { "s.n".to_owned() };
        let names: Vec<&str> = target.columns.iter().map(|column| column.name.as_str()).collect();
        self.text.push(&format!("{} {} ({}) SELECT ", word[form], target.name, names.join(", ")));
        for (index, column) in target.columns.iter().enumerate() {
            self.text.push(if index > 0 { ", " } else { "" });
            let alike: Vec<&Column> =
                source.columns.iter().filter(|one| one.kind == column.kind).collect();
            match index {
                1 => self.text.push(&number),
                _ if alike.is_empty() || (index > 1 && self.maker.random.percent(15)) => {
                    self.literal(column);
                }
                0 if alike[0].name == "k" => self.text.push("s.k"),
                _ => {
                    let from = alike[self.maker.random.below(alike.len())];
                    let plain = column.nullable || !from.nullable;
                    if plain {
                        self.text.push(&format!("s.{}", from.name));
                    } else {
                        self.text.push(&format!("COALESCE(s.{}, ", from.name));
                        self.literal(column);
                        self.text.push(")");
                    }
                }
            }
        }
        self.text.push(&format!(" FROM {} s WHERE s.n < {FIRST_ROWS} AND ", source.name));
        self.condition(Some("s"), source);
        self.text.push(" ORDER BY s.k, s.n");
        if self.maker.random.percent(25) {
            self.text.push(" LIMIT 9");
        }
        if form == 4 {
            let column = self.plain(target);
            self.text.push(&format!(" ON DUPLICATE KEY UPDATE {0} = VALUES({0})", column.name));
        }
        *next += FIRST_ROWS;
    }

    /// Keys that are expressions and values that are queries.
    fn insert_values(&mut self, next: &mut i64) {
        let (target, source) = (self.sharded(), self.table());
        let mut rows = Vec::new();
        for _ in 0..self.maker.random.between(1, 4) {
            *next += 1;
            rows.push(target.row(self.maker.random, *next));
        }
        self.text.push(&format!("INSERT INTO {} VALUES ", target.name));
        for (place, row) in rows.into_iter().enumerate() {
            self.text.push(if place > 0 { ", (" } else { "(" });
            for (index, lit) in row.into_iter().enumerate() {
                self.text.push(if index > 0 { ", " } else { "" });
                let class = target.columns[index].kind.class();
                if index == 0 && class != Class::Bytes && self.maker.random.percent(50) {
                    self.text.push(&format!("COALESCE(NULL, {})", lit.text));
                } else if index > 1 && class == Class::Int && self.maker.random.percent(50) {
                    self.text.push(&format!("(SELECT COUNT(*) % 50 FROM {})", source.name));
                } else {
                    let piece = self.maker.literal(lit);
                    self.text.add(piece);
                }
            }
            self.text.push(")");
        }
    }

    fn insert_returning(&mut self, next: &mut i64) -> bool {
        let target = self.table();
        self.text.push(&format!("INSERT INTO {} VALUES ", target.name));
        for place in 0..self.maker.random.between(1, 4) {
            *next += 1;
            let row = target.row(self.maker.random, *next);
            self.text.push(if place > 0 { ", (" } else { "(" });
            for (index, lit) in row.into_iter().enumerate() {
                self.text.push(if index > 0 { ", " } else { "" });
                let piece = self.maker.literal(lit);
                self.text.add(piece);
            }
            self.text.push(")");
        }
        self.text.push(" RETURNING k, n");
        true
    }

    fn assignment(&mut self, table: &'a Table) {
        let column = self.plain(table);
        self.text.push(&format!("{} = ", column.name));
        match column.nullable && self.maker.random.percent(20) {
            true => self.text.push("NULL"),
            false => self.literal(column),
        }
    }

    fn limit(&mut self) {
        let order = self.maker.random.of(&["k, n", "n, k", "n DESC, k DESC"]);
        let limit = self.maker.random.between(1, 9);
        self.text.push(&format!(" ORDER BY {order} LIMIT {limit}"));
    }

    fn update_limited(&mut self) {
        let table = self.table();
        self.text.push(&format!("UPDATE {} SET ", table.name));
        self.assignment(table);
        self.text.push(" WHERE ");
        self.condition(None, table);
        self.limit();
    }

    fn update_by_query(&mut self) {
        let (table, other) = (self.table(), self.table());
        self.text.push(&format!("UPDATE {} t SET t.", table.name));
        let number = table.columns.iter().skip(2).find(|column| column.kind.class() == Class::Int);
        match number {
            Some(column) if self.maker.random.percent(50) && other.name != table.name => {
                self.text.push(&format!(
                    "{} = (SELECT COUNT(*) % 100 FROM {} o WHERE o.n <= t.n)",
                    column.name, other.name
                ));
            }
            _ => self.assignment(table),
        }
        self.text.push(&format!(" WHERE t.n % 5 = {} AND ", self.maker.random.clone().below(5)));
        if other.name == table.name {
            return self.condition(Some("t"), table);
        }
        let not = self.maker.random.of(&["", "NOT "]);
        match self.maker.random.percent(50) {
            true => {
                self.text.push(&format!("t.n {not}IN (SELECT o.n FROM {} o WHERE ", other.name))
            }
            false => self.text.push(&format!(
                "{not}EXISTS (SELECT 1 FROM {} o WHERE o.n = t.n + 1 AND ",
                other.name
            )),
        }
        self.condition(Some("o"), other);
        self.text.push(")");
    }

    /// By values of another table, of which one row each matters.
    fn update_joined(&mut self) {
        let (table, other) = (self.table(), self.table());
        let column = self.plain(table);
        let alike: Vec<&Column> = other
            .columns
            .iter()
            .filter(|one| one.kind == column.kind && (column.nullable || !one.nullable))
            .collect();
        self.text.push(&format!("UPDATE {} t JOIN (SELECT n", table.name));
        let from = alike.first().map(|one| one.name.clone());
        if let Some(name) = &from {
            self.text.push(&format!(", MIN({name}) AS m"));
        }
        self.text.push(&format!(" FROM {} GROUP BY n) o ON o.n = t.n SET t.", other.name));
        let exact =
            matches!(column.kind.class(), Class::Int | Class::Wide | Class::Decimal | Class::Date);
        match (from, exact) {
            (Some(_), true) => self.text.push(&format!("{} = o.m", column.name)),
            _ => self.assignment(table),
        }
        self.text.push(" WHERE ");
        self.condition(Some("t"), table);
    }

    fn update_two(&mut self) {
        let (one, other) = (self.table(), self.table());
        if one.name == other.name {
            return self.update_limited();
        }
        self.text.push(&format!("UPDATE {} a, {} b SET a.", one.name, other.name));
        self.assignment(one);
        self.text.push(", b.");
        self.assignment(other);
        self.text.push(" WHERE a.n = b.n AND a.n % 7 = 3 AND ");
        self.condition(Some("a"), one);
    }

    fn move_rows(&mut self) {
        let table = self.sharded();
        let key = &table.columns[0];
        self.text.push(&format!("UPDATE {} SET k = ", table.name));
        match key.kind.class() {
            Class::Int | Class::Decimal if self.maker.random.percent(50) => {
                self.text.push("k + 1");
            }
            _ => self.literal(key),
        }
        if self.maker.random.percent(30) {
            self.text.push(", ");
            self.assignment(table);
        }
        self.text.push(" WHERE ");
        self.condition(None, table);
        if self.maker.random.percent(60) {
            self.limit();
        }
    }

    fn delete_limited(&mut self) {
        let table = self.table();
        self.text.push(&format!("DELETE FROM {} WHERE ", table.name));
        self.condition(None, table);
        self.limit();
    }

    fn delete_joined(&mut self) {
        let (one, other) = (self.table(), self.table());
        if one.name == other.name {
            return self.delete_limited();
        }
        let head = self.maker.random.of(&["a", "a, b", "b"]);
        let names = [one.name.as_str(), other.name.as_str()];
        match self.maker.random.percent(70) {
            true => {
                self.text.push(&format!("DELETE {head} FROM {} a JOIN {} b", names[0], names[1]))
            }
            false => {
                self.text
                    .push(&format!("DELETE FROM {head} USING {} a JOIN {} b", names[0], names[1]));
            }
        }
        let rest = self.maker.random.below(11);
        self.text.push(&format!(" ON a.n = b.n AND b.n % 11 = {rest} WHERE "));
        self.condition(Some("a"), one);
    }

    fn delete_returning(&mut self) {
        let table = self.table();
        self.text.push(&format!("DELETE FROM {} WHERE ", table.name));
        self.condition(None, table);
        self.text.push(&format!(" AND n % 6 = {}", self.maker.random.clone().below(6)));
        self.text.push(" RETURNING n, k");
    }

    fn delete_by_query(&mut self) {
        let (table, other) = (self.table(), self.table());
        if other.name == table.name {
            return self.delete_limited();
        }
        let rest = self.maker.random.below(9);
        self.text.push(&format!(
            "DELETE FROM {} WHERE n % 9 = {rest} AND n IN (SELECT n FROM {} WHERE ",
            table.name, other.name
        ));
        self.condition(None, other);
        self.text.push(")");
    }
}
