//! Kinds of backend connections: what was agreed at the handshake cannot be changed
//! later, so a session can only use a connection that agreed the same.

/// What a session needs of its backend connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnClass {
    /// CLIENT_DEPRECATE_EOF: results are forwarded undecoded, so both sides must agree.
    pub deprecate_eof: bool,
    /// CLIENT_FOUND_ROWS: an UPDATE counts the rows it found, not those it changed.
    pub found_rows: bool,
    /// CLIENT_SESSION_TRACK: OK packets carry changes of the session.
    pub session_track: bool,
    /// A database is chosen. No command takes that back, so a session without one needs
    /// a connection without one; a session with one can use both.
    pub database: bool,
}

impl ConnClass {
    /// How many classes there are.
    pub const COUNT: usize = 16;

    /// A number below [`ConnClass::COUNT`].
    pub fn index(self) -> usize {
        usize::from(self.deprecate_eof)
            | usize::from(self.found_rows) << 1
            | usize::from(self.session_track) << 2
            | usize::from(self.database) << 3
    }

    /// Whether a connection of this class can serve a session of class `wanted`.
    pub fn serves(self, wanted: ConnClass) -> bool {
        self == wanted || (ConnClass { database: true, ..self } == wanted)
    }

    /// The classes whose connections can serve a session of this class, best first.
    pub(crate) fn served_by(self) -> impl Iterator<Item = ConnClass> {
        let without = self.database.then_some(ConnClass { database: false, ..self });
        std::iter::once(self).chain(without)
    }
}

/// One of the proxy's threads. A backend connection belongs to the one that opened it:
/// used there, its answer wakes no other thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u16);

/// What somebody wants of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What must have been agreed.
    pub class: ConnClass,
    /// Where it will be used.
    pub worker: WorkerId,
}

impl From<ConnClass> for Wanted {
    /// On the first thread: for a process that has one.
    fn from(class: ConnClass) -> Self {
        Wanted { class, worker: WorkerId::default() }
    }
}
