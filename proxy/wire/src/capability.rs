//! Capability flags of the handshake.
//!
//! Source: "Capabilities Flags" of the MySQL source documentation. MariaDB's extended flags (the
//! upper 32 bits) are never offered: bit 0 stays set, which tells MariaDB's clients so.

use std::fmt;
use std::ops::{BitAnd, BitOr};

/// A set of capability flags.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Capabilities(u32);

macro_rules! capabilities {
    ($($(#[$doc:meta])* $name:ident = $bit:expr;)*) => {
        impl Capabilities {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
            const NAMES: &'static [(&'static str, Self)] = &[$((stringify!($name), Self::$name)),*];
        }
    };
}

capabilities! {
    /// Long passwords; in MariaDB's words CLIENT_MYSQL: no extended flags follow.
    LONG_PASSWORD = 0;
    /// Affected rows count the rows found, not those changed.
    FOUND_ROWS = 1;
    /// Column flags have two bytes.
    LONG_FLAG = 2;
    /// A database may be named in the handshake.
    CONNECT_WITH_DB = 3;
    /// `db.table.column` is not allowed.
    NO_SCHEMA = 4;
    /// zlib compression.
    COMPRESS = 5;
    /// ODBC client; changes nothing.
    ODBC = 6;
    /// LOAD DATA LOCAL INFILE.
    LOCAL_FILES = 7;
    /// Spaces before `(` are ignored.
    IGNORE_SPACE = 8;
    /// The protocol of version 4.1, which this crate demands.
    PROTOCOL_41 = 9;
    /// `interactive_timeout` instead of `wait_timeout`.
    INTERACTIVE = 10;
    /// TLS can be started by an SSLRequest.
    SSL = 11;
    /// The client ignores SIGPIPE; changes nothing.
    IGNORE_SIGPIPE = 12;
    /// Status flags are sent.
    TRANSACTIONS = 13;
    /// Unused since 4.1.
    RESERVED = 14;
    /// Challenge and response authentication of 4.1.
    SECURE_CONNECTION = 15;
    /// Several statements in one COM_QUERY.
    MULTI_STATEMENTS = 16;
    /// Several results for one COM_QUERY.
    MULTI_RESULTS = 17;
    /// Several results for one COM_STMT_EXECUTE.
    PS_MULTI_RESULTS = 18;
    /// Authentication plugins are named.
    PLUGIN_AUTH = 19;
    /// Connection attributes are sent.
    CONNECT_ATTRS = 20;
    /// The authentication response has a length-encoded length.
    PLUGIN_AUTH_LENENC = 21;
    /// The client can handle expired passwords.
    CAN_HANDLE_EXPIRED_PASSWORDS = 22;
    /// Changes of session state are reported in OK packets.
    SESSION_TRACK = 23;
    /// OK packets replace EOF packets.
    DEPRECATE_EOF = 24;
    /// Result sets may come without metadata.
    OPTIONAL_RESULTSET_METADATA = 25;
    /// zstd compression.
    ZSTD_COMPRESSION = 26;
    /// Parameters in COM_QUERY.
    QUERY_ATTRIBUTES = 27;
    /// Several authentication factors.
    MULTI_FACTOR = 28;
    /// Extensible flags.
    EXTENSION = 29;
    /// The client verifies the server's certificate by password (MariaDB) or by default (MySQL).
    SSL_VERIFY_SERVER_CERT = 30;
    /// The client keeps its options after a failed connect.
    REMEMBER_OPTIONS = 31;
}

impl Capabilities {
    /// No flag.
    pub const NONE: Self = Self(0);

    /// What a server made of this crate can do, TLS aside: `SSL` is added when TLS is configured.
    /// Flags that need the caller's help (FOUND_ROWS, MULTI_STATEMENTS, IGNORE_SPACE, SESSION_TRACK)
    /// are included: a caller that does not honour one removes it from its configuration.
    pub const SERVER: Self = Self(
        Self::LONG_PASSWORD.0
            | Self::FOUND_ROWS.0
            | Self::LONG_FLAG.0
            | Self::CONNECT_WITH_DB.0
            | Self::ODBC.0
            | Self::IGNORE_SPACE.0
            | Self::PROTOCOL_41.0
            | Self::INTERACTIVE.0
            | Self::IGNORE_SIGPIPE.0
            | Self::TRANSACTIONS.0
            | Self::RESERVED.0
            | Self::SECURE_CONNECTION.0
            | Self::MULTI_STATEMENTS.0
            | Self::MULTI_RESULTS.0
            | Self::PS_MULTI_RESULTS.0
            | Self::PLUGIN_AUTH.0
            | Self::CONNECT_ATTRS.0
            | Self::PLUGIN_AUTH_LENENC.0
            | Self::SESSION_TRACK.0
            | Self::DEPRECATE_EOF.0,
    );

    /// What a client made of this crate asks for by default; what the server lacks is left out.
    pub const CLIENT: Self = Self(
        Self::LONG_PASSWORD.0
            | Self::LONG_FLAG.0
            | Self::PROTOCOL_41.0
            | Self::TRANSACTIONS.0
            | Self::SECURE_CONNECTION.0
            | Self::MULTI_STATEMENTS.0
            | Self::MULTI_RESULTS.0
            | Self::PS_MULTI_RESULTS.0
            | Self::PLUGIN_AUTH.0
            | Self::PLUGIN_AUTH_LENENC.0
            | Self::CONNECT_ATTRS.0
            | Self::SESSION_TRACK.0
            | Self::DEPRECATE_EOF.0,
    );

    /// The set with exactly these bits.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits as sent.
    pub const fn bits(self) -> u32 {
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

    /// Whether result sets end with an OK packet rather than with EOF packets.
    pub const fn deprecate_eof(self) -> bool {
        self.contains(Self::DEPRECATE_EOF)
    }
}

impl BitOr for Capabilities {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Capabilities {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (name, flag) in Self::NAMES {
            if self.contains(*flag) {
                write!(f, "{}{name}", if first { "" } else { "|" })?;
                first = false;
            }
        }
        if first { f.write_str("NONE") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_offered_that_is_not_implemented() {
        for absent in [
            Capabilities::COMPRESS,
            Capabilities::ZSTD_COMPRESSION,
            Capabilities::LOCAL_FILES,
            Capabilities::QUERY_ATTRIBUTES,
            Capabilities::MULTI_FACTOR,
            Capabilities::OPTIONAL_RESULTSET_METADATA,
            Capabilities::CAN_HANDLE_EXPIRED_PASSWORDS,
        ] {
            assert!(!Capabilities::SERVER.contains(absent), "{absent:?}");
            assert!(!Capabilities::CLIENT.contains(absent), "{absent:?}");
        }
        assert_eq!(format!("{:?}", Capabilities::SSL | Capabilities::ODBC), "ODBC|SSL");
        assert_eq!(format!("{:?}", Capabilities::NONE), "NONE");
    }
}
