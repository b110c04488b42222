"""raypipe turns a bucket of books into a search index and never pays for a book twice.

The functions here do what the commands do, see docs/guides/python.md. Nothing is imported before it
is used: `import raypipe` takes a few milliseconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "ExportResult",
    "FailedBook",
    "Hit",
    "OpenSearchDatasink",
    "PlanResult",
    "RunResult",
    "VerifyResult",
    "__version__",
    "down",
    "errors",
    "export",
    "failures",
    "plan",
    "read_dataset",
    "read_documents",
    "run",
    "search",
    "up",
    "verify",
]

if TYPE_CHECKING:
    from raypipe import errors
    from raypipe.api.commands import down, export, plan, run, search, up, verify
    from raypipe.api.readers import failures, read_dataset, read_documents
    from raypipe.api.results import PlanResult, RunResult, VerifyResult
    from raypipe.exporter.documents import ExportResult
    from raypipe.ledger.failure_log import FailedBook
    from raypipe.opensearch.datasink import OpenSearchDatasink
    from raypipe.opensearch.search.book_search import Hit

_MODULES = {
    "ExportResult": "raypipe.exporter.documents",
    "FailedBook": "raypipe.ledger.failure_log",
    "Hit": "raypipe.opensearch.search.book_search",
    "OpenSearchDatasink": "raypipe.opensearch.datasink",
    "PlanResult": "raypipe.api.results",
    "RunResult": "raypipe.api.results",
    "VerifyResult": "raypipe.api.results",
    "down": "raypipe.api.commands",
    "export": "raypipe.api.commands",
    "failures": "raypipe.api.readers",
    "plan": "raypipe.api.commands",
    "read_dataset": "raypipe.api.readers",
    "read_documents": "raypipe.api.readers",
    "search": "raypipe.api.commands",
    "up": "raypipe.api.commands",
}
"""Module of each name. `run` and `verify` are packages that can be called."""


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("raypipe.errors")
    if name not in _MODULES:
        raise AttributeError(f"module 'raypipe' has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _make_packages_callable() -> None:
    """Let `raypipe.run(...)` be a call, although `raypipe.run` is the package with the code."""
    from raypipe.core.callable_package import CallablePackage

    for name in ("run", "verify"):
        import_module(f"raypipe.{name}").__class__ = CallablePackage


_make_packages_callable()
