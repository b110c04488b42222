"""Separate a model's thinking from its answer.

A server with a reasoning parser sends thinking in a field or block of the response, which the
clients read. Without one, thinking is part of the text, between tags or channel tokens. It may be
cut off at max_tokens, and templates that open the tag in the prompt leave only its end.
"""

# ruff: noqa: RUF001 - the tokens of DeepSeek have such characters
from __future__ import annotations

import re
from dataclasses import dataclass

_TAGS = (
    # Qwen and DeepSeek; Nova and Claude; Gemini; gpt-oss on Bedrock.
    *((f"<{name}>", f"</{name}>") for name in ("think", "thinking", "thought", "reasoning")),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),  # Magistral
    ("◁think▷", "◁/think▷"),  # Kimi
    ("<|begin_of_thought|>", "<|end_of_thought|>"),  # OpenThinker
    ("<unused94>", "<unused95>"),  # MedGemma
    ("<|channel>thought", "<channel|>"),  # Gemma 4
)
_BLOCKS = tuple(
    (
        re.compile(re.escape(start) + r"(.*?)" + re.escape(end), re.I | re.S),
        re.compile(re.escape(start), re.I),
        re.compile(re.escape(end), re.I),
    )
    for start, end in _TAGS
)
_HARMONY = re.compile(r"<\|channel\|>\s*(\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>", re.I)
"""The start of a channel of gpt-oss: analysis, commentary, or final with the answer."""
_BARE_HARMONY = re.compile(r"\s*analysis(?=[A-Z\"'*\s]).*?assistant\s*final(?!ly\b)", re.S)
_BARE_ANALYSIS = re.compile(r"\s*analysis(?=[A-Z][a-z]* )")
"""The same where the server dropped the tokens around the channels' names."""
_CONTROLS = re.compile(
    r"<\|(?:im_end|im_start|eot_id|eom_id|end_of_text|endoftext|end|return|start|end_of_solution"
    r"|begin_of_solution|assistant|user)\|>|<[｜|]end[▁_]of[▁_]sentence[｜|]>|<end_of_turn>|</s>"
    r"|\[/?INST\]"
)
_FRAMES = (
    re.compile(r"\s*<answer>(.*?)(?:</answer>\s*)?\Z", re.I | re.S),
    re.compile(r"\s*```\w*\n(.*?)\n?```\s*\Z", re.S),
)
"""What models put around a whole answer: tags, and the fence of a code block."""


@dataclass(frozen=True, slots=True)
class SplitText:
    """A model's text without its thinking.

    Args:
        answer: The answer; empty if the thinking has no end.
        thinking: All of the thinking.
        is_cut: Whether the text ends inside the thinking.
    """

    answer: str
    thinking: str = ""
    is_cut: bool = False


def split_thinking(text: str) -> SplitText:
    """Return the answer in a model's text, without thinking, control tokens and frames."""
    split = _split_harmony(text)
    for block, start, end in _BLOCKS:
        split = _split_tags(split, block, start, end)
    answer = split.answer
    if _CONTROLS.search(answer):
        answer = _CONTROLS.sub("", answer)
    for frame in _FRAMES:
        if framed := frame.match(answer):
            answer = framed[1]
    if answer == text:
        return SplitText(text)
    return SplitText(answer.strip(), split.thinking, split.is_cut)


def _split_tags(
    split: SplitText, block: re.Pattern[str], start: re.Pattern[str], end: re.Pattern[str]
) -> SplitText:
    answer, thinking = split.answer, split.thinking
    if not (start.search(answer) or end.search(answer)):
        return split
    thinking += "".join(match[1] for match in block.finditer(answer))
    answer = block.sub("", answer)
    # The prompt has the start, or the thinking quotes the end.
    if ends := list(end.finditer(answer)):
        thinking += answer[: ends[-1].start()]
        answer = answer[ends[-1].end() :]
    is_cut = split.is_cut
    if unclosed := start.search(answer):
        thinking += answer[unclosed.end() :]
        answer, is_cut = answer[: unclosed.start()], True
    return SplitText(answer, thinking, is_cut)


def _split_harmony(text: str) -> SplitText:
    channels = list(_HARMONY.finditer(text))
    if not channels:
        if bare := _BARE_HARMONY.match(text):
            return SplitText(text[bare.end() :], bare[0])
        if _BARE_ANALYSIS.match(text):
            return SplitText("", text, is_cut=True)
        return SplitText(text)
    ends = [*(match.start() for match in channels[1:]), len(text)]
    parts = [
        (channel[1].lower(), text[channel.end() : end].partition("<|end|>")[0])
        for channel, end in zip(channels, ends, strict=True)
    ]
    finals = [part for name, part in parts if name == "final"]
    thinking = "".join(part for name, part in parts if name != "final")
    return SplitText(finals[-1] if finals else "", thinking, is_cut=not finals)
