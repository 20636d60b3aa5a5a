//! Newtypes for every identifier and version of the domain.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($int:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

number_id!(
    /// A shard: a replica group that holds a part of the data. Displayed as `s1`; the
    /// catalog gives out 1, 2, 3 ... and never gives a number out twice.
    ShardId(u32), "s"
);
number_id!(
    /// A table, stable over renames.
    TableId(u64), "t"
);
number_id!(
    /// A colocation group: tables that share one placement.
    GroupId(u64), "g"
);
number_id!(
    /// A proxy process that holds a lease. It also prefixes connection ids.
    ProxyId(u32), "p"
);
number_id!(
    /// One life of one proxy, from a lease to its end. The metadata service gives out 1, 2,
    /// 3 ... and never gives a number out twice.
    Incarnation(u64), "i"
);
number_id!(
    /// Long work of the cluster. The catalog gives out 1, 2, 3 ... and never gives a number out twice.
    JobId(u64), "j"
);
number_id!(
    /// Units on their way from one shard to another; never given out twice.
    MoveId(u64), "m"
);
number_id!(
    /// The version of the catalog; every change is one new epoch.
    Epoch(u64), "e"
);
