//! Command line, HTTP API and supervisor; builds the shardline binary.
