//! What of the session decides how text is read.

/// The parts of `sql_mode` (and the server's version) that change how text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SqlMode {
    /// `"x"` is an identifier.
    pub ansi_quotes: bool,
    /// A backslash in a string is a backslash.
    pub no_backslash_escapes: bool,
    /// `||` concatenates.
    pub pipes_as_concat: bool,
    /// Whitespace may stand between a function's name and its parenthesis.
    pub ignore_space: bool,
    /// NOT binds like `!`.
    pub high_not_precedence: bool,
    /// 0 in an AUTO_INCREMENT column is 0 and not the next number.
    pub no_auto_value_on_zero: bool,
    /// The oldest server's version as executable comments write it, such as 101100.
    pub server_version: u32,
}

impl Default for SqlMode {
    fn default() -> Self {
        Self {
            ansi_quotes: false,
            no_backslash_escapes: false,
            pipes_as_concat: false,
            ignore_space: false,
            high_not_precedence: false,
            no_auto_value_on_zero: false,
            server_version: 101_100,
        }
    }
}

/// A mode under which this lexer cannot read text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sql_mode {0} changes the grammar and is not supported")]
pub struct SqlModeError(pub String);

impl SqlMode {
    /// Reads the text form, such as `ANSI_QUOTES,STRICT_TRANS_TABLES`. Names that do not
    /// matter to the lexer are passed over.
    pub fn parse(text: &str) -> Result<Self, SqlModeError> {
        let mut mode = Self::default();
        for name in text.split(',').map(str::trim) {
            match name.to_ascii_uppercase().as_str() {
                "ANSI_QUOTES" => mode.ansi_quotes = true,
                "NO_BACKSLASH_ESCAPES" => mode.no_backslash_escapes = true,
                "PIPES_AS_CONCAT" => mode.pipes_as_concat = true,
                "IGNORE_SPACE" => mode.ignore_space = true,
                "HIGH_NOT_PRECEDENCE" => mode.high_not_precedence = true,
                "NO_AUTO_VALUE_ON_ZERO" => mode.no_auto_value_on_zero = true,
                "ANSI" | "DB2" | "MSSQL" | "POSTGRESQL" | "MAXDB" => {
                    mode.ansi_quotes = true;
                    mode.pipes_as_concat = true;
                    mode.ignore_space = true;
                }
                "MYSQL40" | "MYSQL323" => mode.high_not_precedence = true,
                "ORACLE" => return Err(SqlModeError(name.to_owned())),
                _ => {}
            }
        }
        Ok(mode)
    }

    /// Whether an executable comment of this version is executed: MariaDB leaves out
    /// what it takes for newer MySQL syntax, unless the comment is its own (`/*M!`).
    pub(crate) fn executes(self, version: u32, own: bool) -> bool {
        let mariadb = self.server_version >= 100_000;
        if version > self.server_version || (own && !mariadb) {
            return false;
        }
        !mariadb || own || !(50_700..=99_999).contains(&version)
    }
}
