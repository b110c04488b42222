"""Generate docs/reference/failure_kinds.md from the kinds in the code."""

from __future__ import annotations

from raypipe.ledger.failure_log import DEGRADED, INDEX_FAULTS, KINDS, MAX_ATTEMPTS
from tests.generated_pages.markdown import capitalize, format_table

_KINDS_OF_THE_INDEX = " ".join(f"`{kind}`" for kind in sorted(INDEX_FAULTS))

_INTRO = f"""\
# Failure kinds

Generated from `KINDS` in [`failure_log.py`](../../raypipe/ledger/failure_log.py) by `make docs`:
edit the code, not this page.

A failed book has a kind, a message, and whether the failure is temporary. `raypipe.failures()`
returns them, and the table [`failures`](state.md#failures) keeps them.

- A **temporary** failure (`retryable`) is tried again by the next runs, {MAX_ATTEMPTS} times in all
  (`max_attempts`), and by `raypipe retry`.
- A **permanent** failure is tried again when the book or the recipe changes, and by `raypipe retry
  all=true`.
- A failure of the **index** is tried again by every run, however often it failed:
  {_KINDS_OF_THE_INDEX}.
- A book with the kind `{DEGRADED}` is indexed, and `raypipe retry` asks the model again.

Some kinds are temporary or permanent depending on the cause: the row of the book says which.
[Failures and retry](../guides/failures.md) has the commands, and
[troubleshooting](../troubleshooting.md#failed-books) begins with the most frequent kinds."""


def format_page() -> str:
    """Return the page as Markdown."""
    rows = [(f"`{kind}`", *_split(text)) for kind, text in KINDS.items()]
    return "\n".join([_INTRO, *format_table(("kind", "cause", "fix"), rows)]) + "\n"


def _split(text: str) -> tuple[str, str]:
    """Return cause and fix of an explanation, `cause; fix`."""
    cause, separator, fix = text.partition("; ")
    if not separator:
        raise ValueError(f"no fix in {text!r}; write `cause; fix`")
    return capitalize(cause), capitalize(fix)
