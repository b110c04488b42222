"""The rule of each error; the codes are those of the servers."""

from __future__ import annotations

import pytest

from raypipe.ledger.failure_log import KINDS
from raypipe.models import bedrock_errors
from raypipe.models import error_policy as policy
from raypipe.models.error_policy import rule_for
from raypipe.models.protocol import ModelError


def error(code: str, status: int = 0, message: str = "", **more: object) -> ModelError:
    return ModelError(code, message, status=status, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "status", "action"),
    [
        ("ThrottlingException", 429, "throttled"),
        ("ModelNotReadyException", 429, "retry"),
        ("ModelTimeoutException", 408, "retry"),
        ("ModelErrorException", 424, "retry"),
        ("InternalServerException", 500, "retry"),
        ("ServiceUnavailableException", 503, "retry"),
        ("ValidationException", 400, "fail"),
        ("ServiceQuotaExceededException", 400, "fail"),
        ("AccessDeniedException", 403, "stop"),
        ("ResourceNotFoundException", 404, "stop"),
        ("UnrecognizedClientException", 403, "stop"),
        ("MissingAuthenticationTokenException", 403, "stop"),
        ("NoRegionError", 0, "stop"),
        ("ProfileNotFound", 0, "stop"),
        ("rate_limit_exceeded", 429, "throttled"),
        ("insufficient_quota", 429, "stop"),
        ("server_error", 500, "retry"),
        ("server_error", 424, "retry"),
        ("timeout", 408, "retry"),
        ("invalid_request_error", 400, "fail"),
        ("context_length_exceeded", 400, "too_long"),
        ("content_filter", 400, "fail"),
        ("invalid_api_key", 401, "stop"),
        ("model_not_found", 404, "stop"),
        ("model_not_allowed", 403, "stop"),
        ("ReadTimeout", 0, "unknown"),
        ("BadResponse", 200, "unknown"),
        ("ConnectTimeout", 0, "retry"),
        ("ConnectionError", 0, "retry"),
        # Unknown codes: by status
        ("Strange", 429, "throttled"),
        ("Strange", 401, "stop"),
        ("Strange", 404, "stop"),
        ("Strange", 413, "too_long"),
        ("Strange", 418, "fail"),
        ("Strange", 425, "retry"),
        *(("Strange", status, "retry") for status in range(520, 531)),
        ("Strange", 502, "retry"),
        ("Strange", 0, "retry"),
    ],
)
def test_the_action_by_code_and_status(code: str, status: int, action: str) -> None:
    rule = rule_for(error(code, status))
    assert rule.action == action
    assert bool(rule.way_out) == (action == "stop")


@pytest.mark.parametrize(
    "message",
    [
        "Input is too long for requested model.",
        "prompt is too long: 200049 tokens > 200000 maximum",
        "400 Bad Request: Too many input tokens. Max input tokens: 8192",
        "Malformed input request: expected maxLength: 50000, actual: 50001",
        "This model's maximum context length is 4096 tokens.",
    ],
)
@pytest.mark.parametrize("code", ["ValidationException", "BadRequestError"])
def test_too_long_is_recognized_by_the_message(code: str, message: str) -> None:
    assert rule_for(error(code, 400, message)).action == "too_long"
    assert rule_for(error(code, 400, "temperature must be positive")).kind == "bad_request"


def test_too_many_tokens_is_a_throttle_and_not_too_long() -> None:
    text = "Too many tokens, please wait before trying again. Input is too long."
    rule = rule_for(error("ThrottlingException", 429, text))
    assert (rule.action, rule.daily) == ("throttled", False)


@pytest.mark.parametrize(
    "text", ["Too many tokens per day, please wait", "Rate limit reached on tokens per day (TPD)"]
)
def test_the_daily_quota_is_recognized(text: str) -> None:
    assert rule_for(error("ThrottlingException", 429, text)).daily
    assert rule_for(error("rate_limit_exceeded", 429, text)).daily


def test_a_wrong_model_id_stops_the_run_although_the_code_means_an_invalid_request() -> None:
    for text in (
        "The provided model identifier is invalid.",
        "Invocation of model ID x with on-demand throughput isn\u2019t supported.",
    ):
        assert rule_for(error("ValidationException", 400, text)).action == "stop"


@pytest.mark.parametrize(
    ("original", "action", "kind"),
    [
        (500, "retry", "model"),
        (0, "retry", "model"),
        (400, "fail", "bad_request"),
        (403, "fail", "bad_request"),
        (429, "retry", "model"),
    ],
)
def test_an_error_of_the_model_itself_follows_its_own_status(
    original: int, action: str, kind: str
) -> None:
    rule = rule_for(error("ModelErrorException", 424, original_status=original))
    assert (rule.action, rule.kind) == (action, kind)


def test_a_call_that_may_be_billed_is_repeated_twice_at_most() -> None:
    for code in ("ConnectionError", "ReadTimeout"):
        rule = rule_for(error(code, maybe_paid=True))
        assert (rule.action, rule.retries) == ("unknown", 2)


def test_errors_that_fail_the_check_before_a_run_also_stop_a_run() -> None:
    for code in bedrock_errors._WAYS_OUT:
        rule = rule_for(error(code))
        is_transient = code.startswith("Connect")
        assert (rule.action == "stop" or rule.then == "stop") is not is_transient, code


def test_the_second_timeout_of_a_model_means_that_the_input_is_too_long() -> None:
    rule = rule_for(error("ModelTimeoutException", 408))
    assert (rule.retries, rule.then) == (1, "too_long")


@pytest.mark.parametrize(
    ("status", "action"),
    [
        *((status, "fail") for status in (400, 402, 403, 404, 405, 406, 418, 422, 451)),
        *((status, "stop") for status in (401, 407)),
        *((status, "retry") for status in (408, 425, 500, 502, 503, 504, *range(520, 531))),
        (413, "too_long"),
        (429, "throttled"),
    ],
)
def test_an_answer_of_a_proxy_is_about_one_call(status: int, action: str) -> None:
    rule = rule_for(ModelError.foreign(status))
    assert rule.action == action
    assert rule.action != "fail" or rule.retryable


def test_every_kind_of_the_table_is_documented() -> None:
    assert {rule.kind for rule in policy.CODES.values()} <= set(KINDS)
