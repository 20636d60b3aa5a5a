//! What Shardline is compared with, each started as processes of its own on one machine:
//! servers, the relay, HAProxy, Spider, and Shardline itself.

pub mod bed;
pub mod data;
pub mod foreign;
pub mod haproxy;
pub mod processor;
pub mod program;
pub mod relay;
pub mod servers;
pub mod spider;
pub mod target;
