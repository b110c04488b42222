"""The Python API: `raypipe.run` and others call what the commands of the same name call."""
