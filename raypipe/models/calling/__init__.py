"""Make model calls: cached, deduplicated, fair between books, retried."""
