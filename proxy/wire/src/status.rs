//! Server status flags, as sent in OK and EOF packets.

use std::fmt;
use std::ops::BitOr;

/// A set of server status flags.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Status(u16);

impl Status {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// A transaction is open.
    pub const IN_TRANS: Self = Self(0x0001);
    /// Autocommit is on.
    pub const AUTOCOMMIT: Self = Self(0x0002);
    /// Another result follows.
    pub const MORE_RESULTS: Self = Self(0x0008);
    /// No good index was used.
    pub const NO_GOOD_INDEX_USED: Self = Self(0x0010);
    /// No index was used.
    pub const NO_INDEX_USED: Self = Self(0x0020);
    /// A cursor is open: rows come by COM_STMT_FETCH.
    pub const CURSOR_EXISTS: Self = Self(0x0040);
    /// The cursor's last row was sent.
    pub const LAST_ROW_SENT: Self = Self(0x0080);
    /// A database was dropped.
    pub const DB_DROPPED: Self = Self(0x0100);
    /// Backslashes are ordinary characters in strings.
    pub const NO_BACKSLASH_ESCAPES: Self = Self(0x0200);
    /// The metadata of a prepared statement changed.
    pub const METADATA_CHANGED: Self = Self(0x0400);
    /// The query was slow.
    pub const QUERY_WAS_SLOW: Self = Self(0x0800);
    /// These are the output parameters of a procedure.
    pub const PS_OUT_PARAMS: Self = Self(0x1000);
    /// A read-only transaction is open.
    pub const IN_TRANS_READONLY: Self = Self(0x2000);
    /// Session state information follows in the OK packet.
    pub const SESSION_STATE_CHANGED: Self = Self(0x4000);
    /// MariaDB: `"` quotes identifiers.
    pub const ANSI_QUOTES: Self = Self(0x8000);

    /// The set with exactly these bits.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The bits as sent.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all flags of `other` are in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// This set and the flags of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without the flags of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for Status {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({:#06x})", self.0)
    }
}
