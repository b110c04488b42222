"""Write documents to an OpenSearch index and search it."""
