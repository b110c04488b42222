"""Typed options, the parts that configs describe, and errors about options."""
