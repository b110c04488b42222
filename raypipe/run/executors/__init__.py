"""Where the stages of a run execute."""
