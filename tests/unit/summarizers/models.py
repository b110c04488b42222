"""A chat model for the tests: answers by a rule, notes what it was asked."""

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
from raypipe.summarizers.llm.prompts import Prompts
from raypipe.summarizers.llm.summarizer import ModelSummarizer

Rule = Callable[[Question, int], Answer | str]
"""From a question, and how often the same prompt came before, to the answer."""

_TEXT = re.compile(r"<book_text>\n(.*)\n</book_text>", re.S)


def prompts(**changes: str) -> Prompts:
    """Return the prompts that come with raypipe."""
    import yaml

    file = conf_dir() / "prompts" / "default.yaml"
    texts = yaml.safe_load(file.read_text())
    del texts["_target_"]
    return Prompts(**{**texts, **changes})


def material(question: Question) -> str:
    """Return what stands between the tags."""
    found = _TEXT.search(question.prompt)
    assert found
    return found[1]


def level(question: Question) -> str:
    """Return which prompt it is."""
    told = {
        "is one part of a book": "chunk",
        "Write one summary of them": "merge",
        "summaries of all parts": "final",
        "is a whole book": "single",
        "Put it into that form": "repair",
    }
    (found,) = [name for words, name in told.items() if words in question.prompt]
    return found + ("+" if "An earlier answer" in question.prompt else "")


def prose(question: Question, words: int = 60) -> str:
    """Return whole sentences that stand in the material."""
    text = " ".join(material(question).split())
    sentences = re.findall(r"On day [^.]*\.", text) or [text]
    kept = ""
    for sentence in dict.fromkeys(sentences):
        if kept and len((kept + sentence).split()) > words:
            break
        kept += f"{sentence} "
    return kept.strip()


def as_json(question: Question, **changes: Any) -> str:
    """Return a whole answer about a book."""
    said = {
        "title": "Made Up", "author": "Nobody", "genre": "novel", "setting": "an island",
        "period": "unknown", "plot": "A keeper keeps.", "themes": ["duty"],
        "characters": ["Ada: the keeper"], "keywords": ["Lamp", "keeper"],
        "summary": prose(question),
    }  # fmt: skip
    return json.dumps({**said, **changes})


def well(question: Question, _: int = 0) -> str:
    """Answer everything as asked."""
    return prose(question) if question.schema is None else as_json(question)


@dataclass(frozen=True)
class FakeChat:
    """Answers by a rule.

    Args:
        rule: What it says, or raises.
        region: Is in no identity and no body.
    """

    rule: Rule = well
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
            before = sum(one == question for one in self.asked)
            self.asked.append(question)
        said = self.rule(question, before)
        if isinstance(said, Answer):
            return said
        return Answer(said, "end", TokenUsage(len(question.prompt) // 4, len(said) // 4))

    def count_tokens(self, question: Question) -> int | None:
        return None

    @property
    def levels(self) -> list[str]:
        return [level(question) for question in self.asked]


def made(rule: Rule = well, **settings: Any) -> tuple[ModelSummarizer, FakeChat]:
    """Return a summarizer with small chunks, and its model."""
    model = settings.pop("model", None) or FakeChat(rule)
    defaults = {"chunk_tokens": 1_000, "prompts": prompts(), "embedder": HashEmbedder(64)}
    return ModelSummarizer(model=model, **{**defaults, **settings}), model
