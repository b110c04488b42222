"""The commands and the text of `raypipe --help`.

`raypipe.cli.help_text.command` makes the text of `raypipe COMMAND --help`. Nothing is imported
here, so `raypipe --help` answers at once.
"""

from __future__ import annotations

COMMANDS = {
    "run": "list the books; summarize, embed and index the new books (the default)",
    "plan": "estimate what a run would do and cost, without starting it",
    "index": "index the finished documents; reads no book and calls no model",
    "retry": "try failed books again; all=true includes permanent failures",
    "status": "show how far a run is, or how the last run ended; also from another machine",
    "failures": "list what failed and why, by kind, with the ways out",
    "show": "show what happened to a book: raypipe show KEY",
    "runs": "list the runs of a state, the newest first",
    "report": "write a page about a run: outcome, course, failures; raypipe report RUN",
    "doctor": "check state, disk, OpenSearch, storage, credentials, models and quota",
    "search": 'find a book by a description: raypipe search "two friends quarrel" limit=5',
    "serve": "serve a page to search with, and to read runs and failures, until Ctrl-C",
    "verify": "compare the listing, the ledger and the index, book by book",
    "promote": "serve the index that was built beside the served index",
    "rollback": "serve the previous index again",
    "gc": "list old indices and documents that nothing uses; apply=true removes them",
    "state": "copy the state for a backup: raypipe state copy FROM TO",
    "export": "write the newest document of each book to a file: parquet or JSON lines",
    "dashboards": "write dashboards and alarms for Grafana, Prometheus and CloudWatch to a folder",
    "costs": "sum up what the state paid for models, by day, model and service tier",
    "up": "start the embedded OpenSearch and S3 and leave them running",
    "down": "stop the embedded OpenSearch and S3",
    "simulate": "start a model server for tests: Bedrock and OpenAI, quotas, faults",
    "init": "write the given options into raypipe.yaml, which every command reads",
    "settings": "show each option of a command, its value and where the value comes from",
}
"""Each command and its line in `raypipe --help`; the first is the default."""


def format_program_help() -> str:
    """Return the text of `raypipe --help`."""
    lines = [f"  {name:<10} {description}" for name, description in COMMANDS.items()]
    return "\n".join(
        [
            "raypipe turns a bucket of books into a search index.",
            "",
            "Usage: raypipe [COMMAND] [option=value ...]",
            *lines,
            "",
            "raypipe COMMAND --help lists the options of a command; --cfg job prints their values.",
            "Options in raypipe.yaml hold for every command here; --settings FILE names a file.",
            'Tab completion: eval "$(raypipe -sc install=bash)"',
        ]
    )
