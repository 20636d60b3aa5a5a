//! Deadlocks over several shards, which no server sees: each knows its own waits only. Pure: waits and
//! transactions in, who is to end out. What asks servers and proxies is in [`watch`], and how proxies
//! tell each other is in [`board`]; decision 0014 says why so.
//!
//! A node is a transaction over several shards, with all its backend connections, or a single
//! connection of anybody else. A waiter needs all that it waits for, so a cycle is a deadlock. Waits on
//! different shards are not read at one moment: a cycle counts when two looks one after the other show
//! the same edges, the same local transactions and the same running statements, for then there was a
//! moment between them at which all of it was so.

pub(crate) mod board;
pub(crate) mod watch;

use crate::{
    registry::{Place, Places},
    txn::xid::Incarnation,
};
use shardline_model::id::ShardId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A transaction of any proxy; each proxy numbers its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) incarnation: Incarnation,
    pub(crate) number: u64,
}

/// A transaction over several shards whose statement has been waiting for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) name: Name,
    /// Tells the running statement from others of the transaction.
    pub(crate) wait: u64,
    /// When it began, on a clock that all of them are compared by, in microseconds.
    pub(crate) begun_us: i64,
    /// Its backend connections.
    pub(crate) places: Places,
}

/// A local transaction on its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Local {
    /// The server's number of the connection.
    pub(crate) thread: u32,
    /// InnoDB's number of the transaction.
    pub(crate) transaction: u64,
}

/// On this shard one waits for a lock of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edge {
    pub(crate) shard: ShardId,
    pub(crate) waiter: Local,
    pub(crate) blocker: Local,
}

/// Who is to end, while the named statement runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Victim {
    pub(crate) name: Name,
    pub(crate) wait: u64,
}

/// Where two of these transactions may meet: nowhere else can a cycle over several shards go.
pub(crate) fn shards_to_ask(waiting: &[Waiting]) -> BTreeSet<ShardId> {
    let mut seen: BTreeMap<ShardId, BTreeSet<Name>> = BTreeMap::new();
    for transaction in waiting {
        for place in &transaction.places {
            seen.entry(place.shard).or_default().insert(transaction.name);
        }
    }
    seen.into_iter().filter(|(_, names)| names.len() > 1).map(|(shard, _)| shard).collect()
}

/// Finds deadlocks, with what it saw at the look before.
#[derive(Debug, Default)]
pub(crate) struct Detector {
    edges: BTreeSet<Edge>,
    waits: BTreeMap<Name, u64>,
}

impl Detector {
    /// There was nothing to look at.
    pub(crate) fn forget(&mut self) {
        *self = Detector::default();
    }

    /// The youngest of each cycle that was there at the last look too. Among transactions of the same
    /// age the larger name is the younger one, so that whoever looks chooses the same.
    pub(crate) fn look(&mut self, waiting: &[Waiting], edges: &[Edge]) -> Vec<Victim> {
        let mut victims = Vec::new();
        let mut graph = Graph::new(waiting, edges);
        for at in 0..waiting.len() {
            while let Some(cycle) = graph.cycle(at) {
                let Some(youngest) = cycle.youngest(waiting) else { break };
                graph.removed.insert(Node::Transaction(youngest));
                let was_there = cycle.edges.iter().all(|edge| self.edges.contains(edge))
                    && cycle.transactions().all(|one| {
                        let Waiting { name, wait, .. } = &waiting[one];
                        self.waits.get(name) == Some(wait)
                    });
                if was_there {
                    let Waiting { name, wait, .. } = waiting[youngest];
                    victims.push(Victim { name, wait });
                }
            }
        }
        self.edges = edges.iter().copied().collect();
        self.waits = waiting.iter().map(|one| (one.name, one.wait)).collect();
        victims
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    /// By its index.
    Transaction(usize),
    /// Somebody's connection.
    Other(Place),
}

struct Graph {
    follows: BTreeMap<Node, Vec<(Node, Edge)>>,
    removed: BTreeSet<Node>,
}

struct Cycle {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

impl Graph {
    fn new(waiting: &[Waiting], edges: &[Edge]) -> Self {
        // A connection that two claim belongs to one that told of it and then gave it up.
        let mut owners: BTreeMap<Place, Option<usize>> = BTreeMap::new();
        for (at, transaction) in waiting.iter().enumerate() {
            for place in &transaction.places {
                let owner = owners.entry(*place).or_insert(Some(at));
                if *owner != Some(at) {
                    *owner = None;
                }
            }
        }
        let node = |shard, local: Local| {
            let place = Place { shard, thread: local.thread };
            match owners.get(&place) {
                Some(Some(at)) => Node::Transaction(*at),
                Some(None) | None => Node::Other(place),
            }
        };
        let mut follows: BTreeMap<Node, Vec<(Node, Edge)>> = BTreeMap::new();
        for edge in edges {
            let (from, to) = (node(edge.shard, edge.waiter), node(edge.shard, edge.blocker));
            if from != to {
                follows.entry(from).or_default().push((to, *edge));
            }
        }
        Graph { follows, removed: BTreeSet::new() }
    }

    /// A shortest cycle through a transaction. One through no other transaction is on one
    /// shard, whose server ends it.
    fn cycle(&self, at: usize) -> Option<Cycle> {
        let start = Node::Transaction(at);
        let mut reached: BTreeMap<Node, (Node, Edge)> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            if self.removed.contains(&node) {
                continue;
            }
            for (next, edge) in self.follows.get(&node).into_iter().flatten() {
                if *next == start {
                    return Some(Cycle::of(start, node, *edge, &reached));
                }
                if !self.removed.contains(next) && !reached.contains_key(next) {
                    reached.insert(*next, (node, *edge));
                    queue.push_back(*next);
                }
            }
        }
        None
    }
}

impl Cycle {
    /// Back from its last node to its first.
    fn of(start: Node, last: Node, edge: Edge, reached: &BTreeMap<Node, (Node, Edge)>) -> Self {
        let (mut nodes, mut edges) = (vec![start], vec![edge]);
        let mut node = last;
        while node != start {
            nodes.push(node);
            let Some((before, edge)) = reached.get(&node) else { break };
            edges.push(*edge);
            node = *before;
        }
        Cycle { nodes, edges }
    }

    fn transactions(&self) -> impl Iterator<Item = usize> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Transaction(at) => Some(*at),
            Node::Other(_) => None,
        })
    }

    /// None when it is on one shard only.
    fn youngest(&self, waiting: &[Waiting]) -> Option<usize> {
        let shards: BTreeSet<_> = self.edges.iter().map(|edge| edge.shard).collect();
        if shards.len() < 2 {
            return None;
        }
        self.transactions().max_by_key(|at| (waiting[*at].begun_us, waiting[*at].name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Transaction `number` of proxy `number % 2`, begun at its number, with thread 10 * shard + number.
    fn waiting(number: u64, shards: &[u32]) -> Waiting {
        let thread = |shard: u32| 100 * shard + u32::try_from(number).unwrap();
        Waiting {
            name: Name { incarnation: Incarnation(number % 2), number },
            wait: 5,
            begun_us: i64::try_from(number).unwrap(),
            places: shards
                .iter()
                .map(|shard| Place { shard: ShardId(*shard), thread: thread(*shard) })
                .collect(),
        }
    }

    /// On `shard`, the first waits for the second; numbers of transactions, or of strangers.
    fn edge(shard: u32, waiter: u32, blocker: u32) -> Edge {
        let local = |number| Local { thread: 100 * shard + number, transaction: u64::from(number) };
        Edge { shard: ShardId(shard), waiter: local(waiter), blocker: local(blocker) }
    }

    fn victims(waiting: &[Waiting], edges: &[Edge]) -> Vec<u64> {
        let mut detector = Detector::default();
        assert!(detector.look(waiting, edges).is_empty(), "one look proves nothing");
        detector.look(waiting, edges).iter().map(|victim| victim.name.number).collect()
    }

    #[test]
    fn the_youngest_of_a_cycle_over_shards_ends() {
        let both = [waiting(1, &[1, 2]), waiting(2, &[1, 2])];
        assert_eq!(victims(&both, &[edge(1, 2, 1), edge(2, 1, 2)]), [2]);
        let turned = [waiting(2, &[1, 2]), waiting(1, &[1, 2])];
        assert_eq!(victims(&turned, &[edge(1, 1, 2), edge(2, 2, 1)]), [2]);
    }

    #[test]
    fn a_ring_of_three_ends_one() {
        let three = [waiting(1, &[1, 2]), waiting(2, &[2, 3]), waiting(3, &[1, 3])];
        let edges = [edge(2, 1, 2), edge(3, 2, 3), edge(1, 3, 1)];
        assert_eq!(victims(&three, &edges), [3]);
    }

    #[test]
    fn two_cycles_end_two_unless_they_share_the_youngest() {
        let four =
            [waiting(1, &[1, 2]), waiting(2, &[1, 2]), waiting(3, &[1, 3]), waiting(4, &[1, 3])];
        let edges = [edge(1, 1, 2), edge(2, 2, 1), edge(1, 3, 4), edge(3, 4, 3)];
        assert_eq!(victims(&four, &edges), [2, 4]);
        let three = [waiting(1, &[1, 2]), waiting(2, &[1, 3]), waiting(3, &[1, 2, 3])];
        let edges = [edge(1, 1, 3), edge(2, 3, 1), edge(1, 2, 3), edge(3, 3, 2)];
        assert_eq!(victims(&three, &edges), [3]);
    }

    #[test]
    fn a_cycle_may_go_over_transactions_on_one_shard() {
        let both = [waiting(1, &[1, 2]), waiting(2, &[1, 2])];
        // 1 waits for a stranger, who waits for 2.
        assert_eq!(victims(&both, &[edge(1, 1, 50), edge(1, 50, 2), edge(2, 2, 1)]), [2]);
    }

    #[test]
    fn waits_without_a_cycle_are_left_alone() {
        let both = [waiting(1, &[1, 2]), waiting(2, &[1, 2])];
        assert!(victims(&both, &[edge(1, 2, 1)]).is_empty());
        assert!(victims(&both, &[edge(1, 2, 1), edge(2, 2, 1)]).is_empty());
        // The same on one shard is for its server.
        assert!(victims(&both, &[edge(1, 2, 1), edge(1, 1, 2)]).is_empty());
        assert!(victims(&both, &[edge(1, 2, 50), edge(1, 50, 2)]).is_empty());
    }

    #[test]
    fn a_cycle_that_changed_between_two_looks_does_not_count() {
        let both = [waiting(1, &[1, 2]), waiting(2, &[1, 2])];
        let edges = [edge(1, 2, 1), edge(2, 1, 2)];
        let mut detector = Detector::default();
        detector.look(&both, &edges);
        let mut later = both.clone();
        later[0].wait = 6;
        assert!(detector.look(&later, &edges).is_empty(), "another statement waits");
        let mut others = edges;
        others[0].blocker.transaction = 77;
        assert!(detector.look(&later, &others).is_empty(), "another transaction blocks");
        assert_eq!(detector.look(&later, &others).len(), 1);
        detector.forget();
        assert!(detector.look(&later, &others).is_empty());
    }

    #[test]
    fn a_connection_that_two_claim_joins_nothing() {
        let mut both = [waiting(1, &[1, 2]), waiting(2, &[1, 2])];
        both[1].places = both[0].places.clone();
        assert!(victims(&both, &[edge(1, 2, 1), edge(2, 1, 2)]).is_empty());
    }

    #[test]
    fn only_shards_where_two_meet_are_asked() {
        let three = [waiting(1, &[1, 2]), waiting(2, &[2, 3]), waiting(3, &[4, 5])];
        assert_eq!(shards_to_ask(&three), BTreeSet::from([ShardId(2)]));
        assert!(shards_to_ask(&three[..1]).is_empty());
    }
}
