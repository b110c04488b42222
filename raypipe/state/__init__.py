"""Store named bytes in a folder or on S3, and append-only parquet tables in them."""
