"""Contracts of models that are called over HTTP: questions, answers, errors and clients.

A client makes exactly one HTTP request per call. Retries, quota, budget and the answer cache are
the job of `raypipe.models.calling.caller.ModelCaller`, the same for every client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, Self, TypeVar

from raypipe.core.retry import bound_wait
from raypipe.models.context import Billing
from raypipe.quota.protocol import CallRequest

InputType = Literal["document", "query"]
"""Whether a text is indexed or searched with; some embedding models treat the two differently."""
StopReason = Literal["end", "max_tokens", "filtered", "context"]
"""Why a model stopped: it was done, reached max_tokens, hit a content filter, filled its window."""


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one or more calls, as counted by the server; 0 if it sent no valid count.

    Args:
        input_tokens: Tokens of the request.
        output_tokens: Tokens of the answer.
        tier: Service tier that the server billed, one of `raypipe.quota.prices.TIERS`; '' if it
            named none, and in sums.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    tier: str = ""

    def __add__(self, other: TokenUsage) -> TokenUsage:
        """Return the sum of both."""
        return TokenUsage(
            self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens
        )


@dataclass(frozen=True, slots=True)
class Question:
    """A question to a chat model. Every field is part of the request body.

    All but `max_tokens` are part of the cache key.

    Args:
        system: The system prompt.
        prompt: The user's message; book text in it is delimited as data.
        max_tokens: Maximum tokens of the answer; always sent.
        temperature: Sampling temperature; 0 for answers that repeat.
        schema: JSON schema of the answer; None for plain text.
        schema_name: Short name of the schema; the APIs require one.
    """

    system: str
    prompt: str
    max_tokens: int
    temperature: float = 0.0
    schema: Mapping[str, Any] | None = None
    schema_name: str = "answer"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a chat model.

    Args:
        text: The answer, without the model's thinking.
        stop_reason: Why the model stopped.
        usage: Tokens as counted by the server; output tokens include thinking.
        thinking_tokens: Output tokens that were thinking and not the answer.
        server_reason: The server's own word for the stop reason, for messages.
    """

    text: str
    stop_reason: StopReason
    usage: TokenUsage = field(default_factory=TokenUsage)
    thinking_tokens: int = 0
    server_reason: str = field(default="", compare=False)

    @property
    def is_cut_by_thinking(self) -> bool:
        """Whether thinking took the tokens that the answer needed."""
        return self.stop_reason == "max_tokens" and self.thinking_tokens > 0


@dataclass(frozen=True, slots=True)
class Vectors:
    """The answer of an embedding model: a vector per text, in the order of the texts."""

    vectors: list[list[float]]
    usage: TokenUsage = field(default_factory=TokenUsage)


class ModelError(Exception):
    """An HTTP request to a model brought no usable answer.

    `raypipe.models.error_policy` decides what happens next.

    Args:
        code: The server's error code (`ThrottlingException`), or the client's own where the server
            sent none: `ReadTimeout`, `ConnectTimeout`, `ConnectionError`, `BadResponse`.
        message: For messages and logs; never contains the prompt or credentials.
        status: HTTP status; 0 if there was none.
        retry_after_s: Seconds that the server asked to wait, bounded by `bound_wait`; None if it
            named no time.
        original_status: The model's own status inside Bedrock's ModelErrorException; 0 if none.
        is_foreign: Whether a proxy or firewall answered in place of the service.
        maybe_paid: Whether the request was sent and its result is unknown: it may be billed.
        usage: Tokens of an unusable answer, if the server counted them; None if unknown.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 0,
        retry_after_s: float | None = None,
        original_status: int = 0,
        is_foreign: bool = False,
        maybe_paid: bool = False,
        usage: TokenUsage | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.retry_after_s = bound_wait(retry_after_s)
        self.original_status = original_status
        self.is_foreign = is_foreign
        self.maybe_paid = maybe_paid
        self.usage = usage

    @classmethod
    def bad_response(cls, message: str, usage: TokenUsage | None = None) -> Self:
        """Return the error of an answer that was sent, and may be billed, but is unusable.

        Args:
            message: What is wrong with the answer.
            usage: Its tokens, if the server counted them.
        """
        return cls("BadResponse", message, status=200, maybe_paid=True, usage=usage)

    @classmethod
    def foreign(cls, status: int, retry_after_s: float | None = None) -> Self:
        """Return the error of an answer of a proxy or firewall, which is not quoted."""
        message = f"a proxy or firewall answered in place of the model (status {status})"
        return cls(
            "ForeignResponse", message, status=status, retry_after_s=retry_after_s, is_foreign=True
        )


class TooLongError(Exception):
    """The input is too long for the model; send less per call."""


class ChatModel(Protocol):
    """A client of one chat model: a frozen dataclass of settings, pickled to the workers."""

    @property
    def name(self) -> str:
        """Return the name for documents and messages, e.g. `bedrock/amazon.nova-lite-v1:0`."""

    @property
    def base_model(self) -> str:
        """Return the model id without region prefix; the price table and the cache use it."""

    @property
    def pool(self) -> str:
        """Return the name of the quota that its calls draw on: account, region and model."""

    def identity(self) -> Mapping[str, Any]:
        """Return the settings that change its answers; never a region or an endpoint."""

    def check(self) -> None:
        """Make a call of a few tokens.

        Raises:
            SetupError: No call could succeed; the message names the way out.
        """

    def body(self, question: Question) -> Mapping[str, Any]:
        """Return the request body as plain JSON values, without region and endpoint."""

    def call(self, question: Question) -> Answer:
        """Make one HTTP request and return the answer. Thread-safe.

        Raises:
            ModelError: There is no usable answer.
        """

    def count_tokens(self, question: Question) -> int | None:
        """Return the server's free count of the input tokens, or None if it offers none."""


class EmbeddingModel(Protocol):
    """A client of one embedding model: a frozen dataclass of settings, pickled to the workers."""

    @property
    def name(self) -> str:
        """Return the name for documents and messages: `bedrock/amazon.titan-embed-text-v2:0`."""

    @property
    def base_model(self) -> str:
        """Return the model id without region prefix; the price table and the cache use it."""

    @property
    def pool(self) -> str:
        """Return the name of the quota that its calls draw on: account, region and model."""

    @property
    def dimension(self) -> int:
        """Return the length of its vectors; known without a call."""

    @property
    def max_texts(self) -> int:
        """Return the maximum number of texts per call."""

    @property
    def max_chars(self) -> int:
        """Return the maximum number of characters per text; the caller truncates longer texts."""

    def identity(self) -> Mapping[str, Any]:
        """Return the settings that change its vectors: model, dimension, normalization."""

    def check(self) -> None:
        """Embed a word.

        Raises:
            SetupError: No call could succeed; the message names the way out.
        """

    def body(self, texts: Sequence[str], input_type: InputType) -> Mapping[str, Any]:
        """Return the request body as plain JSON values."""

    def call(self, texts: Sequence[str], input_type: InputType) -> Vectors:
        """Make one HTTP request and return a vector per text. Thread-safe.

        Raises:
            ModelError: There is no usable answer.
        """


T = TypeVar("T")


@dataclass(frozen=True)
class ModelCall(Generic[T]):
    """One paid request to any kind of model, in the form that `ModelCaller` needs.

    Args:
        key: Operation, base model and body; the cache finds the answer by their hash.
        request: The most tokens that the call can take.
        send: Makes one HTTP request; raises `ModelError`.
        usage_of: Returns the tokens of an answer.
        is_cacheable: Whether a cached answer may be used; other answers are paid for again.
        to_json: Converts an answer to plain JSON values.
        from_json: Converts plain JSON values back to an answer.
        old_keys: Keys under which an older raypipe may have cached the answer.
        billing: How the call is billed; None for the model of the key at the default tier.
    """

    key: Mapping[str, Any]
    request: CallRequest
    send: Callable[[], T]
    usage_of: Callable[[T], TokenUsage]
    is_cacheable: Callable[[T], bool]
    to_json: Callable[[T], Mapping[str, Any]]
    from_json: Callable[[Mapping[str, Any]], T]
    old_keys: Sequence[Mapping[str, Any]] = ()
    billing: Billing | None = None
