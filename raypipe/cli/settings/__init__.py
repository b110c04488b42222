"""The settings file: find and read it, and put its options before those of the command line."""
