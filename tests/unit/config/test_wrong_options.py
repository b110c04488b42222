"""A wrong option gives one line that names it and its choices, and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.command_line import RunCommandLine

pytestmark = pytest.mark.usefixtures("isolated_hydra", "no_services")

WRONG = [
    # an unknown option: the error names the known options
    (["run", "nosuch=1"], ["no option nosuch", "limit", "storage"]),
    (["run", "storage.buckt=x"], ["storage.buckt", "did you mean bucket?"]),
    (["run", "stages.summarize.worker=2"], ["stages.summarize.worker", "did you mean workers?"]),
    (["run", "bucket=x"], ["no option bucket", "did you mean storage.bucket?"]),
    (["run", "model_id=x"], ["no option model_id", "embedder.model.model_id is an option of"]),
    (
        ["run", "summarizer.model_id=foo"],
        ["summarizer.model_id; it is an option of summarizer=bedrock, openai", "is extractive"],
    ),
    (["run", "+summarizer.model_id=foo"], ["it is an option of summarizer=bedrock, openai"]),
    (["run", "summarizer.model.extra={a:1}"], ["no option summarizer.model", "=bedrock, openai"]),
    (
        ["run", "summarizer=bedrock", "summarizer.model.exta={a:1}"],
        ["summarizer.model.exta", "did you mean extra?"],
    ),
    (["run", "+foo=1"], ["no option foo", "limit"]),
    (["run", "+stages.embed.foo=1"], ["stages.embed.foo", "num_cpus"]),
    (["run", "+storage.foo=1"], ["storage.foo", "bucket"]),
    (["up", "limitt=2"], ["no option limitt", "embedded"]),
    (["simulate", "quota.tpm=2"], ["no option quota.tpm", "tokens_per_minute"]),
    (["simulate", "faults.throttle=2"], ["faults.throttle=2", "between 0 and 1"]),
    (["simulate", "faults.script=[{fault:gone}]"], ["faults.script[0]", "choose one of throttle"]),
    (["simulate", "faults.script=[{set:{quotas:{}}}]"], ["faults.script[0]", "concurrency"]),
    (["simulate", "concurrency.over_limit=wait"], ["over_limit=wait", "throttle or queue"]),
    (["verify", "summarizer=leed"], ["summarizer=leed", "bedrock, extractive, lead, openai"]),
    (["verify", "summarizer.wordz=3"], ["no option summarizer.wordz"]),
    (["run", "profile=prod"], ["profile=prod", "no settings file"]),
    (["run", "--settings"], ["--settings", "needs a file"]),
    (["run", "--settings", "gone.yaml"], ["gone.yaml", "no such file", "raypipe init"]),
    (["settings", "output=xml"], ["output=xml", "text or json"]),
    (["settings", "search", "nosuch=1"], ["no option nosuch", "embedder"]),
    (["init", "storage.buckt=x"], ["storage.buckt", "did you mean storage.bucket?"]),
    (["init", "storage=s3"], ["storage.bucket=..."]),
    (["init", "purge=true"], ["purge", "command line"]),
    (["init", "-m", "limit=1,2"], ["no flag -m"]),
    (["init", "limit=1,2"], ["limit=1,2", "a whole number"]),
    (["init", "--settings", "none"], ["name it"]),
    # an unknown choice: the error names the choices
    (["run", "storage=s4"], ["storage=s4", "local, s3, samples"]),
    (["run", "summarizer=bedrok"], ["summarizer=bedrok", "did you mean bedrock?"]),
    (["run", "opensearch=aws"], ["opensearch=aws", "aws_managed or aws_serverless?"]),
    (["run", "summarizer=lead,extractive"], ["summarizer=lead,extractive", "add -m"]),
    (["run", "scale=huge"], ["scale=huge", "large, medium, small, very_large"]),
    (["run", "storage=null"], ["storage=null", "local, s3, samples"]),
    (["run", "storage="], ["storage=", "local, s3, samples"]),
    (["search", "x", "embedder=gpt"], ["embedder=gpt", "bedrock_titan, hash, openai"]),
    (["run", "output=xml"], ["output=xml", "text or json"]),
    (["search", "x", "output=xml"], ["output=xml", "text or json"]),
    (["search", "x", "search.fusion=sum"], ["search.fusion=sum", "choose scores or rrf"]),
    (["search", "x", "search.fusio=rrf"], ["search.fusio", "did you mean fusion?"]),
    (["verify", "output=xml"], ["output=xml", "text or json"]),
    (["run", "opensearch.engine=nmslib"], ["opensearch.engine=nmslib", "lucene, faiss"]),
    (["run", "opensearch.connection=x"], ["opensearch.connection=x", "connection.OPTION=VALUE"]),
    (
        ["run", "summarizer=bedrock", "summarizer.model.extra=x"],
        ["summarizer.model.extra=x", "a mapping like {name: value}"],
    ),
    # an empty value
    (["run", "storage=local", "storage.path="], ["storage.path is empty"]),
    (["run", "state.uri="], ["state.uri is empty"]),
    # an option without a value
    (["run", "storage=s3"], ["storage.bucket=..."]),
    (["run", "storage=local"], ["storage.path=..."]),
    (["run", "opensearch=self_managed"], ["opensearch.endpoint=..."]),
    (["search"], ["query=..."]),
    (["run", "~storage"], ["storage"]),
    (["run", "limit=${nosuch}"], ["limit", "nosuch"]),
    # a value of the wrong type
    (["run", "limit=abc"], ["limit=abc", "a whole number"]),
    (["run", "limit=1e3"], ["limit=1e3", "a whole number", "write 1000"]),
    (["run", "limit=1,2"], ["limit=1,2", "a whole number", "add -m"]),
    (["run", "limit=zehn#"], ["limit=zehn#", "a whole number"]),
    (["run", "purge=maybe"], ["purge=maybe", "true or false"]),
    (["run", "max_attempts=null"], ["max_attempts=null", "other than null"]),
    (["run", "stages=3"], ["stages=3", "stages.OPTION=VALUE"]),
    (["run", "limit=range(1,3)"], ["limit=range(1,3)", "add -m", "in quotes it is text"]),
    (["run", "storage.suffixes=.txt,.md"], ["storage.suffixes", "write [.txt,.md]"]),
    (["run", "opensearch.max_bytes=8MB"], ["opensearch.max_bytes=8MB", "write 8000000"]),
    (["run", "text.min_words=abc"], ["text.min_words=abc", "a whole number"]),
    (["run", "text.min_words=1.5"], ["text.min_words=1.5", "a whole number"]),
    (["run", "text.min_words=null"], ["text.min_words=null", "a whole number"]),
    (["run", "storage=s3", "storage.bucket=2024"], ["storage.bucket=2024", "quotes"]),
    (["run", "storage.suffixes=.txt"], ["storage.suffixes=.txt", "a list"]),
    (["run", "checkpoint.skip=maybe"], ["checkpoint.skip=maybe", "true or false"]),
    (
        ["run", "opensearch.connection.timeout_s=soon"],
        ["opensearch.connection.timeout_s=soon", "a number"],
    ),
    # a value out of range
    (["run", "limit=-1"], ["limit=-1", "at least 0"]),
    (["run", "max_attempts=0"], ["max_attempts=0", "at least 1"]),
    (["run", "stages.embed.workers=-1"], ["stages.embed.workers=-1", "at least 0"]),
    (["run", "stages.write.num_cpus=-1"], ["stages.write.num_cpus=-1", "at least 0"]),
    (["run", "breaker.max_share=2"], ["breaker.max_share=2", "between 0 and 1"]),
    (["run", "ray.num_cpus=0"], ["ray.num_cpus=0", "at least 1"]),
    (["run", "ray.object_store_mb=1"], ["ray.object_store_mb=1", "at least 75"]),
    (["run", "summarizer=lead", "summarizer.words=0"], ["summarizer", "words", "1 or more"]),
    (["run", "opensearch.shards=0"], ["opensearch.shards=0", "at least 1"]),
    (["run", "opensearch.index=Books"], ["opensearch.index=Books", "lowercase"]),
    (
        ["run", "opensearch.connection.timeout_s=0"],
        ["opensearch.connection.timeout_s=0", "more than 0"],
    ),
    (["run", "opensearch=self_managed", "opensearch.endpoint=x"], ["opensearch", "https://"]),
    (["search", "x", "limit=0"], ["limit=0", "between 1 and"]),
    # a value that Hydra does not read as the name of a choice
    (["run", "summarizer=7"], ["summarizer=7", "choose one of", "bedrock"]),
    (["run", "embedder=true"], ["embedder=true", "choose one of", "wordllama"]),
    (["run", "storage=[1,2]"], ["storage=[1,2]", "choose one of", "s3"]),
    (["run", f"checkpoint={'x' * 5000}"], ["checkpoint=xxx", "choose one of", "parquet"]),
    # groups of which several choices hold together
    (["run", "notify=slack,sns"], ["notify=slack,sns", "for all of them: notify=[slack,sns]"]),
    (["run", "notify=[slack,pager]"], ["notify=[slack,pager]", "none, slack, sns, webhook"]),
    (["run", "notify=sns"], ["notify.sns.topic_arn=..."]),
    (["run", "notify=slack", "notify.slack.events=[end]"], ["notify.slack.events=end", "finish"]),
    (
        ["run", "notify=slack", "notify.slack.url_env=https://h/x"],
        ["notify.slack.url_env must be the name of an environment variable"],
    ),
    (["run", "notify.sns.topic_arn=x"], ["notify.sns.topic_arn", "notify=sns"]),
    (["run", "cloudwatch=metrics", "cloudwatch.every_s=1"], ["cloudwatch.every_s=1", "at least"]),
    (["run", "ray.metrics_port=-1"], ["ray.metrics_port=-1", "0 to 65535"]),
    (["dashboards", "a", "b"], ["'b'", "raypipe dashboards FOLDER"]),
    # a command line that cannot be read
    (
        ["serch", "x"],
        ["'serch'", "did you mean search?", "choose one of run, plan, index, retry, status"],
    ),
    (["run", "limit"], ["'limit'", "option=value"]),
    (["run", "limit", "=", "5"], ["'limit'", "write limit=5"]),
    (["limit=5", "search", "x"], ["'search'", "single command, before its options"]),
    (["run", "limit=[1"], ["limit=[1"]),
    (["run", "--bogus"], ["--bogus"]),
    (["run", "--cfg", "jobs"], ["jobs", "job"]),
    (["run", "--config-dir", "nowhere"], ["nowhere"]),
]


@pytest.mark.parametrize(("args", "expected"), WRONG, ids=lambda value: " ".join(value)[:60])
def test_a_wrong_option_gives_one_line_and_exit_code_2(
    args: list[str], expected: list[str], run_command_line: RunCommandLine, tmp_path: Path
) -> None:
    code, out, err = run_command_line(*args)
    assert (code, out) == (2, "")
    assert err.startswith("raypipe: ")
    assert err.count("\n") == 1
    assert [words for words in expected if words not in err] == [], err
    assert list(tmp_path.iterdir()) == []  # nothing was started, and there is no log
