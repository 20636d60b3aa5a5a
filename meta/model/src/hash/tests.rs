//! The frozen vectors of the placement hash.
