"""Keep the adaptation to a model in the state, and learn from its answers.

`models/<16 hex>.json` holds the adaptation to a model with its settings, and the question of the
last check that it passed. The name is a hash of the model, its settings and its server, so another
setting begins from nothing.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

from raypipe.core.fingerprint import fingerprint
from raypipe.models.adaptation import Adaptation
from raypipe.models.protocol import Answer, ChatModel, Question
from raypipe.state.store import State

log = logging.getLogger(__name__)

FOLDER = "models"
_VERSION = 1
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
_INVALID_ERRORS = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


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
        self._name = f"{FOLDER}/{fingerprint(about)}.json"
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
        tagged = None if self._state is None else self._state.get_tagged(self._name)
        if tagged is None:
            return Adaptation(), "", ""
        try:
            value = json.loads(tagged[0])
            if value["version"] != _VERSION:
                raise ValueError("another version")
            return Adaptation.from_json(value["adaptation"]), str(value["checked"]), tagged[1]
        except _INVALID_ERRORS as error:
            log.warning("ignored %s: damaged or foreign (%s)", self._name, type(error).__name__)
            return Adaptation(), "", tagged[1]

    def _write(self) -> None:
        """Add what this process knows to the state; other processes write there, too."""
        if self._state is None:
            return
        for _ in range(_MAX_TRIES):
            kept, _, tag = self._read()
            with self._lock:
                self._adaptation = kept.merge(self._adaptation)
                data = self._encode()
            if tag:
                written = self._state.put_if_match(self._name, data, tag)
            else:
                written = self._state.put_if_absent(self._name, data)
            if written is not None:
                return
        log.warning("cannot write %s: it changes all the time", self._name)

    def _encode(self) -> bytes:
        value: dict[str, Any] = {
            "version": _VERSION,
            "model": self._model,
            "checked": self.checked,
            "adaptation": self._adaptation.to_json(),
        }
        return json.dumps(value, indent=1).encode()
