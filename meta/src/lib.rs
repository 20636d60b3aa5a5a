//! The Raft metadata node: log store, state machine, network, server.
