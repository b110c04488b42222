"""Connect to OpenSearch, write in bulk, manage indices, search."""
