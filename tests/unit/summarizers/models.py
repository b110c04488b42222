"""A chat model for tests that answers by a rule and records its questions."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from raypipe.config.paths import conf_dir
from raypipe.embedders.hash import HashEmbedder
from raypipe.models.protocol import Answer, Question, TokenUsage
from raypipe.summarizers.llm.summarizer import ModelSummarizer
from raypipe.summarizers.prompts import Prompts

Rule = Callable[[Question, int], Answer | str]
"""Takes a question and how often it was asked before; returns the answer."""

_TEXT = re.compile(r"<book_text>\n(.*)\n</book_text>", re.S)


def default_prompts(**changes: str) -> Prompts:
    """Return the prompts of conf/prompts/default.yaml, with some of them replaced."""
    import yaml

    file = conf_dir() / "prompts" / "default.yaml"
    texts = yaml.safe_load(file.read_text())
    del texts["_target_"]
    return Prompts(**{**texts, **changes})


def material(question: Question) -> str:
    """Return the text between the tags of a question."""
    match = _TEXT.search(question.prompt)
    assert match
    return match[1]


def level(question: Question) -> str:
    """Return the name of a question's prompt, with `+` if it is asked again."""
    wordings = {
        "is one part of a book": "chunk",
        "Write one summary of them": "merge",
        "summaries of all parts": "final",
        "is a whole book": "single",
        "Put it into that form": "repair",
    }
    (name,) = [name for words, name in wordings.items() if words in question.prompt]
    return name + ("+" if "An earlier answer" in question.prompt else "")


def prose_answer(question: Question, words: int = 60) -> str:
    """Return whole sentences of the material."""
    text = " ".join(material(question).split())
    sentences = re.findall(r"On day [^.]*\.", text) or [text]
    kept = ""
    for sentence in dict.fromkeys(sentences):
        if kept and len((kept + sentence).split()) > words:
            break
        kept += f"{sentence} "
    return kept.strip()


def json_answer(question: Question, **changes: Any) -> str:
    """Return a complete JSON answer about a book, with some fields replaced."""
    fields = {
        "title": "Made Up", "author": "Nobody", "genre": "novel", "setting": "an island",
        "period": "unknown", "plot": "A keeper keeps.", "themes": ["duty"],
        "characters": ["Ada: the keeper"], "keywords": ["Lamp", "keeper"],
        "summary": prose_answer(question),
    }  # fmt: skip
    return json.dumps({**fields, **changes})


def good_answer(question: Question, _: int = 0) -> str:
    """Return the answer that the question asks for."""
    return prose_answer(question) if question.schema is None else json_answer(question)


@dataclass(frozen=True)
class FakeChat:
    """A chat model that answers by a rule.

    Args:
        rule: Returns or raises the answer.
        region: Part of the quota pool only, not of identity and body.
    """

    rule: Rule = good_answer
    region: str = "us-east-1"
    asked: list[Question] = field(default_factory=list, compare=False)
    lock: Any = field(default_factory=threading.Lock, compare=False)
    name: str = "fake/model"
    base_model: str = "model"

    @property
    def pool(self) -> str:
        return f"fake/{self.region}"

    def identity(self) -> Mapping[str, Any]:
        return {"model": self.base_model}

    def check(self) -> None: ...

    def body(self, question: Question) -> Mapping[str, Any]:
        return {
            "system": question.system,
            "prompt": question.prompt,
            "max_tokens": question.max_tokens,
            "schema": question.schema,
        }

    def call(self, question: Question) -> Answer:
        with self.lock:
            before = self.asked.count(question)
            self.asked.append(question)
        answer = self.rule(question, before)
        if isinstance(answer, Answer):
            return answer
        return Answer(answer, "end", TokenUsage(len(question.prompt) // 4, len(answer) // 4))

    def count_tokens(self, question: Question) -> int | None:
        return None

    @property
    def levels(self) -> list[str]:
        return [level(question) for question in self.asked]


def make_summarizer(rule: Rule = good_answer, **settings: Any) -> tuple[ModelSummarizer, FakeChat]:
    """Return a summarizer with small chunks and its model."""
    model = settings.pop("model", None) or FakeChat(rule)
    defaults = {"chunk_tokens": 1_000, "prompts": default_prompts(), "embedder": HashEmbedder(64)}
    return ModelSummarizer(model=model, **{**defaults, **settings}), model
