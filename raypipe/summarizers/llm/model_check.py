"""Check a model before a run with the question about a book, and size the budgets to its limits."""

from __future__ import annotations

from raypipe.core.errors import SetupError
from raypipe.models.adaptation import Adaptation
from raypipe.models.adapter import ModelAdapter
from raypipe.models.preflight import check_chat_model
from raypipe.models.protocol import ChatModel, Question
from raypipe.state.store import State
from raypipe.summarizers.llm.probe import probe_book
from raypipe.summarizers.llm.questions import QuestionWriter
from raypipe.summarizers.llm.token_budget import TokenBudget
from raypipe.summarizers.prompts import Prompts


def adapt_budget(budget: TokenBudget, known: Adaptation, name: str) -> TokenBudget:
    """Return the budgets within the limits of a model.

    Args:
        budget: The budgets of the settings.
        known: The adaptation to the model.
        name: Name of the model.

    Raises:
        SetupError: The limits are too small for two summaries beside the prompt and the answer.
    """
    limits = known.context_tokens, known.max_output_tokens, known.thinking_room
    if not any(limits):
        return budget
    try:
        return budget.adapt(*limits)
    except ValueError as error:
        raise SetupError(f"{name}: {'; '.join(known.describe())}: {error}") from None


def check_model(
    model: ChatModel,
    prompts: Prompts,
    budget: TokenBudget,
    adapter: ModelAdapter,
    state: State | None,
) -> None:
    """Ask a model about a made-up book as long as a chunk; see `preflight.check_chat_model`.

    The question has everything that a server may refuse: the system text, the schema, the most
    tokens of an answer, and a text of real length.

    Args:
        model: The chat model.
        prompts: The prompts of the run.
        budget: The budgets of the settings.
        adapter: Keeps what is found.
        state: Where the paid answer is cached; None for no cache.

    Raises:
        SetupError: No call could succeed.
    """

    def write_question() -> Question:
        adapted = adapt_budget(budget, adapter.adaptation, model.name)
        return _write_probe(prompts, adapted)

    check_chat_model(model, _write_probe(prompts, budget), write_question, adapter, state)


def _write_probe(prompts: Prompts, budget: TokenBudget) -> Question:
    book = probe_book(min(budget.chunk_bytes, budget.max_book_bytes))
    questions = QuestionWriter(prompts, budget, book)
    return questions.write(questions.single_task())
