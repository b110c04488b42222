"""Run the command line: `python -m raypipe`."""

from raypipe.cli.app import main

if __name__ == "__main__":
    main()
