"""Write items in bulk requests and settle each by its own result; knows no books."""
