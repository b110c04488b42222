"""Contracts without I/O that every other package shares."""
