"""The index: its mapping and life, the bulk writer, and search."""
