"""Changes that touch the index and the ledger together."""
