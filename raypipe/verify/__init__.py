"""Compare the listing, the ledger and the index, or two sets of results."""
