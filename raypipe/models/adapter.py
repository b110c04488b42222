"""Adapt questions to a model, learn from its answers, and keep what was found in the state."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from raypipe.ledger.adaptations import (
    AdaptationRecord,
    read_record,
    record_name,
    write_record,
)
from raypipe.models.adaptation import Adaptation
from raypipe.models.protocol import Answer, ChatModel, Question
from raypipe.state.store import State

log = logging.getLogger(__name__)

_STEPS = (1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536)
"""Sizes of the room for thinking: few, so that the requests seldom change."""
_ROOM_SHARE = 0.4
"""Maximum share of the context window for thinking."""
_TIMES_SEEN, _TIMES_CUT = 2, 4
"""Room relative to thinking that ended, and to thinking that was cut off: thinking about one text
may take twice as long as about another."""
_TIMES_USUAL = 16
_LARGE_ROOM = 16_384
"""Thinking that needs more than this, and this many times the mean, does not end."""
_MEAN_WEIGHT = 0.1
_MAX_TRIES = 20


class ModelAdapter:
    """The adaptation of one model in one process. Thread-safe.

    Args:
        model: The chat model.
        state: Where adaptations are kept; None to keep them in this process.
        context_tokens: The context window of the settings; bounds the room for thinking.
    """

    def __init__(self, model: ChatModel, state: State | None, context_tokens: int) -> None:
        self._state = state
        self._max_room = int(context_tokens * _ROOM_SHARE)
        self._model = model.name
        about = {"model": model.name, "pool": model.pool, "identity": dict(model.identity())}
        self._name = record_name(about)
        self._lock = threading.Lock()
        self._adaptation, self.checked = self._read()[:2]

    @property
    def adaptation(self) -> Adaptation:
        """The adaptation as known now."""
        return self._adaptation

    def apply(self, question: Question) -> Question:
        """Return the question as the model accepts it."""
        return self._adaptation.apply(question)

    def learn(self, found: Adaptation) -> bool:
        """Add what was found and keep it; return whether it is new.

        Raises:
            StateError: The state cannot be written.
        """
        with self._lock:
            merged = self._adaptation.merge(found)
            if merged == self._adaptation:
                return False
            self._adaptation = merged
        self._write()
        return True

    def observe(self, answer: Answer) -> None:
        """Learn from an answer how much room the model's thinking needs."""
        if not answer.thinking_tokens:
            return
        is_cut = answer.is_cut_by_thinking
        wanted = (_TIMES_CUT if is_cut else _TIMES_SEEN) * answer.thinking_tokens
        room = min(next((step for step in _STEPS if step >= wanted), _STEPS[-1]), self._max_room)
        with self._lock:
            known = self._adaptation
            mean = known.thinking_tokens
            usual = max(_TIMES_USUAL * mean, _LARGE_ROOM)
            if is_cut and mean and known.thinking_room >= usual:
                return  # it thinks in circles about this text, and would use up any room
            if not is_cut:
                mean = mean or answer.thinking_tokens
                mean += round(_MEAN_WEIGHT * (answer.thinking_tokens - mean))
            grows = room > known.thinking_room
            self._adaptation = known.merge(Adaptation(thinking_room=room, thinking_tokens=mean))
        if grows:
            log.info(
                "%s thinks before it answers: each answer gets %s more tokens",
                self._model,
                f"{self._adaptation.thinking_room:,}",
            )
            self._write()

    def observing(self, send: Callable[[], Answer]) -> Callable[[], Answer]:
        """Return a `send` whose answers are observed."""

        def send_and_observe() -> Answer:
            answer = send()
            self.observe(answer)
            return answer

        return send_and_observe

    def has_more_room(self, question: Question, answer: Answer) -> bool:
        """Return whether another try gets more tokens than an answer that thinking cut off."""
        return self.apply(question).max_tokens > answer.usage.output_tokens

    def record_check(self, key: str) -> None:
        """Keep that the model passed the check with this question.

        Raises:
            StateError: The state cannot be written.
        """
        self.checked = key
        self._write()

    def _read(self) -> tuple[Adaptation, str, str]:
        """Return the adaptation and the checked question in the state, and the tag."""
        if self._state is None:
            return Adaptation(), "", ""
        record = read_record(self._state, self._name)
        try:
            return Adaptation.from_json(record.adaptation), record.checked, record.tag
        except ValueError as error:
            log.warning("ignored %s: damaged or foreign (%s)", self._name, error)
            return Adaptation(), "", record.tag

    def _write(self) -> None:
        """Add what this process found to the state; other processes write there, too."""
        if self._state is None:
            return
        for _ in range(_MAX_TRIES):
            kept, _, tag = self._read()
            with self._lock:
                self._adaptation = kept.merge(self._adaptation)
                record = AdaptationRecord(self._adaptation.to_json(), self.checked, tag)
            if write_record(self._state, self._name, self._model, record):
                return
        log.warning("cannot write %s: it changes all the time", self._name)
