//! Sessions, backend pools, execution, merge and transactions.
