"""Make the text of `--help`: of the program, and of each command from the comments in conf/."""
