"""The alias that a configuration names: find, create, switch and delete the indices behind it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from raypipe.core.errors import OptionError
from raypipe.core.options import IndexOptions
from raypipe.opensearch.connection.capabilities import Server
from raypipe.opensearch.index.admin import IndexAdmin
from raypipe.opensearch.index.backend import backend_for
from raypipe.opensearch.index.config import IndexConfig
from raypipe.opensearch.index.creation import check_owner, get_or_create
from raypipe.opensearch.index.index import Index
from raypipe.opensearch.index.rebuild import (
    check_usable,
    describe_build,
    open_for_writing,
    switch_alias,
)
from raypipe.opensearch.index.ref import OWN_SUFFIXES, IndexRef, IndexSpec

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UnusedIndices:
    """Indices of a state that are neither served nor built.

    Args:
        removable: Indices that were served before the kept ones, and that nothing needs.
        unrecorded: Indices without a record of a service, which may have been served last.
    """

    removable: Sequence[IndexRef]
    unrecorded: Sequence[IndexRef]


def select_unused(refs: Sequence[IndexRef], used: Collection[str], keep: int) -> UnusedIndices:
    """Return the indices that nobody needs.

    A closed index is kept: who closes an index instead of deleting it may open it again.

    Args:
        refs: Indices, the index that was served last first.
        used: Names of the served index and of the index that is built.
        keep: Number of further indices to keep.
    """
    others = [ref for ref in refs if ref.physical not in used]
    recorded = [ref for ref in others if ref.last_served and not ref.closed]
    return UnusedIndices(recorded[keep:], [ref for ref in others if not ref.last_served])


@dataclass(frozen=True)
class IndexAlias:
    """The alias `opensearch.index`, and the physical indices of its name.

    Args:
        config: The alias, its server and settings.
    """

    config: IndexConfig

    def check_server(self) -> Server:
        """Return and log the server's version and plugins.

        Raises:
            SetupError: The server is another product, too old, lacks the k-NN plugin, or cannot
                run the k-NN engine.
            OptionError: The name is that of another alias of raypipe.
        """
        self._check_name()
        server = backend_for(self.config).check_server()
        server.check_engine(self.config.engine)
        log.info("%s is %s", self.config.connection.endpoint, server)
        return server

    def check_options(self, options: IndexOptions) -> None:
        """Raise `SetupError` for an option that the server does not support."""
        backend_for(self.config).check_options(options)

    def find(self) -> Index | None:
        """Return the index behind the alias, or None; creates and changes nothing.

        Raises:
            SetupError: The server cannot be used, or the alias points to several indices.
        """
        description = self._admin.describe()
        return None if description is None else self.bind(description.ref)

    def bind(self, ref: IndexRef) -> Index:
        """Return the index of a reference."""
        return Index(self.config, ref)

    def open(self, spec: IndexSpec, *, mode: str = "auto", adopt: bool = False) -> Index:
        """Return the index that a run writes to: the served one, or a build beside it.

        Call `check_server` before.

        Args:
            spec: Content that the index must hold.
            mode: One of `raypipe.core.options.INDEX_MODES`.
            adopt: Take over an index of another state, or one without raypipe's metadata.

        Raises:
            SetupError: The server or the index cannot be used.
            OptionError: The name is that of another alias of raypipe.
        """
        self._check_name()
        return self.bind(open_for_writing(self._admin, spec, mode=mode, adopt=adopt))

    def check_usable(self, spec: IndexSpec, *, mode: str = "auto", adopt: bool = False) -> bool:
        """Check that `open` could be called, without changing anything; see there.

        Returns:
            Whether `open` would create an index.

        Raises:
            SetupError: The server or the index cannot be used.
            OptionError: The name is that of another alias of raypipe.
        """
        self._check_name()
        return check_usable(self._admin, spec, mode=mode, adopt=adopt)

    def ensure(self, spec: IndexSpec, *, adopt: bool = False) -> Index:
        """Return the served index; create it if it does not exist.

        Raises:
            SetupError: The server or the index cannot be used.
        """
        self.check_server()
        return self.bind(get_or_create(self._admin, spec, adopt=adopt))

    def purge(self, spec: IndexSpec, *, adopt: bool = False) -> Index:
        """Delete the served index, if there is one, and create another generation.

        Call `check_server` before.

        Raises:
            SetupError: As `ensure`; an index of another state is not deleted without `adopt`.
        """
        self._check_name()
        description = self._admin.describe()
        if description is not None:
            check_owner(self._admin, description, spec, adopt=adopt)
            log.info("Deleting the index %s", description.ref.physical)
            self.delete(description.ref.physical)
        return self.bind(get_or_create(self._admin, spec, adopt=adopt))

    def find_build(self) -> Index | None:
        """Return the index that is being built beside the served one, or None."""
        description = describe_build(self._admin)
        return None if description is None else self.bind(description.ref)

    def drop_build(self, state: str) -> None:
        """Delete the index that is being built, if it belongs to this state."""
        build = self.find_build()
        if build is not None and build.ref.content.state == state:
            log.info("Deleting %s, whose build has not ended", build.ref.physical)
            self.delete(build.ref.physical)

    def switch_to(self, physical: str) -> str:
        """Atomically point the alias at an index; return the previous one, or ''.

        Raises:
            SetupError: The alias is a concrete index, or there is no such index.
        """
        return switch_alias(self._admin, physical)

    def list_indices(self, state: str) -> list[IndexRef]:
        """Return a state's physical indices of this name, the index that was served last first.

        Indices without a record of a service come first: they may have been served last.
        """
        own = [ref for ref in self._admin.list_physical() if ref.content.state == state]
        own.sort(key=lambda ref: ref.physical, reverse=True)
        return sorted(own, key=lambda ref: (ref.last_served > 0, -ref.last_served))

    def list_unused(self, state: str, keep: int) -> UnusedIndices:
        """Return a state's indices that nobody needs, except the `keep` that were served last.

        An index with an alias that raypipe did not make is in use.
        """
        indices = (self.find(), self.find_build())
        used = {index.ref.physical for index in indices if index is not None}
        refs = [
            ref
            for ref in self.list_indices(state)
            if not self._admin.foreign_aliases(ref.physical, ref.aliases)
        ]
        return select_unused(refs, used, keep)

    def prune(self, state: str, keep: int) -> list[str]:
        """Delete a state's unused indices; return their names. See `list_unused`."""
        names = [ref.physical for ref in self.list_unused(state, keep).removable]
        for physical in names:
            log.info("Deleting the old index %s", physical)
            self.delete(physical)
        return names

    def delete(self, physical: str) -> None:
        """Delete a physical index; a missing index is no error.

        Raises:
            SetupError: The index has an alias that raypipe did not make.
        """
        self._admin.delete(physical)

    def _check_name(self) -> None:
        """Raise `OptionError` for a name that raypipe itself gives to other aliases."""
        name = self.config.index
        for suffix in OWN_SUFFIXES:
            if name.endswith(suffix):
                raise OptionError(
                    f"opensearch.index={name}: raypipe gives its own aliases names that end with "
                    f"{suffix}; choose another name"
                )

    @property
    def _admin(self) -> IndexAdmin:
        return IndexAdmin(self.config)
