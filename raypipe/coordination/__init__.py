"""Coordinate the workers of a run: stop, crash guard, limits, progress."""
