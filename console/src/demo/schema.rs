//! The bank's tables: one of each kind of placement.

/// The demo's database.
pub const DATABASE: &str = "bank";
/// Accounts, by hash of the customer.
pub const ACCOUNTS: u32 = 30_000;
/// Customers; some have two accounts.
pub const CUSTOMERS: u32 = 20_000;
/// Branches, by list of regions.
pub const BRANCHES: u32 = 60;
/// Ledger entries, by range of dates.
pub const LEDGER_ENTRIES: u32 = 12_000;
/// The first of the years that ledger entries are booked in.
pub const FIRST_YEAR: u32 = 2022;
/// How many years.
pub const YEARS: u32 = 4;
/// Currencies, whole on every shard.
pub const CURRENCIES: [(&str, &str); 6] = [
    ("CNY", "Renminbi"),
    ("USD", "US dollar"),
    ("EUR", "Euro"),
    ("JPY", "Yen"),
    ("GBP", "Pound sterling"),
    ("CHF", "Swiss franc"),
];
const REGIONS: [&str; 6] = ["north", "east", "south", "west", "centre", "coast"];

/// The region of a branch.
pub fn region_of(branch: u32) -> &'static str {
    REGIONS[branch as usize % REGIONS.len()]
}

/// The columns that rows are inserted with.
pub fn columns(table: &str) -> &'static str {
    match table {
        "currency" => "code,name",
        "branch" => "branch_id,region,name",
        "account" => "customer_id,branch_id,currency,balance,opened_on",
        "txn" => "customer_id,kind,amount,booked_at",
        _ => "booked_on,branch_id,amount,note",
    }
}

/// The statements that make the empty bank on these shards.
pub fn statements(shards: &[String]) -> Vec<String> {
    vec![
        format!("DROP DATABASE IF EXISTS {DATABASE}"),
        format!("CREATE DATABASE {DATABASE} DEFAULT CHARACTER SET utf8mb4"),
        format!("USE {DATABASE}"),
        "CREATE TABLE currency (\n  code CHAR(3) NOT NULL PRIMARY KEY,\n  name VARCHAR(40) NOT NULL\n\
         ) ENGINE=InnoDB BROADCAST"
            .to_owned(),
        format!(
            "CREATE TABLE branch (\n  branch_id INT NOT NULL,\n  region VARCHAR(10) CHARACTER SET \
             utf8mb4 COLLATE utf8mb4_bin NOT NULL,\n  name VARCHAR(40) NOT NULL,\n  \
             PRIMARY KEY (region, branch_id)\n) ENGINE=InnoDB SHARD BY LIST (region) ({})",
            lists(shards)
        ),
        "CREATE TABLE account (\n  account_id BIGINT NOT NULL AUTO_INCREMENT,\n  customer_id BIGINT \
         NOT NULL,\n  branch_id INT NOT NULL,\n  currency CHAR(3) NOT NULL,\n  balance \
         DECIMAL(15,2) NOT NULL,\n  opened_on DATE NOT NULL,\n  PRIMARY KEY (account_id),\n  \
         KEY by_customer (customer_id)\n) ENGINE=InnoDB SHARD BY HASH (customer_id)"
            .to_owned(),
        "CREATE TABLE txn (\n  txn_id BIGINT NOT NULL AUTO_INCREMENT,\n  customer_id BIGINT NOT \
         NULL,\n  kind VARCHAR(12) NOT NULL,\n  amount DECIMAL(15,2) NOT NULL,\n  booked_at \
         DATETIME NOT NULL,\n  PRIMARY KEY (txn_id),\n  KEY by_customer (customer_id)\n\
         ) ENGINE=InnoDB SHARD BY HASH (customer_id) COLOCATE (account)"
            .to_owned(),
        format!(
            "CREATE TABLE ledger (\n  entry_id BIGINT NOT NULL AUTO_INCREMENT,\n  booked_on DATE \
             NOT NULL,\n  branch_id INT NOT NULL,\n  amount DECIMAL(15,2) NOT NULL,\n  note \
             VARCHAR(60) NOT NULL,\n  PRIMARY KEY (entry_id),\n  KEY by_day (booked_on)\n\
             ) ENGINE=InnoDB SHARD BY RANGE (booked_on) ({})",
            ranges(shards)
        ),
    ]
}

/// A year's interval for each shard in turn, the last without end.
fn ranges(shards: &[String]) -> String {
    let last = YEARS.min(shards.len() as u32).max(1);
    let units: Vec<String> = (0..last)
        .map(|year| {
            let shard = &shards[year as usize % shards.len()];
            if year + 1 == last {
                format!("VALUES LESS THAN (MAXVALUE) ON {shard}")
            } else {
                format!("VALUES LESS THAN ('{}-01-01') ON {shard}", FIRST_YEAR + year + 1)
            }
        })
        .collect();
    units.join(", ")
}

/// The regions dealt out to the shards; the first shard takes every other region.
fn lists(shards: &[String]) -> String {
    let mut units: Vec<String> = Vec::new();
    for (number, shard) in shards.iter().take(REGIONS.len()).enumerate() {
        let mine: Vec<String> = REGIONS
            .iter()
            .enumerate()
            .filter(|(region, _)| region % shards.len() == number)
            .map(|(_, region)| format!("'{region}'"))
            .collect();
        units.push(format!("VALUES IN ({}) ON {shard}", mine.join(", ")));
    }
    units.push(format!("DEFAULT ON {}", shards[0]));
    units.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(count: u32) -> Vec<String> {
        (1..=count).map(|number| format!("s{number}")).collect()
    }

    #[test]
    fn every_shard_gets_its_part() {
        assert_eq!(
            ranges(&shards(3)),
            "VALUES LESS THAN ('2023-01-01') ON s1, VALUES LESS THAN ('2024-01-01') ON s2, \
             VALUES LESS THAN (MAXVALUE) ON s3"
        );
        assert_eq!(
            lists(&shards(3)),
            "VALUES IN ('north', 'west') ON s1, VALUES IN ('east', 'centre') ON s2, \
             VALUES IN ('south', 'coast') ON s3, DEFAULT ON s1"
        );
        assert_eq!(ranges(&shards(1)), "VALUES LESS THAN (MAXVALUE) ON s1");
        assert!(statements(&shards(10)).len() > 6);
    }
}
