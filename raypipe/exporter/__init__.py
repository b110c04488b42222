"""Write finished documents to a file for other programs."""
