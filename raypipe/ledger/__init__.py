"""Records of a state: processed, finished, failed and deleted books, usage, and the writer lock."""
