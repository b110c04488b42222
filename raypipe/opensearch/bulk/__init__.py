"""Write documents in bulk requests and settle each by its own result."""
