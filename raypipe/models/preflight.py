"""Check a model before a run, so that a wrong setting stops it early.

A chat model is checked with the question about a book, as the run asks it. What its server refuses
is adapted to where raypipe can, and the adaptation is kept in the state. A later run with the same
settings makes no paid call: it only looks whether the server is there and accepts the credentials.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from raypipe.core.errors import SetupError
from raypipe.core.retry import TRANSIENT_STATUS
from raypipe.ledger.answer_cache import AnswerCache, RejectedAnswerError, cache_key
from raypipe.models.adaptation import find_adaptation
from raypipe.models.adapter import ModelAdapter
from raypipe.models.calling.cut_prompts import is_english_cut
from raypipe.models.calling.model_calls import call_usage, chat_call
from raypipe.models.context import billing_of
from raypipe.models.error_policy import is_access_error
from raypipe.models.protocol import Answer, ChatModel, ModelCall, ModelError, Question, TokenUsage
from raypipe.models.service_tier import refuse_other_tier
from raypipe.state.store import State

log = logging.getLogger(__name__)

_TRANSIENT = TRANSIENT_STATUS | {424}
"""HTTP statuses after which the next call may succeed; Bedrock sends 424 for a model's own error.
"""
_GROUP = "check"
"""Group of the answer cache with the answers of checks."""
_MAX_CALLS = 10
"""Calls of one check: each adaptation, and each step of the room for thinking, takes one."""
_WAITS_S = (1.0, 4.0)
"""Waits before a busy server is asked again; the run would not find out what it refuses."""
_MAX_WAIT_S = 20.0

PROBE = Question(
    "",
    'Answer with {"ready": true} and nothing else.',
    max_tokens=16,
    schema={
        "type": "object",
        "properties": {"ready": {"type": "boolean"}},
        "required": ["ready"],
        "additionalProperties": False,
    },
    schema_name="probe",
)
"""The question of a client's own check. It has a schema because some models refuse schemas."""


@runtime_checkable
class ServedModel(Protocol):
    """A model whose client knows its server; the clients of raypipe are."""

    def explain(self, error: ModelError) -> str:
        """Return one line: model, server, error, and the way out."""

    def check_access(self) -> None:
        """Make a request that costs nothing.

        Raises:
            ModelError: The server is not there, rejects the credentials, or lacks the operation.
        """


def is_transient(error: ModelError) -> bool:
    """Return whether the same call may succeed later: the server is busy, slow or failing."""
    # OpenAI also answers 429 if the account has no credit left.
    transient = error.status in _TRANSIENT and error.code != "insufficient_quota"
    return transient or error.code == "ReadTimeout"


def check_model(
    name: str, call: Callable[[], object], explain: Callable[[ModelError], str]
) -> None:
    """Make a small call; a server that is busy right now passes the check.

    Args:
        name: Name of the model.
        call: Makes the call.
        explain: Describes the error and the way out in one line.

    Raises:
        SetupError: No call could succeed.
    """
    try:
        call()
    except ModelError as error:
        if not is_transient(error):
            raise SetupError(explain(error)) from None
        _log_busy(name, error)


def check_chat_model(
    model: ChatModel,
    question: Question,
    write_question: Callable[[], Question],
    adapter: ModelAdapter,
    state: State | None,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Ask a chat model as a run does, adapt to what its server refuses, and keep what is found.

    A server that stays busy passes the check. A model that passed it before, with the same
    question and settings, is not asked again.

    Args:
        model: The chat model.
        question: The question by the settings alone; identifies the check.
        write_question: Returns the question by what the adapter knows.
        adapter: Keeps what is found.
        state: Where the paid answer is cached; None for no cache.
        sleep: Waits that many seconds.

    Raises:
        SetupError: No call could succeed; the message names the way out.
    """
    key = cache_key(chat_call(model, question, _is_whole).key)
    if adapter.checked == key:
        _check_access(model)
    else:
        answer = _ask_until_accepted(model, write_question, adapter, state, sleep)
        if answer is None:
            return
        if answer.is_cut_by_thinking:
            log.warning(
                "%s needs more tokens for thinking than it can get; turn thinking off, see "
                "docs/models.md",
                model.name,
            )
        elif not answer.text:
            reason = answer.server_reason or answer.stop_reason
            log.warning("%s answered the check with an empty text (%s)", model.name, reason)
        adapter.record_check(key)
    for difference in adapter.adaptation.describe():
        log.info("%s: %s", model.name, difference)


def _ask_until_accepted(
    model: ChatModel,
    write_question: Callable[[], Question],
    adapter: ModelAdapter,
    state: State | None,
    sleep: Callable[[float], None],
) -> Answer | None:
    """Return the answer to the question; None if the server stays busy."""
    busy = 0
    for _ in range(_MAX_CALLS):
        question = write_question()
        call = chat_call(model, question, _is_whole, sent=adapter.apply(question))
        try:
            answer = call.send()
            refuse_other_tier(billing_of(model).tier, answer.usage)
        except ModelError as error:
            _keep_usage(state, call, error.usage)
            if is_transient(error):
                # A call that timed out took minutes, and may be billed.
                if busy == len(_WAITS_S) or error.code == "ReadTimeout":
                    _log_busy(model.name, error)
                    return None
                sleep(min(max(_WAITS_S[busy], error.retry_after_s or 0.0), _MAX_WAIT_S))
                busy += 1
                continue
            found = find_adaptation(error, adapter.apply(question))
            if found is None or not adapter.learn(found):
                raise SetupError(_explain(model, error)) from None
            log.warning("%s refuses the check, raypipe adapts: %s", model.name, error.message)
            continue
        _keep(state, call, answer)
        _refuse_cut_prompts(model, question, answer)
        adapter.observe(answer)
        if not (answer.is_cut_by_thinking and adapter.has_more_room(question, answer)):
            return answer
    return answer


def _is_whole(answer: Answer) -> bool:
    return answer.stop_reason == "end"


def _refuse_cut_prompts(model: ChatModel, question: Question, answer: Answer) -> None:
    tokens = answer.usage.input_tokens
    if is_english_cut(len(question.system) + len(question.prompt), tokens):
        raise SetupError(
            f"{model.name} cuts prompts: it counts {tokens:,} tokens of a prompt of "
            f"{len(question.prompt):,} characters; raise the context window of the server (Ollama: "
            f"OLLAMA_CONTEXT_LENGTH), or set summarizer.context_tokens={tokens}"
        )


def _keep(state: State | None, call: ModelCall[Answer], answer: Answer) -> None:
    """Cache an answer, so that its tokens count in every budget."""
    if state is None:
        return

    def parse(cached: Mapping[str, Any]) -> Answer:
        parsed = call.from_json(cached)
        if not call.is_cacheable(parsed):
            raise RejectedAnswerError("it is cut off")
        return parsed

    group, usage = AnswerCache(state).group(_GROUP), call_usage(call, answer.usage)
    group.put(cache_key(call.key), call.to_json(answer), usage, parse)


def _keep_usage(state: State | None, call: ModelCall[Answer], usage: TokenUsage | None) -> None:
    """Record the tokens of an answer that is none."""
    if state is not None and usage is not None and usage.input_tokens:
        group = AnswerCache(state).group(_GROUP)
        group.record_usage(cache_key(call.key), call_usage(call, usage))


def _check_access(model: ChatModel) -> None:
    """Check at no cost that the server is there and accepts the credentials.

    Raises:
        SetupError: It is not, or it rejects them.
    """
    if not isinstance(model, ServedModel):
        return
    try:
        model.check_access()
    except ModelError as error:
        # Other refusals are about the free request alone: not every server and model has it.
        if is_access_error(error):
            raise SetupError(model.explain(error)) from None


def _explain(model: ChatModel, error: ModelError) -> str:
    return model.explain(error) if isinstance(model, ServedModel) else f"{model.name}: {error}"


def _log_busy(name: str, error: ModelError) -> None:
    log.warning("%s is reachable but did not answer the check call: %s", name, error)
