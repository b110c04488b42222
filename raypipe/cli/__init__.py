"""The command line: `app` reads it, `commands` has a file for each command, `help` its help."""
