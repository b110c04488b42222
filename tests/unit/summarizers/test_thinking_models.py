"""Models that think before they answer, and models with small limits, in the summary of a book."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from raypipe.core.errors import BookError
from raypipe.models.context import ModelContext
from raypipe.models.protocol import Answer, ModelError, Question, TokenUsage
from raypipe.state.local import LocalState
from raypipe.summarizers.llm.summarizer import ModelSummarizer
from tests.unit.summarizers.books import book_with_chapters
from tests.unit.summarizers.models import FakeChat, default_prompts, good_answer, make_summarizer

THINKING_TOKENS = 800
SHORT, LONG = book_with_chapters(20), book_with_chapters(60, 60, 60, 60)


def think(question: Question, _: int = 0, tokens: int = THINKING_TOKENS) -> Answer:
    """Answer after so many tokens of thinking, if there is room for both."""
    text = good_answer(question)
    inputs, outputs = len(question.prompt) // 4, len(text) // 4
    if question.max_tokens < tokens + outputs:
        cut = "<think>\nOkay, the user wants a summary" if question.max_tokens < tokens else ""
        text = cut or f"<think>Okay.</think>{text[: (question.max_tokens - tokens) * 4]}"
        usage = TokenUsage(inputs, question.max_tokens)
        return Answer(text, "max_tokens", usage, min(tokens, question.max_tokens))
    return Answer(
        f"<think>Okay.</think>{text}", "end", TokenUsage(inputs, tokens + outputs), tokens
    )


def with_state(summarizer: ModelSummarizer, folder: Path) -> ModelSummarizer:
    return summarizer.with_context(ModelContext(LocalState(str(folder))))


def test_a_thinking_model_takes_one_call_an_answer_after_the_check(tmp_path: Path) -> None:
    summarizer, model = make_summarizer(think)
    summarizer = with_state(summarizer, tmp_path)
    summarizer.check()
    assert len(model.asked) == 1
    model.asked.clear()
    planned = summarizer.plan_calls(LONG)
    summary = with_state(summarizer, tmp_path).summarize(LONG)
    assert "think" not in summary.text
    assert len(model.asked) == len(planned) == summary.model_calls
    assert summary.output_tokens == pytest.approx(
        sum(call.output_tokens for call in planned), rel=0.5
    )
    assert summary.output_tokens > THINKING_TOKENS * len(planned)


def test_the_room_is_found_without_a_check_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    summarizer, model = make_summarizer(think)
    first = with_state(summarizer, tmp_path).summarize(LONG)
    again = [question for question in model.asked if question.max_tokens > THINKING_TOKENS]
    assert first.text
    assert "thinking used up" in caplog.text
    prompts = {question.prompt for question in model.asked}
    assert {question.prompt for question in again} == prompts  # the same words, with more room
    model.asked.clear()
    second = with_state(summarizer, tmp_path).summarize(LONG)
    assert (second.text, model.asked) == (first.text, [])


def test_a_model_that_only_thinks_fails_the_book_with_the_way_out(tmp_path: Path) -> None:
    def rule(question: Question, _: int) -> Answer:
        return Answer("", "max_tokens", TokenUsage(9, question.max_tokens), question.max_tokens)

    summarizer, model = make_summarizer(rule)
    with pytest.raises(BookError, match=r"thinking used up .* turn thinking off, see docs/models.md"
                       ) as caught:  # fmt: skip
        with_state(summarizer, tmp_path).summarize(SHORT)
    assert (caught.value.kind, caught.value.retryable) == ("cut", True)
    assert len(model.asked) == 3


def test_a_filter_is_named_in_the_servers_words() -> None:
    summarizer, _ = make_summarizer(
        lambda question, _: Answer("", "filtered", server_reason="guardrail_intervened")
    )
    with pytest.raises(BookError, match=r"\(guardrail_intervened\)"):
        summarizer.summarize(SHORT)


def test_a_cut_prompt_is_sent_in_smaller_pieces(caplog: pytest.LogCaptureFixture) -> None:
    def rule(question: Question, _: int) -> Answer:
        tokens = len(question.prompt) // 4
        return Answer(good_answer(question), "end", TokenUsage(tokens if tokens < 600 else 302, 50))

    summarizer, model = make_summarizer(rule, chunk_tokens=2_000)
    summary = summarizer.summarize(LONG)
    assert summary.text
    assert "cuts prompts: it counts 302 tokens" in caplog.text
    assert max(len(question.prompt) for question in model.asked[-3:]) < 2_400 * 1.5


def test_the_limits_of_a_model_size_chunks_and_answers(tmp_path: Path) -> None:
    def rule(question: Question, _: int) -> Answer | str:
        if question.max_tokens > 900:
            message = "The maximum tokens you requested exceeds the model limit of 900."
            raise ModelError("ValidationException", message, status=400)
        if len(question.prompt) // 4 + question.max_tokens > 4_096:
            message = "This model's maximum context length is 4096 tokens."
            raise ModelError("ValidationException", message, status=400)
        return good_answer(question)

    settings = {"words": 300, "chunk_words": 60, "merge_words": 60, "fan_in": 4}
    summarizer, model = make_summarizer(rule, chunk_tokens=4_000, **settings)
    summarizer = with_state(summarizer, tmp_path)
    identity = summarizer.identity()
    summarizer.check()
    model.asked.clear()
    assert with_state(summarizer, tmp_path).summarize(LONG).text
    assert all(question.max_tokens <= 900 for question in model.asked)
    assert summarizer.identity() == identity


def test_a_state_of_before_is_found_again(tmp_path: Path) -> None:
    """Answers that were cached under keys with the maximum tokens are used."""

    summarizer, model = make_summarizer()
    with_state(summarizer, tmp_path).summarize(LONG)
    calls = len(model.asked)
    assert calls > 2
    _use_old_keys(tmp_path, model)
    model.asked.clear()
    again = with_state(summarizer, tmp_path).summarize(LONG)
    assert (model.asked, again.cached_calls) == ([], calls)


def _use_old_keys(folder: Path, model: FakeChat) -> None:
    """Rename the entries of a cache to the keys of raypipe 0.1."""
    import json

    from raypipe.ledger.answer_cache import cache_key, canonical

    keys = {}
    for question in model.asked:
        new, old = (
            cache_key({"operation": "chat", "model": model.base_model, "body": model.body(asked)})
            for asked in (replace(question, max_tokens=0), question)
        )
        keys[new] = old
    for path in list(folder.glob("cache/*/*.json")):
        entry = json.loads(path.read_text())
        old = keys[path.stem]
        path.rename(path.with_name(f"{old}.json")).write_bytes(canonical({**entry, "key": old}))


def test_the_probe_has_everything_that_may_be_refused() -> None:
    summarizer, model = make_summarizer(prompts=default_prompts(), chunk_tokens=8_000)
    summarizer.check()
    (question,) = model.asked
    assert question.system
    assert question.schema
    assert question.max_tokens == summarizer.budget.max_final_tokens(summarizer.words)
    assert len(question.prompt) > 8_000 * 3.5
