//! Harness that starts real servers, and the suites that use it.
