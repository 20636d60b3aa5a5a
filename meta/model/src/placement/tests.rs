//! Properties of placements.
