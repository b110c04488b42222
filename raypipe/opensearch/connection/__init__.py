"""Reach an OpenSearch server: client, credentials, capabilities."""
