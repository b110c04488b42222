"""Clients of chat and embedding models, and the policy for their errors."""
