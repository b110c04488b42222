from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from raypipe.core.errors import SetupError
from raypipe.ledger.answer_cache import list_entries, read_usage
from raypipe.models.adaptation import Adaptation
from raypipe.models.adapter import ModelAdapter
from raypipe.models.openai_errors import explain_error
from raypipe.models.preflight import check_chat_model, check_model, is_transient
from raypipe.models.protocol import Answer, ModelError, Question, TokenUsage
from raypipe.state.local import LocalState
from tests.unit.models.fakes import FakeModel


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ModelError("ThrottlingException", "", status=429), True),
        (ModelError("ModelErrorException", "", status=424), True),
        (ModelError("ReadTimeout", ""), True),
        (ModelError("insufficient_quota", "", status=429), False),
        (ModelError("AccessDeniedException", "", status=403), False),
        (ModelError("ConnectionError", ""), False),
        (ModelError("BadResponse", "", status=200), False),
    ],
)
def test_a_busy_server_passes_the_check(error: ModelError, transient: bool) -> None:
    assert is_transient(error) == transient

    def call() -> None:
        raise error

    if transient:
        check_model("m", call, str)
    else:
        with pytest.raises(SetupError):
            check_model("m", call, str)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ModelError("x", "no", status=403), "the key in OPENAI_API_KEY has no access"),
        (ModelError("x", "no", status=404), "base_url does not end with /v1"),
        (ModelError("insufficient_quota", "no", status=429), "no credit or quota left"),
        (
            ModelError("x", "Use 'max_completion_tokens' instead.", status=400),
            "set max_tokens_field=max_completion_tokens",
        ),
        (ModelError("x", "'temperature' must be 1", status=400), "set send_temperature=false"),
        (ModelError("BadResponse", "odd", status=200), "BadResponse: odd"),
    ],
)
def test_each_error_of_openai_is_explained(error: ModelError, line: str) -> None:
    assert line in explain_error(error, True)


def question_of(_: object = None) -> Question:
    return Question("Be brief.", "What is it about?", 200, schema={"type": "object"})


def check(
    model: FakeModel, folder: Path | None, write: Callable[[], Question] = question_of
) -> ModelAdapter:
    state = None if folder is None else LocalState(str(folder))
    adapter = ModelAdapter(model, state, 128_000)
    waits: list[float] = []
    check_chat_model(model, question_of(), write, adapter, state, sleep=waits.append)
    return adapter


def refusal(message: str, status: int = 400) -> ModelError:
    return ModelError("ValidationException", message, status=status)


def test_the_check_is_paid_once_for_each_state_and_its_tokens_count(tmp_path: Path) -> None:
    model = FakeModel()
    check(model, tmp_path)
    check(model, tmp_path)
    assert len(model.prompts) == 1
    entries = read_usage(LocalState(str(tmp_path)), list_entries(LocalState(str(tmp_path))))
    assert [usage.input_tokens for _, usage in entries] == [100]


def test_the_check_adapts_to_what_a_server_refuses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    script = [
        refusal("The maximum tokens you requested exceeds the model limit of 100."),
        refusal("This model doesn't support system messages."),
        refusal("The model does not support structured output."),
    ]
    adapter = check(FakeModel(script), tmp_path)
    known = Adaptation(True, True, max_output_tokens=100)
    assert adapter.adaptation == known
    assert "exceeds the model limit of 100" in caplog.text
    again = FakeModel()
    assert check(again, tmp_path).adaptation == known
    assert again.prompts == []
    assert caplog.text.count("JSON is asked for in words") == 2  # in each run


def test_the_check_finds_the_room_for_thinking(tmp_path: Path) -> None:
    cut = Answer("", "max_tokens", TokenUsage(100, 200), 200)
    whole = Answer("Yes.", "end", TokenUsage(100, 810), 800)
    model = FakeModel([cut, whole])
    assert check(model, tmp_path).adaptation == Adaptation(thinking_room=2_048, thinking_tokens=800)
    assert len(model.prompts) == 2


def test_a_busy_server_is_asked_again_and_passes(tmp_path: Path) -> None:
    model = FakeModel([refusal("busy", 503)] * 9)
    assert check(model, tmp_path).checked == ""
    assert len(model.prompts) == 3
    model = FakeModel([refusal("busy", 429)])
    assert check(model, tmp_path).checked


def test_a_server_that_cuts_prompts_is_refused(tmp_path: Path) -> None:
    long = Question("", "word " * 6_000, 200)
    model = FakeModel([Answer("Yes.", "end", TokenUsage(2_050, 20))])
    with pytest.raises(SetupError, match=r"cuts prompts: it counts 2,050 tokens .*context_tokens"):
        check(model, tmp_path, lambda: long)


def test_a_refusal_that_raypipe_cannot_adapt_to_ends_the_check(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="temperature is not supported"):
        check(FakeModel([refusal("temperature is not supported")]), tmp_path)
    loop = FakeModel([refusal("This model doesn't support system messages.")] * 9)
    with pytest.raises(SetupError, match="system messages"):
        check(loop, None)
    assert len(loop.prompts) == 2


class ServedFake(FakeModel):
    """A model whose free request fails."""

    error = ModelError("ConnectionError", "no connection")

    def explain(self, error: ModelError) -> str:
        return f"explained: {error}"

    def check_access(self) -> None:
        raise self.error


def test_a_later_run_still_finds_out_that_the_server_is_gone(tmp_path: Path) -> None:
    model = ServedFake()
    check(model, tmp_path)
    with pytest.raises(SetupError, match="explained: ConnectionError: no connection"):
        check(model, tmp_path)
    model.error = ModelError("x", "no list of models here", status=404)
    check(model, tmp_path)  # not every server has the free request
    model.error = ModelError("invalid_api_key", "no", status=401)
    with pytest.raises(SetupError, match="explained"):
        check(model, tmp_path)
    assert len(model.prompts) == 1
