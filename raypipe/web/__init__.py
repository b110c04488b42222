"""Pages for a browser: the report of a run, and the pages of `raypipe serve`."""
