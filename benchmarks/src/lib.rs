//! Micro and macro benchmarks against peers on the same machine.
