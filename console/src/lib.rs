//! Command line, HTTP API and supervisor; builds the shardline binary.
//!
//! `cli` reads the command line and calls the rest. `config` reads `cluster.yaml`;
//! `local` runs servers on this machine; `up` composes a whole cluster in one process;
//! `demo` fills it with a small bank. `operations` is what operators do
//! with a cluster, which `api` serves and `cli` calls; `web` is what browsers get.

pub mod cli;
pub mod exit;
pub mod ports;

pub mod config;
pub mod demo;
pub mod local;
pub mod up;

pub mod api;
pub mod operations;
pub mod web;
