from __future__ import annotations

import pytest

from raypipe.models.thinking import split_thinking

ANSWER = "Two friends keep a lighthouse. They quarrel, and they make up."


@pytest.mark.parametrize(
    "text",
    [
        f"<think>\nOkay, the user wants a summary.\n</think>\n\n{ANSWER}",
        f"Okay, the user wants a summary.\n</think>\n\n{ANSWER}",  # the template has the start
        f"<think>\n\n</think>\n\n{ANSWER}",
        f"<THINK>Okay.</THINK>{ANSWER}",
        f"<think>I close it with </think> at the end.</think>{ANSWER}",
        f"<thinking>Okay.</thinking>\n{ANSWER}",
        f"<thought>Okay.</thought>\n{ANSWER}",
        f"<reasoning>Okay.</reasoning>{ANSWER}",
        f"<seed:think>Okay.</seed:think>{ANSWER}",
        f"[THINK]Okay.[/THINK]{ANSWER}",
        f"◁think▷Okay.◁/think▷{ANSWER}",
        f"<|begin_of_thought|>Okay.<|end_of_thought|>\n\n<|begin_of_solution|>\n{ANSWER}"
        "<|end_of_solution|>",
        f"<unused94>thought\nOkay.<unused95>{ANSWER}",
        f"<|channel>thought\nOkay.<channel|>{ANSWER}",
        f"<|channel|>analysis<|message|>Okay.<|end|><|start|>assistant<|channel|>final<|message|>"
        f"{ANSWER}<|return|>",
        f"analysisThe user wants a summary. Let me write.assistantfinal{ANSWER}",
        f"<think>Okay.</think>\n<answer>\n{ANSWER}\n</answer>",
        f"{ANSWER}<|im_end|>",
        f"{ANSWER}</s>",
        f"```text\n{ANSWER}\n```",
        f"```\n{ANSWER}```\n",
        f"{ANSWER}\n<think>Is that all? Yes.</think>",
    ],
)
def test_thinking_and_tokens_are_no_part_of_an_answer(text: str) -> None:
    split = split_thinking(text)
    assert (split.answer, split.is_cut) == (ANSWER, False)


@pytest.mark.parametrize(
    "text",
    [
        "<think>\nOkay, the user wants a summary of a book",
        "[THINK]Okay, the user",
        "<|channel|>analysis<|message|>We need to summarize",
        "analysisWe need to summarize the text about",
        "<think>a</think><think>And then",
    ],
)
def test_thinking_that_was_cut_leaves_no_answer(text: str) -> None:
    split = split_thinking(text)
    assert (split.answer, split.is_cut) == ("", True)
    assert split.thinking


@pytest.mark.parametrize(
    "text",
    [
        ANSWER,
        "I think, therefore I am: the thinking of Descartes in <em>tags</em>.",
        '{"summary": "A book about <b>thought</b>.", "title": "T"}',
        "analysis of the text shows two friends.",
        "Analysis: finally, they make up.",
        "  with spaces\n",
        "",
    ],
)
def test_a_text_without_thinking_stays_as_it_is(text: str) -> None:
    assert split_thinking(text).answer == text
