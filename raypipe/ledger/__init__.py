"""What was processed, finished, failed, removed and paid for, and who writes it."""
