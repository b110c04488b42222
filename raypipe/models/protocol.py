"""Models that answer over HTTP: what is asked, what comes back, and what a client must do.

A client makes exactly one HTTP request a call: retries, quota, budget and the cache of answers are
the caller's (`raypipe.models.calling.caller`), the same for every client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

from raypipe.quota.protocol import CallRequest

InputType = Literal["document", "query"]
Stop = Literal["end", "max_tokens", "filtered", "context"]
"""Why a model stopped: it was done, it reached max_tokens, a content filter, its window."""


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one or more calls, as the server counted them."""

    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: TokenUsage) -> TokenUsage:
        """Add up."""
        return TokenUsage(
            self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens
        )


@dataclass(frozen=True, slots=True)
class Question:
    """What a chat model is asked; all of it enters the request body, and so the cache's key.

    Args:
        system: Standing orders.
        prompt: The user's message; book text in it is delimited as data.
        max_tokens: Most tokens of the answer; always sent.
        temperature: 0 where answers should be the same again.
        schema: JSON schema of the answer; None = plain text.
        schema_name: A short word for it, which the APIs ask for.
    """

    system: str
    prompt: str
    max_tokens: int
    temperature: float = 0.0
    schema: Mapping[str, Any] | None = None
    schema_name: str = "answer"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a chat model said."""

    text: str
    stop: Stop
    usage: TokenUsage = field(default_factory=TokenUsage)


class ModelError(Exception):
    """One HTTP request to a model did not bring an answer.

    Args:
        code: The server's word (`ThrottlingException`), or the client's for what never became an
            answer: `ReadTimeout`, `ConnectTimeout`, `ConnectionError`, `BadResponse`.
        message: For a person; never the prompt, never credentials.
        status: HTTP status; 0 = there was none.
        retry_after_s: Seconds that the server asked to wait; None = it did not say.
        original_status: Bedrock's ModelErrorException tells the model's own status; 0 = none.
        maybe_paid: The request was sent and its fate is unknown: it may be on the bill.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 0,
        retry_after_s: float | None = None,
        original_status: int = 0,
        maybe_paid: bool = False,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.retry_after_s = retry_after_s
        self.original_status = original_status
        self.maybe_paid = maybe_paid


class ChatModel(Protocol):
    """A client of one chat model; a frozen dataclass of settings, pickled to the workers."""

    @property
    def name(self) -> str:
        """Name it in documents and messages, e.g. `bedrock/amazon.nova-lite-v1:0`."""

    @property
    def base_model(self) -> str:
        """Return the model's id without region prefix: what prices and the cache know it by."""

    @property
    def pool(self) -> str:
        """Name the quota that its calls draw on: account or profile, region, model."""

    def identity(self) -> Mapping[str, Any]:
        """Return what changes its answers: the model; never a region or an endpoint."""

    def check(self) -> None:
        """Ask for a few tokens; `SetupError` with the way out if no call could succeed."""

    def body(self, question: Question) -> Mapping[str, Any]:
        """Return the exact request body as plain JSON values, region and endpoint left out."""

    def call(self, question: Question) -> Answer:
        """Make one HTTP request and return its answer; safe for many threads.

        Raises:
            ModelError: There was no answer.
        """

    def count_tokens(self, question: Question) -> int | None:
        """Return the input tokens as the server counts them, for nothing; None = it cannot say."""


Stopped = Callable[[], str]
"""Tells why nothing new may begin, an empty string while all may; cheap to ask often."""


def never_stopped() -> str:
    """Return an empty string: nothing stops this."""
    return ""


class TooLongError(Exception):
    """The model cannot take so much at once; ask for less at a time."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """What an embedding model made of some texts."""

    vectors: list[list[float]]
    usage: TokenUsage = field(default_factory=TokenUsage)


class EmbeddingModel(Protocol):
    """A client of one embedding model; a frozen dataclass of settings, pickled to the workers."""

    @property
    def name(self) -> str:
        """Name it in documents and messages, e.g. `bedrock/amazon.titan-embed-text-v2:0`."""

    @property
    def base_model(self) -> str:
        """Return the model's id without region prefix."""

    @property
    def pool(self) -> str:
        """Name the quota that its calls draw on."""

    @property
    def dimension(self) -> int:
        """Length of its vectors, known without a call."""

    @property
    def max_texts(self) -> int:
        """Most texts of one call."""

    @property
    def max_chars(self) -> int:
        """Most characters of one text; longer ones are cut before they are sent."""

    def identity(self) -> Mapping[str, Any]:
        """Return what changes its vectors: model, dimension, normalization."""

    def check(self) -> None:
        """Embed a word; `SetupError` with the way out if no call could succeed."""

    def body(self, texts: Sequence[str], input_type: InputType) -> Mapping[str, Any]:
        """Return the exact request body as plain JSON values."""

    def call(self, texts: Sequence[str], input_type: InputType) -> Vectors:
        """Make one HTTP request; as `ChatModel.call`."""


T = TypeVar("T")


@dataclass(frozen=True)
class Call(Generic[T]):
    """One paid request, whatever is asked: what the caller needs to know of it.

    Args:
        key: Operation, base model and exact body; the cache knows the answer by its hash.
        need: What it may take at most.
        send: Makes one HTTP request; raises `ModelError`.
        usage: Tokens of an answer.
        keep: Whether an answer may be kept for good; others are paid again.
        to_json: Turns an answer into plain JSON values.
        from_json: And back.
    """

    key: Mapping[str, Any]
    need: CallRequest
    send: Callable[[], T]
    usage: Callable[[T], TokenUsage]
    keep: Callable[[T], bool]
    to_json: Callable[[T], Mapping[str, Any]]
    from_json: Callable[[Mapping[str, Any]], T]
