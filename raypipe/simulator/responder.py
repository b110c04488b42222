"""Write the text of a model's answer, or the text of a fault."""

from __future__ import annotations

import orjson

from raypipe.simulator import answers
from raypipe.simulator.calls import SimulatedCall, StopReason
from raypipe.simulator.faults import Fault
from raypipe.simulator.options import ModelOptions
from raypipe.simulator.prompts import infer_schema
from raypipe.simulator.schemas import SchemaFiller
from raypipe.simulator.tokens import count_tokens, truncate_to_tokens


def write_answer(call: SimulatedCall, fault: Fault, model: ModelOptions) -> tuple[str, StopReason]:
    """Return the text of an answer and why it ends; '' for embeddings.

    Args:
        call: The call.
        fault: What goes wrong with the call.
        model: Properties of the model.
    """
    if call.texts or fault.name in ("empty", "filtered"):
        return "", "content_filtered" if fault.name == "filtered" else "end_turn"
    if fault.name == "refusal":
        return answers.REFUSAL, "end_turn"
    ratio = model.bytes_per_token
    schema = call.schema or infer_schema(call.prompt)
    if schema is None or fault.name == "unstructured":
        text = answers.summarize(call.prompt, model.answer_tokens, ratio)
    else:
        filler = SchemaFiller(schema, call.prompt, int(model.answer_tokens * ratio / 2))
        text = orjson.dumps(filler.fill()).decode()
    limit = min(call.max_tokens, model.context_tokens - call.input_tokens)
    if fault.name == "max_tokens":
        limit = min(limit, count_tokens(text, ratio) // 2)
    if count_tokens(text, ratio) > limit:
        return truncate_to_tokens(text, limit, ratio), "max_tokens"
    return text, "tool_use" if call.tool else "end_turn"
