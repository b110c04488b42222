"""Run the command line with `python -m raypipe`."""

from raypipe.cli.app import main

if __name__ == "__main__":
    main()
