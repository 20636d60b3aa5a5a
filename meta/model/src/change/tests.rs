//! Properties of changes.
