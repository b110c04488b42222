"""Call the model server with real boto3, and its OpenAI API over plain HTTP."""

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
NO_RETRIES = {"total_max_attempts": 1, "mode": "standard"}


def create_client(url: str, **config: Any) -> Any:
    # Proxies of the environment must not apply.
    options = {"retries": NO_RETRIES, "proxies": {}, "read_timeout": 120, **config}
    return boto3.Session().client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="simulated",
        aws_secret_access_key="simulated",
        config=Config(**options),
    )


def converse(client: Any, text: str, max_tokens: int = 300, **more: Any) -> Any:
    messages = [{"role": "user", "content": [{"text": text}]}]
    limits = {"maxTokens": max_tokens}
    return client.converse(
        **{"modelId": MODEL, "messages": messages, "inferenceConfig": limits, **more}
    )


def send_request(
    url: str, method: str, path: str, body: Any = None, key: str = "Bearer simulated"
) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
    headers = {"Content-Type": "application/json", **({"Authorization": key} if key else {})}
    with contextlib.closing(connection):
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        received = {name.lower(): value for name, value in response.getheaders()}
        return response.status, received, json.loads(response.read())


@pytest.fixture(autouse=True)
def _no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@contextlib.contextmanager
def running_server(**options: Any) -> Iterator[tuple[ModelServer, Any]]:
    with ModelServer(ServerOptions(**options)) as server:
        yield server, create_client(server.url, max_pool_connections=300)


# Responses.


def test_converse_answers_from_the_text_and_counts_tokens(server: ModelServer) -> None:
    client = create_client(server.url)
    text = f"Summarize.\n<book>{BOOK}</book>"
    messages = [{"role": "user", "content": [{"text": text}]}]
    response = converse(client, text, system=[{"text": "You summarize books."}])
    [block] = response["output"]["message"]["content"]
    assert block["text"][:60] in " ".join(BOOK.split())
    assert response["stopReason"] == "end_turn"
    usage = response["usage"]
    assert usage["inputTokens"] == -(-len(text.encode()) // 4) + 5
    assert usage["outputTokens"] == -(-len(block["text"].encode()) // 4)
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]
    request = {"messages": messages, "system": [{"text": "You summarize books."}]}
    counted = client.count_tokens(modelId=MODEL, input={"converse": request})
    assert counted["inputTokens"] == usage["inputTokens"]


def test_request_metadata_is_not_part_of_the_prompt(server: ModelServer) -> None:
    server.reset()
    for number in ("1", "2"):
        converse(create_client(server.url), BOOK, requestMetadata={"run": number})
    assert server.stats()["repeated_prompts"]["prompts"] == 1


def test_converse_stops_at_max_tokens(server: ModelServer) -> None:
    response = converse(create_client(server.url), BOOK, max_tokens=20)
    assert (response["stopReason"], response["usage"]["outputTokens"]) == ("max_tokens", 20)


@pytest.mark.parametrize(
    "model_id",
    [
        "global.amazon.nova-lite-v1:0",
        "mx.amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
    ],
)
def test_profiles_count_as_their_model(server: ModelServer, model_id: str) -> None:
    server.reset()
    converse(create_client(server.url), BOOK, modelId=model_id)
    assert server.stats()["calls"] == {"amazon.nova-lite-v1:0": {"converse": 1}}


SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "themes": {"type": "array", "items": {"type": "string"}},
    },
}


def test_a_call_with_a_schema_is_answered_with_json(server: ModelServer) -> None:
    client = create_client(server.url)
    structure = {"jsonSchema": {"schema": json.dumps(SCHEMA), "name": "book"}}
    output = {"textFormat": {"type": "json_schema", "structure": structure}}
    response = converse(client, BOOK, outputConfig=output)
    assert set(json.loads(response["output"]["message"]["content"][0]["text"])) == {
        "title",
        "themes",
    }
    spec = {"toolSpec": {"name": "keep", "inputSchema": {"json": SCHEMA}}}
    tools = {"tools": [spec], "toolChoice": {"tool": {"name": "keep"}}}
    response = converse(client, BOOK, toolConfig=tools)
    use = response["output"]["message"]["content"][0]["toolUse"]
    assert (response["stopReason"], use["name"], set(use["input"])) == (
        "tool_use",
        "keep",
        {"title", "themes"},
    )


def invoke(client: Any, model: str, body: Any) -> Any:
    response = client.invoke_model(modelId=model, body=json.dumps(body))
    assert response["contentType"] == "application/json"
    return json.loads(response["body"].read())


def test_titan_embeds(server: ModelServer) -> None:
    client = create_client(server.url)
    body = {"inputText": BOOK[:3_000], "dimensions": 512, "normalize": True}
    response = invoke(client, "amazon.titan-embed-text-v2:0", body)
    assert len(response["embedding"]) == 512
    assert np.linalg.norm(response["embedding"]) == pytest.approx(1.0, abs=1e-5)
    counted = client.count_tokens(
        modelId="amazon.titan-embed-text-v2:0",
        input={"invokeModel": {"body": json.dumps(body).encode()}},
    )
    assert counted["inputTokens"] == response["inputTextTokenCount"] == 750
    with pytest.raises(client.exceptions.ValidationException, match="Max input tokens: 8192"):
        invoke(client, "amazon.titan-embed-text-v2:0", {"inputText": "word " * 9_000})


def test_cohere_embeds(server: ModelServer) -> None:
    client = create_client(server.url)
    body = {"texts": ["one", "two"], "input_type": "search_document"}
    response = invoke(client, "cohere.embed-english-v3", body)
    assert np.shape(response["embeddings"]) == (2, 1024)
    newer = {**body, "output_dimension": 256, "embedding_types": ["float"]}
    response = invoke(client, "eu.cohere.embed-v4:0", newer)
    assert np.shape(response["embeddings"]["float"]) == (2, 256)
    for invalid in ({"texts": ["x"] * 97}, {"texts": ["x" * 2_049]}, {"truncate": "LEFT"}):
        with pytest.raises(client.exceptions.ValidationException):
            invoke(client, "cohere.embed-english-v3", {**body, **invalid})


def test_nova_embeds(server: ModelServer) -> None:
    params = {"embeddingPurpose": "GENERIC_INDEX", "embeddingDimension": 384}
    text = {"truncationMode": "END", "value": BOOK}
    body = {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": {**params, "text": text}}
    response = invoke(create_client(server.url), "amazon.nova-2-multimodal-embeddings-v1:0", body)
    assert len(response["embeddings"][0]["embedding"]) == 384


def test_openai_chat(server: ModelServer) -> None:
    assert send_request(server.url, "GET", "/v1/models")[2]["object"] == "list"
    response_format = {"type": "json_schema", "json_schema": {"name": "book", "schema": SCHEMA}}
    messages = [{"role": "user", "content": BOOK}]
    body = {"model": "some-model", "messages": messages, "max_tokens": 400}
    status, _, response = send_request(server.url, "POST", "/v1/chat/completions", body)
    choice = response["choices"][0]
    assert (status, choice["finish_reason"]) == (200, "stop")
    assert response["usage"]["completion_tokens"] == -(
        -len(choice["message"]["content"].encode()) // 4
    )
    body["response_format"] = response_format
    _, _, response = send_request(server.url, "POST", "/v1/chat/completions", body)
    assert set(json.loads(response["choices"][0]["message"]["content"])) == {"title", "themes"}
    body["max_tokens"] = 5
    _, _, response = send_request(server.url, "POST", "/v1/chat/completions", body)
    assert response["choices"][0]["finish_reason"] == "length"


def test_openai_embeddings(server: ModelServer) -> None:
    body = {"model": "small", "input": ["one", "two"], "dimensions": 64}
    _, _, response = send_request(server.url, "POST", "/v1/embeddings", body)
    vectors = [item["embedding"] for item in response["data"]]
    assert np.shape(vectors) == (2, 64)
    as_base64 = {**body, "encoding_format": "base64"}
    _, _, response = send_request(server.url, "POST", "/v1/embeddings", as_base64)
    vector = np.frombuffer(base64.b64decode(response["data"][1]["embedding"]), "<f4")
    assert np.allclose(vector, vectors[1])


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
MESSAGES = {
    "throttle": "Too many tokens, please wait before trying again.",
    "throttle_day": "Too many tokens per day, please wait before trying again.",
    "too_long": "Input is too long for requested model.",
}


@pytest.mark.parametrize("fault", EXCEPTIONS)
def test_errors_raise_the_matching_boto3_exception(server: ModelServer, fault: str) -> None:
    name, status = EXCEPTIONS[fault]
    client = create_client(server.url)
    server.control(faults={fault: 1.0})
    server.reset()
    try:
        with pytest.raises(getattr(client.exceptions, name)) as caught:
            converse(client, BOOK)
        chat = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        openai_status, headers, openai_body = send_request(
            server.url, "POST", "/v1/chat/completions", chat
        )
    finally:
        server.control(faults={fault: 0.0})
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status == openai_status
    assert MESSAGES.get(fault, "") in response["Error"]["Message"]
    assert set(openai_body["error"]) == {"message", "type", "param", "code"}
    assert ("retry-after" in headers) == (status == 429)
    if fault == "model_error":
        assert response["originalStatusCode"] == 500
    stats = server.stats()
    assert stats["refused"] == {str(status): 2}
    assert stats["faults"] == stats["refused_as"] == {fault: 2}
    assert stats["throttled"] == (2 if status == 429 else 0)
    assert stats["tokens"]["quota"] == 0


def test_requests_without_credentials_are_refused(server: ModelServer) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        converse(create_client(server.url, signature_version=UNSIGNED), "x")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    chat = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    assert send_request(server.url, "POST", "/v1/chat/completions", chat, key="")[0] == 401


def test_invalid_converse_calls_are_refused() -> None:
    model = ModelOptions(context_tokens=1_000, known=["amazon.nova-lite-v1:0"])
    with running_server(model=model) as (_, client):
        with pytest.raises(client.exceptions.ValidationException, match="Input is too long"):
            converse(client, "word " * 1_000)
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            converse(client, "x", modelId="amazon.nova-max-v9:0")
        with pytest.raises(client.exceptions.ValidationException, match="not valid JSON"):
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


def test_a_script_produces_unusable_answers() -> None:
    names = ("reset", "truncated", "empty", "max_tokens", "refusal", "filtered")
    steps: list[Any] = [{"fault": name, "contains": f"[{name}]"} for name in names]
    steps.append({"fault": "hang", "contains": "[hang]", "seconds": 0.4})
    with running_server(faults=FaultOptions(script=steps)) as (server, client):
        with pytest.raises(botocore.exceptions.ConnectionClosedError):
            converse(client, f"[reset] {BOOK}")
        # boto3 treats a body that is not JSON as a message, and raises nothing.
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
        second_answers = [converse(client, f"[{name}] {BOOK}") for name in names]
        assert {answer["stopReason"] for answer in second_answers} == {"end_turn"}
        repeated = server.stats()["repeated_prompts"]
        assert repeated["prompts"] == 5  # the reset call was never answered
        assert repeated["after_sound"] == {"prompts": 0, "calls": 0, "tokens": 0}
        third = converse(client, f"[reset] {BOOK}")["usage"]["totalTokens"]
        after = server.stats()["repeated_prompts"]["after_sound"]
        assert after == {"prompts": 1, "calls": 1, "tokens": third}


# Quota, concurrency, counters.


def test_quota_is_reserved_settled_and_refunded() -> None:
    quota = ServerQuotaOptions(tokens_per_minute=60_000, start_level=1, burndown=5)
    with running_server(quota=quota) as (server, client):
        began = time.monotonic()
        usage = converse(client, BOOK, max_tokens=2_000)["usage"]
        settled = usage["inputTokens"] + 5 * usage["outputTokens"]
        stats = server.stats()
        assert stats["tokens"]["quota"] == settled
        assert stats["utilization"] > 0
        level = stats["quota"]["amazon.nova-lite-v1:0"]["tokens_level"]
        refilled = 60_000 / 60 * (time.monotonic() - began)
        assert 5_000 - settled <= level <= min(5_000, 5_000 - settled + refilled)
        with pytest.raises(client.exceptions.ThrottlingException, match=r"Too many tokens, please"):
            converse(client, BOOK, max_tokens=60_000)
        changed = {"quota": {"tokens_per_minute": None, "tokens_per_day": 3_000}}
        assert send_request(server.url, "POST", "/control", changed)[0] == 200
        with pytest.raises(client.exceptions.ThrottlingException, match="Too many tokens per day"):
            converse(client, BOOK, max_tokens=2_000)
        status, _, response = send_request(server.url, "POST", "/control", {"quota": {"tpm": 3}})
        assert (status, "tokens_per_minute" in response["message"]) == (400, True)
        assert send_request(server.url, "POST", "/reset")[0] == 200
        assert send_request(server.url, "GET", "/stats")[2]["offered"] == 0


def test_a_script_changes_the_quota_between_calls() -> None:
    step = {"set": {"quota": {"tokens_per_day": 1}}, "nth": 3}
    with running_server(faults=FaultOptions(script=[step])) as (_, client):
        converse(client, "one")
        converse(client, "two")
        with pytest.raises(client.exceptions.ThrottlingException, match="per day"):
            converse(client, "three")


LATENCIES_S = (2.0, 8.0, 32.0)
"""Latencies to try: on busy cores calls must last longer until all of them are in flight."""


def converse_in_parallel(client: Any, count: int) -> list[str]:
    def call(number: int) -> str:
        try:
            converse(client, f"{number}. {BOOK[:400]}")
        except client.exceptions.ThrottlingException:
            return "throttled"
        return "answered"

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(call, range(count)))


def test_256_calls_are_in_flight_at_once() -> None:
    with running_server(latency=LatencyOptions(base_s=2.0)) as (server, client):
        for latency in LATENCIES_S:
            server.control(latency={"base_s": latency})
            server.reset()
            assert converse_in_parallel(client, 256) == ["answered"] * 256
            stats = server.stats()
            if stats["peak_in_flight"] == 256:
                break
        assert stats["peak_in_flight"] == 256
        assert stats["in_flight"] == 0
        assert stats["offered"] == stats["admitted"] == stats["answered"] == 256
        assert stats["latency_s"]["p50"] >= 2.0
        assert stats["repeated_prompts"]["prompts"] == 0


def test_calls_above_the_limit_are_throttled_or_queued() -> None:
    with running_server(concurrency=ConcurrencyOptions(limit=4)) as (server, client):
        for latency in (0.3, *LATENCIES_S):
            server.control(latency={"base_s": latency})
            server.reset()
            outcome = converse_in_parallel(client, 12)
            if outcome.count("throttled"):
                break
        assert 4 <= outcome.count("answered") < 12
        assert server.stats()["throttled"] == outcome.count("throttled")
        assert server.stats()["peak_in_flight"] == 4
        server.control(latency={"base_s": 0.3}, concurrency={"over_limit": "queue"})
        began = time.monotonic()
        assert converse_in_parallel(client, 12) == ["answered"] * 12
        assert time.monotonic() - began >= 3 * 0.3


def test_an_answer_after_the_client_left_is_counted_as_abandoned(tmp_path: Path) -> None:
    log = tmp_path / "calls.jsonl"
    with running_server(latency=LatencyOptions(base_s=0.6), log=str(log)) as (server, _):
        impatient = create_client(server.url, read_timeout=0.2)
        with pytest.raises(botocore.exceptions.ReadTimeoutError):
            converse(impatient, BOOK)
        deadline = time.monotonic() + 60
        while not server.stats()["abandoned"]["calls"] and time.monotonic() < deadline:
            time.sleep(0.05)
        stats = server.stats()
        assert stats["abandoned"]["calls"] == 1
        assert stats["abandoned"]["tokens"] == stats["tokens"]["quota"] > 0
        converse(create_client(server.url), BOOK)
        while len(log.read_text().splitlines()) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)  # the call is logged after its answer was sent
        first, second = map(json.loads, log.read_text().splitlines())
        assert first["prompt"] == second["prompt"]
        assert (first["status"], second["status"]) == (0, 200)
        assert second["answered_at"] - second["sent_at"] >= 0.6


# As a command.


def test_simulate_command_serves_until_interrupted(tmp_path: Path) -> None:
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
            assert converse(create_client(url), BOOK)["stopReason"] == "end_turn"
            same_port = [*command, f"port={urlsplit(url).port}"]
            same_port.remove("port=0")
            second = subprocess.run(
                same_port,
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
