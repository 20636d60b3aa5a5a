//! Watches the catalog, proposes changes, holds leases; owns the RPC types.
