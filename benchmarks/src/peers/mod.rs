//! What Shardline is compared with, each started as a process of its own.

pub mod relay;
