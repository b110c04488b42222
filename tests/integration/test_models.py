"""Real boto3 and the real openai client against the model server."""

from __future__ import annotations

import contextlib
import json
import pickle
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from raypipe import embedded
from raypipe.embedded.model_server import ModelServer
from raypipe.embedders.bedrock_cohere import CohereEmbedding
from raypipe.embedders.bedrock_nova import NovaEmbedding
from raypipe.embedders.bedrock_titan import TitanEmbedding
from raypipe.embedders.openai import OpenAIEmbedding
from raypipe.errors import SetupError
from raypipe.models import Answer, ChatModel, EmbeddingModel, InputType, ModelError, Question
from raypipe.models.aws import BedrockModel
from raypipe.models.bedrock import BedrockChat
from raypipe.models.openai import OpenAIChat
from raypipe.models.openai_server import OpenAIServer
from raypipe.simulation import FaultOptions, LatencyOptions, ModelOptions, ServerOptions
from tests.unit.models_here import alone, models_here, with_credentials

SAMPLES = Path(embedded.__file__).parent / "samples"
BOOK = (SAMPLES / "stovepipe-lookout-diary.txt").read_text(encoding="utf-8")
SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "summary": {"type": "string"}},
    "required": ["title", "summary"],
    "additionalProperties": False,
}
QUESTION = Question("You summarize books.", f"Summarize.\n<book>{BOOK}</book>", max_tokens=300)
STRUCTURED = Question("Answer in JSON.", f"<book>{BOOK}</book>", 400, schema=SCHEMA)


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    with_credentials(monkeypatch)


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


@contextlib.contextmanager
def serving(**options: Any) -> Iterator[ModelServer]:
    with ModelServer(ServerOptions(**options)) as running:
        yield running


def bedrock(url: str, **settings: Any) -> BedrockChat:
    settings = {"model_id": "us.amazon.nova-lite-v1:0", "region": "us-east-1", **settings}
    return BedrockChat(endpoint_url=url, **settings)


def openai(url: str, **settings: Any) -> OpenAIChat:
    return OpenAIChat(**{"model_id": "some-model", "base_url": f"{url}/v1", **settings})


CHATS: list[Callable[..., Any]] = [bedrock, openai]
CHAT = pytest.mark.parametrize("made", CHATS)


def titan(url: str, **settings: Any) -> TitanEmbedding:
    return TitanEmbedding(endpoint_url=url, region="us-east-1", **settings)


def nova(url: str, **settings: Any) -> NovaEmbedding:
    return NovaEmbedding(endpoint_url=url, region="us-east-1", **settings)


def cohere(url: str, **settings: Any) -> CohereEmbedding:
    return CohereEmbedding(endpoint_url=url, region="us-east-1", **settings)


def cohere_v3(url: str, **settings: Any) -> CohereEmbedding:
    return cohere(url, model_id="cohere.embed-multilingual-v3", **settings)


def openai_vectors(url: str, **settings: Any) -> OpenAIEmbedding:
    return OpenAIEmbedding(base_url=f"{url}/v1", **settings)


EMBEDDINGS: list[Callable[..., Any]] = [titan, nova, cohere, cohere_v3, openai_vectors]
EMBEDDING = pytest.mark.parametrize("made", EMBEDDINGS)


def tokens(answers: list[Any]) -> dict[str, int]:
    return {
        "input": sum(one.usage.input_tokens for one in answers),
        "output": sum(one.usage.output_tokens for one in answers),
    }


def counted(server: ModelServer) -> dict[str, int]:
    said = server.stats()["tokens"]
    return {name: said[name] for name in ("input", "output")}


# Chat.


@CHAT
def test_a_chat_model_answers_and_counts_as_the_server_does(
    server: ModelServer, made: Callable[..., Any]
) -> None:
    model: ChatModel = made(server.url)
    server.reset()
    model.check()
    server.reset()
    first, again = model.call(QUESTION), model.call(QUESTION)
    assert first == again
    assert first.text[:60] in " ".join(BOOK.split())
    assert first.stop == "end"
    assert counted(server) == tokens([first, again])
    assert first.usage.input_tokens > len(BOOK) // 4
    assert server.stats()["repeated_prompts"]["prompts"] == 1  # the very same body


@CHAT
def test_a_schema_is_answered_in_json_where_the_model_takes_one(
    server: ModelServer, made: Callable[..., Any]
) -> None:
    said = made(server.url, structured=True).call(STRUCTURED)
    assert set(json.loads(said.text)) == {"title", "summary"}
    plain = made(server.url, structured=False)
    assert not {"outputConfig", "response_format"} & set(plain.body(STRUCTURED))
    assert plain.call(STRUCTURED).text[:1] != "{"


@CHAT
def test_every_way_to_stop(server: ModelServer, made: Callable[..., Any]) -> None:
    model = made(server.url)
    short = Question("", QUESTION.prompt, max_tokens=20)
    assert (model.call(short).stop, model.call(short).usage.output_tokens) == ("max_tokens", 20)
    for fault, stop, empty in (
        ("max_tokens", "max_tokens", False),
        ("filtered", "filtered", True),
        ("empty", "end", True),
    ):
        with faulty(server, fault):
            said: Answer = model.call(QUESTION)
        assert (said.stop, said.text == "") == (stop, empty)


def test_bedrock_counts_tokens_for_nothing(server: ModelServer) -> None:
    model = bedrock(server.url)
    server.reset()
    tokens_told = model.count_tokens(QUESTION)
    assert counted(server) == {"input": 0, "output": 0}
    assert tokens_told == model.call(QUESTION).usage.input_tokens
    unreachable = bedrock("http://127.0.0.1:9")
    assert unreachable.count_tokens(QUESTION) is None
    assert openai(server.url).count_tokens(QUESTION) is None


def test_the_service_tier_is_sent_and_changes_no_body(server: ModelServer) -> None:
    plain, flex = bedrock(server.url), bedrock(server.url, service_tier="flex")
    assert plain.body(QUESTION) == flex.body(QUESTION)
    assert plain.identity() == flex.identity()
    server.reset()
    assert plain.call(QUESTION) == flex.call(QUESTION)
    assert server.stats()["repeated_prompts"]["prompts"] == 0  # another request, it has the tier


# Embeddings.


@EMBEDDING
@pytest.mark.parametrize("input_type", ["document", "query"])
def test_an_embedding_model_makes_vectors(
    server: ModelServer, made: Callable[..., Any], input_type: InputType
) -> None:
    model: EmbeddingModel = made(server.url)
    texts = ["a lamp on the point", "a fire lookout"][: model.max_texts]
    server.reset()
    said = model.call(texts, input_type)
    assert [len(one) for one in said.vectors] == [model.dimension] * len(texts)
    assert counted(server) == tokens([said])
    assert said.usage.input_tokens > 0
    assert model.call(texts, input_type) == said
    model.check()


SIZES = [
    (titan, 256),
    (titan, 512),
    (nova, 256),
    (nova, 384),
    (nova, 3072),
    (cohere, 256),
    (cohere, 1536),
    (openai_vectors, 512),
]


@pytest.mark.parametrize(("made", "dimension"), SIZES)
def test_each_dimension_is_what_the_server_makes(
    server: ModelServer, made: Callable[..., Any], dimension: int
) -> None:
    [vector] = made(server.url, dimension=dimension).call(["a lamp"], "document").vectors
    assert len(vector) == dimension


@EMBEDDING
def test_the_longest_texts_and_batches_are_taken(
    server: ModelServer, made: Callable[..., Any]
) -> None:
    model: EmbeddingModel = made(server.url)
    long = ["word " * (model.max_chars // 5)] * min(model.max_texts, 4)
    assert len(model.call(long, "document").vectors) == len(long)
    many = [f"word {number}" for number in range(model.max_texts)]
    assert len(model.call(many, "document").vectors) == len(many)


@pytest.mark.parametrize("made", [titan, nova, cohere, openai_vectors])
def test_a_model_of_another_dimension_is_found_before_the_run(made: Callable[..., Any]) -> None:
    wrong = [0.5] * 7
    bodies: dict[Callable[..., Any], Any] = {
        titan: {"embedding": wrong},
        nova: {"embeddings": [{"embedding": wrong}]},
        cohere: {"embeddings": {"float": [wrong]}},
        openai_vectors: {"data": [{"index": 0, "embedding": wrong}], "usage": {"prompt_tokens": 1}},
    }
    with (
        answering(json.dumps(bodies[made]).encode()) as url,
        pytest.raises(SetupError, match="give dimension=7"),
    ):
        made(url).check()


# Errors.

ERRORS = {  # fault: status, Bedrock's code, OpenAI's code
    "throttle": (429, "ThrottlingException", "rate_limit_exceeded"),
    "throttle_day": (429, "ThrottlingException", "rate_limit_exceeded"),
    "timeout": (408, "ModelTimeoutException", "timeout"),
    "model_error": (424, "ModelErrorException", "server_error"),
    "internal": (500, "InternalServerException", "server_error"),
    "unavailable": (503, "ServiceUnavailableException", "server_error"),
    "too_long": (400, "ValidationException", "context_length_exceeded"),
    "denied": (403, "AccessDeniedException", "model_not_allowed"),
    "unknown_model": (404, "ResourceNotFoundException", "model_not_found"),
    "hang": (0, "ReadTimeout", "ReadTimeout"),
    "reset": (0, "ConnectionError", "ConnectionError"),
    "truncated": (200, "BadResponse", "BadResponse"),
}
PAID = {"hang", "reset", "truncated"}
LASTING = {"denied", "unknown_model", "too_long", "reset", "truncated"}


@contextlib.contextmanager
def faulty(server: ModelServer, fault: str) -> Iterator[None]:
    server.control(faults={fault: 1.0, "hang_s": 30.0})
    server.reset()
    try:
        yield
    finally:
        server.control(faults={fault: 0.0})


def refused(model: Any, ask: Callable[[], object]) -> ModelError:
    """Return the error of a call, which shows nothing of what was sent."""
    with pytest.raises(ModelError) as caught:
        ask()
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
    shown = f"{error} {vars(error)}"
    assert not any(word in shown for word in ("fire", "Summarize", "simulated-secret"))
    return error


@CHAT
@pytest.mark.parametrize("fault", ERRORS)
def test_each_error_is_translated_after_one_request(
    server: ModelServer, made: Callable[..., Any], fault: str
) -> None:
    model = made(server.url, read_timeout_s=0.4)
    status, ours, theirs = ERRORS[fault]
    with faulty(server, fault):
        error = refused(model, lambda: model.call(QUESTION))
        assert server.stats()["offered"] == 1  # no client tried again
        if fault in LASTING:
            with pytest.raises(SetupError) as caught:
                model.check()
            assert "\n" not in str(caught.value)
        else:
            model.check()  # it is there, and will be well again
    assert (error.status, error.code) == (status, ours if made is bedrock else theirs)
    assert error.maybe_paid == (fault in PAID)
    assert error.original_status == (500 if (fault, made) == ("model_error", bedrock) else 0)
    waits = made is openai and status == 429
    assert (error.retry_after_s is not None) == waits


@EMBEDDING
@pytest.mark.parametrize("fault", ["throttle", "unavailable", "hang", "reset", "truncated"])
def test_embedding_errors_are_translated(
    server: ModelServer, made: Callable[..., Any], fault: str
) -> None:
    model = made(server.url, read_timeout_s=0.4)
    with faulty(server, fault):
        error = refused(model, lambda: model.call(["a fire lookout"], "document"))
        assert server.stats()["offered"] == 1
    code = ERRORS[fault][2 if made is openai_vectors else 1]
    assert (error.status, error.code) == (ERRORS[fault][0], code)
    assert error.maybe_paid == (fault in PAID)


@contextlib.contextmanager
def answering(body: bytes, status: str = "200 OK", headers: str = "") -> Iterator[str]:
    """Answer every request with these bytes, and close: what no server does on purpose."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n{headers}"
    whole = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                taken, _ = listener.accept()
                with taken:
                    _read(taken)
                    taken.sendall(whole)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(serve)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


def _read(taken: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += taken.recv(65_536)
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    left = int(lines[b"content-length"]) - len(rest)
    while left > 0:
        left -= len(taken.recv(65_536))


def test_how_long_the_server_asks_to_wait() -> None:
    body = json.dumps({"message": "Too many tokens, please wait.", "error": {}}).encode()
    kinds = {"x-amz-retry-after: 2500": 2.5, "Retry-After: 3": 3.0, "Retry-After: soon": None}
    for header, seconds in kinds.items():
        headers = f"x-amzn-ErrorType: ThrottlingException\r\n{header}\r\n"
        with answering(body, "429 Too Many Requests", headers) as url:
            model = bedrock(url)
            error = refused(model, partial(model.call, QUESTION))
            assert error.retry_after_s == seconds
            other = openai(url)
            error = refused(other, partial(other.call, QUESTION))
            assert error.retry_after_s == (None if "amz" in header else seconds)


def test_a_server_that_quotes_the_request_is_not_quoted() -> None:
    said = {"error": {"message": f"bad input: {QUESTION.prompt}"}, "message": QUESTION.prompt}
    with answering(json.dumps(said).encode(), "400 Bad Request") as url:
        for made in CHATS:
            model = made(url)
            assert refused(model, partial(model.call, QUESTION)).status == 400


STOPPED = {"output": {"message": {"content": [{"text": "x"}]}}, "usage": {}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({**STOPPED, "stopReason": "end_turn"}, "not whole"),
        (
            {
                **STOPPED,
                "stopReason": "malformed_model_output",
                "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
            },
            "malformed_model_output",
        ),
        ([], "cannot be read"),
    ],
)
def test_answers_that_cannot_be_used_were_paid(body: Any, message: str) -> None:
    with answering(json.dumps(body).encode()) as url:
        error = refused(None, lambda: bedrock(url).call(QUESTION))
    assert (error.code, error.maybe_paid) == ("BadResponse", True)
    assert message in error.message


@CHAT
def test_nobody_is_there(made: Callable[..., Any]) -> None:
    model = made("http://127.0.0.1:9")
    error = refused(model, lambda: model.call(QUESTION))
    assert (error.code, error.status, error.maybe_paid) == ("ConnectionError", 0, False)
    with pytest.raises(SetupError, match="no server answers there; check"):
        model.check()


def test_without_credentials(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    alone(monkeypatch)
    model = bedrock(server.url)
    with pytest.raises(SetupError, match="no AWS credentials found; run `aws configure`"):
        model.check()
    with pytest.raises(SetupError, match="no such profile in the AWS configuration"):
        bedrock(server.url, profile="nobody").check()
    with pytest.raises(SetupError, match="no region is set; set AWS_REGION or the option region"):
        bedrock(server.url, region=None).check()


def test_the_environment_names_the_endpoint() -> None:
    with models_here() as server:
        BedrockChat("eu.amazon.nova-lite-v1:0").check()
        OpenAIChat("some-model").check()
        assert server.stats()["calls"] == {
            "amazon.nova-lite-v1:0": {"converse": 1},
            "some-model": {"chat": 1},
        }


def test_the_key_and_the_url_of_the_environment(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    model = OpenAIChat("some-model")
    assert model.call(QUESTION).stop == "end"
    assert b"sk-very" not in pickle.dumps(model)
    said = {"error": {"message": "Incorrect API key provided: sk-very-secret.", "code": "no"}}
    with answering(json.dumps(said).encode(), "401 Unauthorized") as url:
        error = refused(None, lambda: openai(url).call(QUESTION))
        assert "sk-very" not in str(error)
        with pytest.raises(SetupError, match=r"does not take the key in .* OPENAI_API_KEY"):
            openai(url).check()
        monkeypatch.delenv("OPENAI_API_KEY")
        with pytest.raises(SetupError, match=r"wants a key in .* OPENAI_API_KEY"):
            openai(url).check()


def test_a_context_that_is_too_small_and_a_model_that_is_not_there() -> None:
    options = ModelOptions(context_tokens=400, known=["amazon.nova-lite-v1:0", "some-model"])
    with serving(model=options) as server:
        for made in CHATS:
            model = made(server.url)
            model.check()
            error = refused(model, partial(model.call, QUESTION))
            assert (error.status, "too long" in error.message) == (400, True)
        with pytest.raises(SetupError, match="no such model there; check model_id and region"):
            bedrock(server.url, model_id="amazon.nova-max-v9:0").check()
        with pytest.raises(SetupError, match="no such model"):
            openai(server.url, model_id="other").check()


# Threads and pickles.


@CHAT
def test_one_client_serves_many_threads(made: Callable[..., Any]) -> None:
    with serving(latency=LatencyOptions(base_s=1.0)) as server:
        model = pickle.loads(pickle.dumps(made(server.url)))
        assert model == made(server.url)
        with ThreadPoolExecutor(64) as pool:
            said = list(pool.map(lambda _: model.call(QUESTION), range(64)))
        assert len(set(said)) == 1
        assert server.stats()["peak_in_flight"] > 32  # a pool of 10 is the default
        assert made(server.url).client() is model.client()


def test_a_call_that_hangs_is_asked_once_and_paid() -> None:
    step = {"fault": "hang", "contains": "Summarize", "seconds": 1.0}
    with serving(faults=FaultOptions(script=[step])) as server:
        model = bedrock(server.url, read_timeout_s=0.3)
        assert refused(model, lambda: model.call(QUESTION)).code == "ReadTimeout"
        assert server.stats()["offered"] == 1
        assert model.call(QUESTION).stop == "end"


def test_every_client_has_settings_alone() -> None:
    models = [made("http://127.0.0.1:9") for made in (*CHATS, *EMBEDDINGS)]
    assert all(isinstance(one, BedrockModel | OpenAIServer) for one in models)
    pools = {one.pool for one in models}
    assert len(pools) == len(models)
    assert "bedrock/default/us-east-1/amazon.nova-lite-v1:0" in pools
    assert "openai/127.0.0.1:9/some-model" in pools
