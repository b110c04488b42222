"""Connect to an OpenSearch server: client, credentials, errors and capabilities."""
