"""The page of `raypipe serve`: search, books, runs and failures, as HTML and as JSON.

`readers` read the index and the state, `pages` and `api` answer requests, `access` decides which
requests are answered, and `server` runs in a thread. Only `raypipe serve` needs the packages of the
extra `raypipe[serve]`. `report` makes the report of a run.
"""
