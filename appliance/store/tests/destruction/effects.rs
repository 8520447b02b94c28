//! What approved requests do beside destruction.
