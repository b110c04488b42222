"""Packages that can be called: `raypipe.run(...)`, although `raypipe.run` is a package, too."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspect import Signature

API = "raypipe.api.commands"
"""Module with the functions, named as the packages. It is imported by the first call."""


class CallablePackage(ModuleType):
    """A package whose call is a call of the function of the same name in the Python API."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function of the Python API; `inspect.signature` shows its arguments."""
        return self._function()(*args, **kwargs)

    @property
    def __signature__(self) -> Signature:
        """Return the signature of the function, for editors and notebooks."""
        import inspect

        return inspect.signature(self._function())

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a name: cloudpickle knows only plain modules."""
        return import_module, (self.__name__,)

    def _function(self) -> Any:
        return getattr(import_module(API), self.__name__.rpartition(".")[2])
