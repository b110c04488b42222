"""Share tokens, requests, calls in flight and money between all workers."""
