"""Open, check and serve the index that a run writes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property

from raypipe.core.errors import SetupError
from raypipe.core.options import IndexOptions
from raypipe.ledger.facade import Ledger
from raypipe.lifecycle.promote import Promoter, Served
from raypipe.lifecycle.replacement import Replacement, check_replacement, find_replacement
from raypipe.opensearch.connection.capabilities import Server
from raypipe.opensearch.index import Index, IndexAlias, IndexConfig, IndexSpec

log = logging.getLogger(__name__)

_IDS_SHOWN = 5


@dataclass(frozen=True)
class IndexTarget:
    """Which index a run writes, and how the run may change it.

    Args:
        config: The index; None stops the run at finished documents.
        options: How the index changes.
        purge: Delete the index and create a new one.
        adopt: Take over an index that belongs to another state.
        replace: Replace an index whose documents another summarizer or embedder made.
    """

    config: IndexConfig | None
    options: IndexOptions = field(default_factory=IndexOptions)
    purge: bool = False
    adopt: bool = False
    replace: bool = False

    @property
    def endpoint(self) -> str:
        """Return the URL of the server, or '' for no index."""
        return self.config.connection.endpoint if self.config is not None else ""

    def check_server(self) -> None:
        """Check the server and log its version, the first time.

        Raises:
            SetupError: The server is another product, too old or lacks the k-NN plugin.
            OptionError: The name is that of another alias of raypipe.
        """
        _ = self._server

    @cached_property
    def _server(self) -> Server | None:
        return None if self.config is None else IndexAlias(self.config).check_server()

    def check(self, spec: IndexSpec) -> None:
        """Check that the server can be used, and that the run may replace the index.

        Args:
            spec: What the index holds after the run.

        Raises:
            SetupError: The server cannot be used, or the name is an alias of several indices.
            OptionError: Another summarizer or embedder made the index.
        """
        if self.config is None:
            return
        alias = IndexAlias(self.config)
        if self.replace:
            alias.find()
        else:
            check_replacement(alias, spec)

    def find_replacement(self, spec: IndexSpec) -> Replacement | None:
        """Return the index that another summarizer or embedder made, if there is one.

        Raises:
            SetupError: The server cannot be used.
        """
        return None if self.config is None else find_replacement(IndexAlias(self.config), spec)

    def check_usable(self, spec: IndexSpec) -> None:
        """Check that a run could write the served index, without changing anything.

        Raises:
            SetupError: The server or the index cannot be used.
            OptionError: The name is that of another alias of raypipe.
        """
        if self.config is not None and not self.purge:
            alias = IndexAlias(self.config)
            alias.check_usable(spec, mode=self.options.mode, adopt=self.adopt)

    def find(self) -> Index | None:
        """Return the served index without changing anything; None if it would be created.

        Raises:
            SetupError: The server cannot be used.
        """
        return None if self.config is None or self.purge else IndexAlias(self.config).find()

    def generation_to_write(self, index: Index | None, spec: IndexSpec) -> str | None:
        """Return the generation that a run would write.

        Args:
            index: The served index; None if it would be created.
            spec: What the index holds.

        Returns:
            '' for a new index; None for no index.
        """
        if self.config is None:
            return None
        if index is None:
            return ""
        ref = index.ref
        is_kept = spec.accepts(ref.content.recipe) and ref.generation not in spec.outdated
        return ref.generation if is_kept else ""

    def open_existing(self, spec: IndexSpec) -> Index | None:
        """Return the index to write if it exists; None if `open` would create or purge it.

        Errors as `open`, so that an unusable server is reported before a long listing. The index
        is created late: a run that cannot list its books or use its model must leave no index.
        """
        if self.config is None:
            return None
        self.check(spec)
        if self.purge:
            return None
        alias = IndexAlias(self.config)
        alias.check_options(self.options)
        if alias.check_usable(spec, mode=self.options.mode, adopt=self.adopt):
            self.check_server()
            return None
        return self._open(alias, spec)

    def open(self, spec: IndexSpec) -> Index | None:
        """Return the index to write, created or purged where the options say so.

        Args:
            spec: What the index holds.

        Raises:
            SetupError: The server or the index cannot be used.
            OptionError: Another summarizer or embedder made the index.
        """
        if self.config is None:
            return None
        self.check(spec)
        alias = IndexAlias(self.config)
        alias.check_options(self.options)
        return self._open(alias, spec)

    def _open(self, alias: IndexAlias, spec: IndexSpec) -> Index:
        self.check_server()
        if self.purge:
            index = alias.purge(spec, adopt=self.adopt)
            alias.drop_build(spec.state)
        else:
            index = alias.open(spec, mode=self.options.mode, adopt=self.adopt)
        if not index.ref.require_alias:
            log.info("%s is an index, not an alias: it is written in place", index.ref.physical)
        return index

    @contextmanager
    def discard_if_unused(self, index: Index | None) -> Iterator[None]:
        """Delete an index that this run has created if the block fails before its first document.

        Args:
            index: The index that the run writes.
        """
        try:
            yield
        except BaseException:
            if self.config is not None and index is not None and index.ref.created:
                with suppress(SetupError):  # the first error is the one to report
                    index.refresh()
                    if not index.count():
                        log.info("Deleting %s again: it holds no document", index.ref.physical)
                        IndexAlias(self.config).delete(index.ref.physical)
            raise

    def current_indices(self, written: Index | None) -> list[Index]:
        """Return the index that a run writes and, if it is built beside it, the served index.

        Args:
            written: The index; None if it is yet to be created. Of a purge there is none then.

        Raises:
            SetupError: The server cannot be used.
        """
        if self.config is None or (self.purge and written is None):
            return []
        served = None if written and written.ref.served else IndexAlias(self.config).find()
        return [index for index in (written, served) if index is not None]

    def serve(
        self,
        index: Index,
        ledger: Ledger,
        run_seq: int,
        *,
        listed: Set[str] | None,
        stopped: bool,
    ) -> Served | None:
        """Serve an index that was built beside the served one, if it is complete.

        Args:
            index: The index that the run wrote.
            ledger: The ledger of the run.
            run_seq: Number of the run.
            listed: Ids at the source; None if they are not known.
            stopped: Whether the run was stopped: the index is then not served yet.

        Returns:
            What is served after the run; None if the run wrote it.

        Raises:
            SetupError: The index does not hold what the ledger records.
        """
        if self.config is None:
            return None
        if index.ref.served:
            return self._find_moved(index)
        promoter = Promoter(IndexAlias(self.config), ledger, self.options, run_seq)
        if stopped:
            return promoter.current()
        served = promoter.promote(index, listed=listed)
        if served.lacking:
            log.warning(
                "%s lacks %s books that %s has, and is not served yet (%s). Run again to add them, "
                "or serve it without them: raypipe promote force=true",
                index.ref.physical,
                f"{len(served.lacking):,}",
                served.index,
                ", ".join(served.lacking[:_IDS_SHOWN]),
            )
        return served

    def _find_moved(self, index: Index) -> Served | None:
        """Return what is served if the alias no longer points at the index of the run."""
        assert self.config is not None
        current = IndexAlias(self.config).find()
        served = current.ref.physical if current is not None else ""
        if served == index.ref.physical:
            return None
        log.warning(
            "opensearch.index=%s points at %s now, and no longer at %s, which this run has "
            "written. Run again to write the served index",
            self.config.index,
            served or "no index",
            index.ref.physical,
        )
        return Served(served)
