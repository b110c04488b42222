"""Real boto3 talks to the model server; OpenAI's shapes are asked for over plain HTTP."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.exceptions
import numpy as np
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from raypipe import embedded
from raypipe.simulator.model_server import ModelServer
from raypipe.simulator.options import (
    ConcurrencyOptions,
    FaultOptions,
    LatencyOptions,
    ModelOptions,
    ServerOptions,
    ServerQuotaOptions,
)

MODEL = "us.amazon.nova-lite-v1:0"
BOOK = (Path(embedded.__file__).parent / "samples" / "stovepipe-lookout-diary.txt").read_text()
ONCE = {"total_max_attempts": 1, "mode": "standard"}


def bedrock(url: str, **config: Any) -> Any:
    # A profile or proxy of whoever runs the tests has no say.
    options = {"retries": ONCE, "proxies": {}, "read_timeout": 120, **config}
    return boto3.Session().client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="simulated",
        aws_secret_access_key="simulated",
        config=Config(**options),
    )


def converse(client: Any, text: str, most: int = 300, **more: Any) -> Any:
    messages = [{"role": "user", "content": [{"text": text}]}]
    limits = {"maxTokens": most}
    return client.converse(
        **{"modelId": MODEL, "messages": messages, "inferenceConfig": limits, **more}
    )


def http_call(
    url: str, method: str, path: str, body: Any = None, key: str = "Bearer simulated"
) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
    headers = {"Content-Type": "application/json", **({"Authorization": key} if key else {})}
    with contextlib.closing(connection):
        sent = None if body is None else json.dumps(body)
        connection.request(method, path, sent, headers)
        answer = connection.getresponse()
        said = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, said, json.loads(answer.read())


@pytest.fixture(autouse=True)
def _no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


@contextlib.contextmanager
def serving(**options: Any) -> Iterator[tuple[ModelServer, Any]]:
    with ModelServer(ServerOptions(**options)) as running:
        yield running, bedrock(running.url, max_pool_connections=300)


# Shapes.


def test_converse_answers_from_the_text_and_counts_its_tokens(server: ModelServer) -> None:
    client = bedrock(server.url)
    text = f"Summarize.\n<book>{BOOK}</book>"
    messages = [{"role": "user", "content": [{"text": text}]}]
    said = converse(client, text, system=[{"text": "You summarize books."}])
    [block] = said["output"]["message"]["content"]
    assert block["text"][:60] in " ".join(BOOK.split())
    assert said["stopReason"] == "end_turn"
    usage = said["usage"]
    assert usage["inputTokens"] == -(-len(text.encode()) // 4) + 5
    assert usage["outputTokens"] == -(-len(block["text"].encode()) // 4)
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]
    asked = {"messages": messages, "system": [{"text": "You summarize books."}]}
    counted = client.count_tokens(modelId=MODEL, input={"converse": asked})
    assert counted["inputTokens"] == usage["inputTokens"]


def test_metadata_is_no_part_of_a_prompt(server: ModelServer) -> None:
    server.reset()
    for number in ("1", "2"):
        converse(bedrock(server.url), BOOK, requestMetadata={"run": number})
    assert server.stats()["repeated_prompts"]["prompts"] == 1


def test_converse_stops_at_max_tokens(server: ModelServer) -> None:
    said = converse(bedrock(server.url), BOOK, most=20)
    assert (said["stopReason"], said["usage"]["outputTokens"]) == ("max_tokens", 20)


@pytest.mark.parametrize(
    "model_id",
    [
        "global.amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
    ],
)
def test_every_name_of_a_model_is_the_same_model(server: ModelServer, model_id: str) -> None:
    server.reset()
    converse(bedrock(server.url), BOOK, modelId=model_id)
    assert server.stats()["calls"] == {"amazon.nova-lite-v1:0": {"converse": 1}}


SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "themes": {"type": "array", "items": {"type": "string"}},
    },
}


def test_a_schema_is_answered_with_json(server: ModelServer) -> None:
    client = bedrock(server.url)
    structure = {"jsonSchema": {"schema": json.dumps(SCHEMA), "name": "book"}}
    output = {"textFormat": {"type": "json_schema", "structure": structure}}
    said = converse(client, BOOK, outputConfig=output)
    assert set(json.loads(said["output"]["message"]["content"][0]["text"])) == {"title", "themes"}
    spec = {"toolSpec": {"name": "keep", "inputSchema": {"json": SCHEMA}}}
    tools = {"tools": [spec], "toolChoice": {"tool": {"name": "keep"}}}
    said = converse(client, BOOK, toolConfig=tools)
    use = said["output"]["message"]["content"][0]["toolUse"]
    assert (said["stopReason"], use["name"], set(use["input"])) == (
        "tool_use",
        "keep",
        {"title", "themes"},
    )


def invoke(client: Any, model: str, body: Any) -> Any:
    said = client.invoke_model(modelId=model, body=json.dumps(body))
    assert said["contentType"] == "application/json"
    return json.loads(said["body"].read())


def test_titan_embeds(server: ModelServer) -> None:
    client = bedrock(server.url)
    body = {"inputText": BOOK[:3_000], "dimensions": 512, "normalize": True}
    said = invoke(client, "amazon.titan-embed-text-v2:0", body)
    assert len(said["embedding"]) == 512
    assert np.linalg.norm(said["embedding"]) == pytest.approx(1.0, abs=1e-5)
    counted = client.count_tokens(
        modelId="amazon.titan-embed-text-v2:0",
        input={"invokeModel": {"body": json.dumps(body).encode()}},
    )
    assert counted["inputTokens"] == said["inputTextTokenCount"] == 750
    with pytest.raises(client.exceptions.ValidationException, match="Max input tokens: 8192"):
        invoke(client, "amazon.titan-embed-text-v2:0", {"inputText": "word " * 9_000})


def test_cohere_embeds(server: ModelServer) -> None:
    client = bedrock(server.url)
    body = {"texts": ["one", "two"], "input_type": "search_document"}
    said = invoke(client, "cohere.embed-english-v3", body)
    assert np.shape(said["embeddings"]) == (2, 1024)
    newer = {**body, "output_dimension": 256, "embedding_types": ["float"]}
    said = invoke(client, "eu.cohere.embed-v4:0", newer)
    assert np.shape(said["embeddings"]["float"]) == (2, 256)
    for wrong in ({"texts": ["x"] * 97}, {"texts": ["x" * 2_049]}, {"truncate": "LEFT"}):
        with pytest.raises(client.exceptions.ValidationException):
            invoke(client, "cohere.embed-english-v3", {**body, **wrong})


def test_nova_embeds(server: ModelServer) -> None:
    params = {"embeddingPurpose": "GENERIC_INDEX", "embeddingDimension": 384}
    text = {"truncationMode": "END", "value": BOOK}
    body = {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": {**params, "text": text}}
    said = invoke(bedrock(server.url), "amazon.nova-2-multimodal-embeddings-v1:0", body)
    assert len(said["embeddings"][0]["embedding"]) == 384


def test_openai_chat(server: ModelServer) -> None:
    assert http_call(server.url, "GET", "/v1/models")[2]["object"] == "list"
    wanted = {"type": "json_schema", "json_schema": {"name": "book", "schema": SCHEMA}}
    messages = [{"role": "user", "content": BOOK}]
    body = {"model": "some-model", "messages": messages, "max_tokens": 400}
    status, _, said = http_call(server.url, "POST", "/v1/chat/completions", body)
    choice = said["choices"][0]
    assert (status, choice["finish_reason"]) == (200, "stop")
    assert said["usage"]["completion_tokens"] == -(-len(choice["message"]["content"].encode()) // 4)
    body["response_format"] = wanted
    _, _, said = http_call(server.url, "POST", "/v1/chat/completions", body)
    assert set(json.loads(said["choices"][0]["message"]["content"])) == {"title", "themes"}
    body["max_tokens"] = 5
    _, _, said = http_call(server.url, "POST", "/v1/chat/completions", body)
    assert said["choices"][0]["finish_reason"] == "length"


def test_openai_embeddings(server: ModelServer) -> None:
    body = {"model": "small", "input": ["one", "two"], "dimensions": 64}
    _, _, said = http_call(server.url, "POST", "/v1/embeddings", body)
    plain = [one["embedding"] for one in said["data"]]
    assert np.shape(plain) == (2, 64)
    packed = {**body, "encoding_format": "base64"}
    _, _, said = http_call(server.url, "POST", "/v1/embeddings", packed)
    vector = np.frombuffer(base64.b64decode(said["data"][1]["embedding"]), "<f4")
    assert np.allclose(vector, plain[1])


# Errors.

EXCEPTIONS = {
    "throttle": ("ThrottlingException", 429),
    "throttle_day": ("ThrottlingException", 429),
    "timeout": ("ModelTimeoutException", 408),
    "model_error": ("ModelErrorException", 424),
    "internal": ("InternalServerException", 500),
    "unavailable": ("ServiceUnavailableException", 503),
    "too_long": ("ValidationException", 400),
    "denied": ("AccessDeniedException", 403),
    "unknown_model": ("ResourceNotFoundException", 404),
}
TEXTS = {
    "throttle": "Too many tokens, please wait before trying again.",
    "throttle_day": "Too many tokens per day, please wait before trying again.",
    "too_long": "Input is too long for requested model.",
}


@pytest.mark.parametrize("fault", EXCEPTIONS)
def test_each_error_is_the_exception_that_boto3_has_for_it(server: ModelServer, fault: str) -> None:
    name, status = EXCEPTIONS[fault]
    client = bedrock(server.url)
    server.control(faults={fault: 1.0})
    server.reset()
    try:
        with pytest.raises(getattr(client.exceptions, name)) as caught:
            converse(client, BOOK)
        chat = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        openai, headers, said = http_call(server.url, "POST", "/v1/chat/completions", chat)
    finally:
        server.control(faults={fault: 0.0})
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status == openai
    assert TEXTS.get(fault, "") in response["Error"]["Message"]
    assert set(said["error"]) == {"message", "type", "param", "code"}
    assert ("retry-after" in headers) == (status == 429)
    if fault == "model_error":
        assert response["originalStatusCode"] == 500
    stats = server.stats()
    assert stats["refused"] == {str(status): 2}
    assert stats["faults"] == stats["refused_as"] == {fault: 2}
    assert stats["throttled"] == (2 if status == 429 else 0)
    assert stats["tokens"]["quota"] == 0


def test_without_credentials_nobody_gets_in(server: ModelServer) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        converse(bedrock(server.url, signature_version=UNSIGNED), "x")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    chat = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    assert http_call(server.url, "POST", "/v1/chat/completions", chat, key="")[0] == 401


def test_more_than_the_context_is_too_long_and_other_models_are_unknown() -> None:
    model = ModelOptions(context_tokens=1_000, known=["amazon.nova-lite-v1:0"])
    with serving(model=model) as (_, client):
        with pytest.raises(client.exceptions.ValidationException, match="Input is too long"):
            converse(client, "word " * 1_000)
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            converse(client, "x", modelId="amazon.nova-max-v9:0")
        with pytest.raises(client.exceptions.ValidationException, match="no JSON"):
            converse(
                client,
                "x",
                outputConfig={
                    "textFormat": {
                        "type": "json_schema",
                        "structure": {"jsonSchema": {"schema": "{"}},
                    }
                },
            )


def test_answers_that_are_no_good_come_as_asked_by_the_script() -> None:
    names = ("reset", "truncated", "empty", "max_tokens", "refusal", "filtered")
    steps: list[Any] = [{"fault": name, "contains": f"[{name}]"} for name in names]
    steps.append({"fault": "hang", "contains": "[hang]", "seconds": 0.4})
    with serving(faults=FaultOptions(script=steps)) as (server, client):
        with pytest.raises(botocore.exceptions.ConnectionClosedError):
            converse(client, f"[reset] {BOOK}")
        # boto3 takes what is no JSON for a message, and raises nothing.
        assert "output" not in converse(client, f"[truncated] {BOOK}")
        empty = converse(client, f"[empty] {BOOK}")
        assert empty["output"]["message"]["content"] == [{"text": ""}]
        assert converse(client, f"[max_tokens] {BOOK}")["stopReason"] == "max_tokens"
        refusal = converse(client, f"[refusal] {BOOK}")["output"]["message"]["content"][0]["text"]
        assert refusal.startswith("I'm sorry")
        filtered = converse(client, f"[filtered] {BOOK}")
        assert filtered["stopReason"] == "content_filtered"
        began = time.monotonic()
        assert converse(client, f"[hang] {BOOK}")["stopReason"] == "end_turn"
        assert time.monotonic() - began >= 0.4
        sound = [converse(client, f"[{name}] {BOOK}") for name in names]  # each came once
        assert {one["stopReason"] for one in sound} == {"end_turn"}
        repeated = server.stats()["repeated_prompts"]
        assert repeated["prompts"] == 5  # the reset one was never answered
        assert repeated["after_sound"] == {"prompts": 0, "calls": 0, "tokens": 0}
        again = converse(client, f"[reset] {BOOK}")["usage"]["totalTokens"]
        after = server.stats()["repeated_prompts"]["after_sound"]
        assert after == {"prompts": 1, "calls": 1, "tokens": again}


# Quota, concurrency, counters.


def test_quota_is_reserved_settled_and_refunded_over_the_wire() -> None:
    quota = ServerQuotaOptions(tokens_per_minute=60_000, start_level=1, burndown=5)
    with serving(quota=quota) as (server, client):
        began = time.monotonic()
        usage = converse(client, BOOK, most=2_000)["usage"]
        settled = usage["inputTokens"] + 5 * usage["outputTokens"]
        stats = server.stats()
        assert stats["tokens"]["quota"] == settled
        assert stats["utilization"] > 0
        level = stats["quota"]["amazon.nova-lite-v1:0"]["tokens_level"]
        refilled = 60_000 / 60 * (time.monotonic() - began)
        assert 5_000 - settled <= level <= min(5_000, 5_000 - settled + refilled)
        with pytest.raises(client.exceptions.ThrottlingException, match=r"Too many tokens, please"):
            converse(client, BOOK, most=60_000)
        changed = {"quota": {"tokens_per_minute": None, "tokens_per_day": 3_000}}
        assert http_call(server.url, "POST", "/control", changed)[0] == 200
        with pytest.raises(client.exceptions.ThrottlingException, match="Too many tokens per day"):
            converse(client, BOOK, most=2_000)
        status, _, said = http_call(server.url, "POST", "/control", {"quota": {"tpm": 3}})
        assert (status, "tokens_per_minute" in said["message"]) == (400, True)
        assert http_call(server.url, "POST", "/reset")[0] == 200
        assert http_call(server.url, "GET", "/stats")[2]["offered"] == 0


def test_a_script_changes_the_quota_in_the_middle() -> None:
    step = {"set": {"quota": {"tokens_per_day": 1}}, "nth": 3}
    with serving(faults=FaultOptions(script=[step])) as (_, client):
        converse(client, "one")
        converse(client, "two")
        with pytest.raises(client.exceptions.ThrottlingException, match="per day"):
            converse(client, "three")


SLOWER = (2.0, 8.0, 32.0)
"""Seconds of an answer: busy cores may need long to ask so often, so calls are held longer then."""


def at_once(client: Any, count: int) -> list[str]:
    def one(number: int) -> str:
        try:
            converse(client, f"{number}. {BOOK[:400]}")
        except client.exceptions.ThrottlingException:
            return "throttled"
        return "answered"

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_256_calls_are_in_flight_at_once() -> None:
    with serving(latency=LatencyOptions(base_s=2.0)) as (server, client):
        for latency in SLOWER:
            server.control(latency={"base_s": latency})
            server.reset()
            assert at_once(client, 256) == ["answered"] * 256
            stats = server.stats()
            if stats["peak_in_flight"] == 256:
                break
        assert stats["peak_in_flight"] == 256
        assert stats["in_flight"] == 0
        assert stats["offered"] == stats["admitted"] == stats["answered"] == 256
        assert stats["latency_s"]["p50"] >= 2.0
        assert stats["repeated_prompts"]["prompts"] == 0


def test_beyond_the_limit_calls_are_throttled_or_wait() -> None:
    with serving(concurrency=ConcurrencyOptions(limit=4)) as (server, client):
        for latency in (0.3, *SLOWER):
            server.control(latency={"base_s": latency})
            server.reset()
            outcome = at_once(client, 12)
            if outcome.count("throttled"):
                break
        assert 4 <= outcome.count("answered") < 12
        assert server.stats()["throttled"] == outcome.count("throttled")
        assert server.stats()["peak_in_flight"] == 4
        server.control(latency={"base_s": 0.3}, concurrency={"over_limit": "queue"})
        began = time.monotonic()
        assert at_once(client, 12) == ["answered"] * 12
        assert time.monotonic() - began >= 3 * 0.3


def test_an_answer_that_nobody_waits_for_is_abandoned_and_paid(tmp_path: Path) -> None:
    log = tmp_path / "calls.jsonl"
    with serving(latency=LatencyOptions(base_s=0.6), log=str(log)) as (server, _):
        hasty = bedrock(server.url, read_timeout=0.2)
        with pytest.raises(botocore.exceptions.ReadTimeoutError):
            converse(hasty, BOOK)
        deadline = time.monotonic() + 60
        while not server.stats()["abandoned"]["calls"] and time.monotonic() < deadline:
            time.sleep(0.05)
        stats = server.stats()
        assert stats["abandoned"]["calls"] == 1
        assert stats["abandoned"]["tokens"] == stats["tokens"]["quota"] > 0
        converse(bedrock(server.url), BOOK)
        first, second = map(json.loads, log.read_text().splitlines())
        assert first["prompt"] == second["prompt"]
        assert (first["status"], second["status"]) == (0, 200)
        assert second["answered_at"] - second["sent_at"] >= 0.6


# In a process of its own.


def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "raypipe", "simulate", "port=0", "latency.base_s=0"]
    root = str(Path(embedded.__file__).parents[2])
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        killer = threading.Timer(200, process.kill)
        killer.start()
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[2]
            assert converse(bedrock(url), BOOK)["stopReason"] == "end_turn"
            taken = [*command, f"port={urlsplit(url).port}"]
            taken.remove("port=0")
            second = subprocess.run(
                taken,
                capture_output=True,
                cwd=tmp_path,
                text=True,
                env={**os.environ, "PYTHONPATH": path},
            )
            assert (second.returncode, second.stderr.count("\n")) == (1, 1)
            assert "port=0 for any free one" in second.stderr
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
        finally:
            killer.cancel()
        assert f"AWS_ENDPOINT_URL_BEDROCK_RUNTIME={url}" in rest
        assert process.wait(60) == 0
    assert list(tmp_path.iterdir()) == []
