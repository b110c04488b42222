"""Coordinate a run's workers: stopping, crash handling, request limits and progress."""
