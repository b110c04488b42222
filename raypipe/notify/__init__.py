"""Notifications about runs: when they end, and when many books fail."""
