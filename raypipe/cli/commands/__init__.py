"""The commands: a file for each, with a function `main(cfg)` that returns the exit code."""
