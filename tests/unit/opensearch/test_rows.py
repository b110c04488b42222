"""Rows are written by the bulk core: ids, retries, rejected rows, and counts that add up."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest

from raypipe.core.errors import SetupError
from raypipe.opensearch.bulk.error_policy import SinkError
from raypipe.opensearch.connection.aws import AwsConnection
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.rows.auth import BasicAuth, ClientCertificate, SigV4, TokenAuth, connect
from raypipe.opensearch.rows.documents import RowSchema
from raypipe.opensearch.rows.index import RowIndex
from raypipe.opensearch.rows.outcome import RejectedRow, TaskOutcome, add_up
from raypipe.opensearch.rows.writer import RowWriter, in_own_words
from tests.unit.opensearch.stub import PHYSICAL, Reply, Request, Stub, failed, items_failing

ROWS = pa.table({"id": ["a", "b", "c", "d"], "n": [1, 2, 3, 4]})
ALIASES = {f"{PHYSICAL}-write": {"is_write_index": True}}


@pytest.fixture(autouse=True)
def index(stub: Stub) -> None:
    set_index(stub, "uuid-1")


def set_index(stub: Stub, uuid: str, aliases: Mapping[str, Any] = ALIASES) -> None:
    body = {"settings": {"index": {"uuid": uuid}}, "aliases": dict(aliases)}
    stub.paths[f"/{PHYSICAL}"] = Reply(body={PHYSICAL: body})


def writer(stub: Stub, on_rejected: Any = None, **settings: Any) -> RowWriter:
    id_column = settings.pop("id_column", "id")
    connection = settings.pop("connection", None) or Connection(stub.url)
    index = RowIndex(connection, settings.pop("name", PHYSICAL), **settings)
    return RowWriter(index, RowSchema(id_column), on_rejected)


def write(row_writer: RowWriter, table: pa.Table = ROWS, prefix: str | None = "w-") -> TaskOutcome:
    return row_writer.write([table], prefix, lambda row: dict(row.to_pylist()[0]))


def test_rows_are_written_under_their_ids_through_the_private_alias(stub: Stub) -> None:
    outcome = write(writer(stub))
    [request] = stub.bulks
    assert request.path == f"/{PHYSICAL}-write/_bulk"
    assert request.params["require_alias"] == ["true"]
    assert request.docs[1] == ({"_id": "b"}, {"id": "b", "n": 2})
    assert (outcome.rows, outcome.counters.acknowledged, outcome.repeated) == (4, 4, 0)
    assert outcome.index_uuid == "uuid-1"


def test_an_index_without_the_alias_is_written_by_its_name(stub: Stub) -> None:
    set_index(stub, "uuid-1", {})
    write(writer(stub))
    assert stub.bulks[0].path == f"/{PHYSICAL}/_bulk"
    assert "require_alias" not in stub.bulks[0].params


def test_an_alias_may_lead_to_another_index_meanwhile(stub: Stub) -> None:
    body = {"settings": {"index": {"uuid": "u"}}, "aliases": {"served": {"is_write_index": True}}}
    stub.paths["/served"] = Reply(body={"served-1": {}, "served-2": body})
    outcome = write(writer(stub, name="served"))  # the stub answers with a third name
    assert stub.bulks[0].path == "/served/_bulk"
    assert stub.bulks[0].params["require_alias"] == ["true"]
    assert (outcome.counters.acknowledged, outcome.index_uuid) == (4, "")


@pytest.mark.parametrize(
    ("response", "message"),
    [
        ({"s-1": {}, "s-2": {}}, "alias of 2 indices without a write index; set is_write_index"),
        ({".ds-served-000001": {}}, "is a data stream, which takes no index actions"),
    ],
)
def test_what_cannot_be_written_is_refused(
    stub: Stub, response: dict[str, Any], message: str
) -> None:
    stub.paths["/served"] = Reply(body=response)
    with pytest.raises(SetupError, match=message):
        writer(stub, name="served").prepare()


def test_rejected_rows_are_counted_and_given_to_the_function(stub: Stub) -> None:
    stub.always = items_failing(stub, b=(400, "mapper_parsing_exception"))
    seen: list[RejectedRow] = []
    table = pa.table({"id": ["a", "b", None], "n": [1, 2, 3]})
    outcome = write(writer(stub, seen.extend), table)
    by_kind = {each.kind: each for each in seen}
    assert by_kind["mapper_parsing"].id == "b"
    assert by_kind["mapper_parsing"].row == {"id": "b", "n": 2}
    assert "secret" not in by_kind["mapper_parsing"].message
    without_id = by_kind["rejected"]
    assert (without_id.id, without_id.message) == ("", "its id is null")
    assert without_id.row == {"id": None, "n": 3}
    assert outcome.kinds == {"mapper_parsing": 1, "rejected": 1}
    assert all(not example.row for example in outcome.examples)
    result = add_up([outcome, write(writer(stub), ROWS.slice(2))])
    assert (result.rows, result.acknowledged, result.rejected, result.tasks) == (5, 3, 2, 2)
    assert result.rejected_by_kind == {"mapper_parsing": 1, "rejected": 1}


def test_what_the_function_raises_fails_the_task(stub: Stub) -> None:
    stub.always = items_failing(stub, b=(400, "mapper_parsing_exception"))

    def refuse(rows: list[RejectedRow]) -> None:
        raise LookupError(rows[0].id)

    with pytest.raises(LookupError, match="b"):
        write(writer(stub, refuse))


def test_a_lost_response_to_rows_with_ids_is_harmless(stub: Stub) -> None:
    def lose(request: Request) -> Reply:
        stub.index(request)
        return Reply(reset=True)

    stub.steps.extend([lose, None])
    outcome = write(writer(stub, id_column=None))
    assert set(stub.docs) == {"w-0", "w-1", "w-2", "w-3"}
    assert (outcome.repeated, outcome.uncertain, outcome.counters.retries) == (4, 0, 4)
    again = write(writer(stub, id_column=None))
    assert (len(stub.docs), again.repeated) == (4, 4)


def test_a_lost_response_to_rows_without_ids_is_counted_as_uncertain(stub: Stub) -> None:
    def lose(request: Request) -> Reply:
        stub.index(request)
        return Reply(reset=True)

    stub.steps.extend([lose, None])
    outcome = write(writer(stub, id_column=None), prefix=None)
    assert [action for action, _ in stub.bulks[0].docs] == [{}] * 4
    assert (len(stub.docs), outcome.uncertain, outcome.repeated) == (8, 4, 0)
    # 429 says that nothing was written: no document is uncertain.
    stub.steps.extend([failed(429), None])
    assert write(writer(stub, id_column=None), prefix=None).uncertain == 0


def test_a_serverless_collection_makes_the_ids(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    connection = AwsConnection(stub.url, service="aoss", region="us-east-1")
    outcome = write(writer(stub, id_column=None, connection=connection))
    assert [action for action, _ in stub.bulks[0].docs] == [{}] * 4
    assert outcome.counters.acknowledged == 4


def test_a_server_in_trouble_is_an_error_and_no_rejection(stub: Stub) -> None:
    stub.always = lambda request: failed(503)
    with pytest.raises(SinkError, match=r"4 documents of a write task are not written .*503"):
        write(writer(stub, lambda rows: None, retry_budget_s=0))


def test_an_index_that_was_deleted_meanwhile_is_noticed(stub: Stub) -> None:
    row_writer = writer(stub)
    outcome = write(row_writer)
    row_writer.check_complete([outcome])
    for uuids in ("uuid-2", "uuid-1"):
        set_index(stub, uuids)
        outcomes = [outcome, TaskOutcome(index_uuid="uuid-2")]
        with pytest.raises(SinkError, match=r"was deleted during the write.* 4 acknowledged"):
            row_writer.check_complete(outcomes)
    del stub.paths[f"/{PHYSICAL}"]
    set_index(stub, "uuid-1")
    row_writer.check_complete([])


def test_many_rows_go_in_bounded_requests_and_each_row_once(stub: Stub) -> None:
    table = pa.table({"id": [str(number) for number in range(2_500)]})
    outcome = write(writer(stub, max_docs=400), table)
    sizes = [len(request.ids) for request in stub.bulks]
    assert max(sizes) <= 400
    assert len(sizes) <= 9
    assert (len(stub.docs), outcome.counters.acknowledged) == (2_500, 2_500)


def test_the_pickle_has_names_and_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_PASSWORD", "hunter2")
    for auth in (BasicAuth("me", "MY_PASSWORD"), TokenAuth("MY_PASSWORD")):
        connection = connect("http://127.0.0.1:1", auth)
        assert connection.client
        data = pickle.dumps(RowWriter(RowIndex(connection, "docs"), RowSchema()))
        assert b"hunter2" not in data
        assert b"MY_PASSWORD" in data


def test_credentials_become_a_connection() -> None:
    url = "https://search.example.org"
    assert connect(url, BasicAuth("me", "PW")) == Connection(url, username="me", password_env="PW")
    token = connect(url, TokenAuth("T", "api_key", "/token"))
    assert token == Connection(url, token="api_key", token_env="T", token_file="/token")
    certificate = connect(url, ClientCertificate("/cert", "/key"), ca_certs="/ca")
    assert certificate == Connection(url, client_cert="/cert", client_key="/key", ca_certs="/ca")
    assert connect(url, SigV4("us-east-1")) == AwsConnection(url, region="us-east-1")
    host = "https://abc.us-east-1.aoss.amazonaws.com"
    assert connect(host, SigV4()).is_serverless
    assert connect(token, None) is token


def test_wrong_credentials_are_refused_without_being_quoted() -> None:
    refused: list[Any] = [("me", "hunter2"), "hunter2"]
    for auth in refused:
        with pytest.raises(ValueError, match=r"^auth is a (tuple|str); give BasicAuth") as error:
            connect("http://127.0.0.1:1", auth)
        assert "hunter2" not in str(error.value)
    for make in (lambda: BasicAuth("me", "hunter 2!"), lambda: TokenAuth("hunter 2!")):
        with pytest.raises(ValueError, match="not the name of an environment variable") as error:
            make()
        assert "hunter" not in str(error.value)
    with pytest.raises(ValueError, match="a Connection has its own auth"):
        connect(Connection("http://127.0.0.1:1"), BasicAuth("me"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "a,b"}, "index=a,b cannot be the name"),
        ({"name": ""}, "index= cannot be the name"),
        ({"max_docs": 0}, "max_docs=0 must be at least 1"),
        ({"max_bytes": 0}, "max_bytes=0 must be at least 1"),
        ({"retry_budget_s": -1}, "retry_budget_s=-1 must be at least 0"),
        ({"mapping": "text"}, "mapping must be a dictionary"),
    ],
)
def test_a_wrong_argument_is_named(stub: Stub, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        writer(stub, **settings)


def test_messages_name_the_arguments_of_the_sink() -> None:
    host = "https://x.opensearch.endpoint.org"
    text = f"OpenSearch at {host}: set opensearch.endpoint, or opensearch.connection.ca_certs=<f>"
    wanted = f"OpenSearch at {host}: set endpoint, or ca_certs=<f>"
    assert in_own_words(SetupError(text)) == wanted
