"""Typed options, the parts that a config describes, and one-line errors about options."""
