"""Run the command line with `python -m raypipe`."""

if __name__ == "__main__":
    from raypipe.cli.stop_signals import end_on_signal

    end_on_signal()  # from the first moment: an interrupted import prints a traceback
    from raypipe.cli.app import main

    main()
