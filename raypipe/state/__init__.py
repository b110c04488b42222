"""Object store of a state, local or on S3, and append-only parquet tables in it."""
