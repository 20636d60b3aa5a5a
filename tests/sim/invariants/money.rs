//! The money: each account has what the committed transactions left on it, so the total is
//! what it was.

use crate::{
    network::Network,
    oracle::{Account, Invariant, Oracle},
    packet::shard_of,
    world::ACCOUNTS,
};
use shardline_proxy::txn::outcome::Decision;

pub(crate) fn at_the_end(network: &Network, oracle: &Oracle) {
    let (mut total, mut any_stuck) = (0, false);
    for account in 0..ACCOUNTS {
        let server = network.server(shard_of(account));
        let stuck = server.with(|state| {
            let mut images = state.tables.branch.values().flat_map(|row| &row.images);
            images.any(|(one, ..)| *one == account)
        });
        let found = server.with(|state| state.tables.rows.get(&account).copied().unwrap_or(0));
        let expected = expected(oracle, account);
        total += found;
        any_stuck |= stuck;
        oracle.check(Invariant::MoneyIsConstant, stuck || found == expected, || {
            format!("account {account} has {found} and should have {expected}")
        });
    }
    oracle.check(Invariant::MoneyIsConstant, any_stuck || total == 0, || {
        format!("{total} came from nowhere")
    });
}

fn expected(oracle: &Oracle, account: Account) -> i64 {
    oracle.truth(|truth| {
        let committed = |(xid, changes)| {
            (truth.decisions.get(xid) == Some(&Decision::Committed)).then_some(changes)
        };
        let changes: &mut dyn Iterator<Item = &Vec<(Account, i64)>> =
            &mut truth.changes.iter().filter_map(committed);
        let mine = changes.flatten().filter(|(one, _)| *one == account);
        let distributed: i64 = mine.map(|(_, delta)| delta).sum();
        distributed + truth.local.get(&account).copied().unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use crate::{oracle::Invariant, seeds};

    #[test]
    fn it_holds() {
        seeds::holds(Invariant::MoneyIsConstant);
    }

    #[test]
    fn what_was_written_around_the_proxies_is_not_overwritten() {
        seeds::keeps_bypassing_writes(Invariant::MoneyIsConstant);
    }

    #[test]
    fn compensation_that_overwrites_is_caught() {
        seeds::caught_overwriting(&[Invariant::MoneyIsConstant]);
    }
}
