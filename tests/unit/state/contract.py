"""The contract of every state. The tests of a backend derive from it; fixture `state`."""

from __future__ import annotations

import pickle  # noqa: TID251
import threading

import pytest

from raypipe.core.errors import SetupError
from raypipe.state.store import State, check_conditional_puts, state_id


class StateContract:
    def test_get_of_a_missing_name_is_none(self, state: State) -> None:
        assert state.get("a/b") is None
        assert state.get_tagged("a/b") is None
        assert state.open("a/b") is None

    def test_put_replaces_the_content(self, state: State) -> None:
        state.put("a/b.json", b"1")
        state.put("a/b.json", b"22")
        assert state.get("a/b.json") == b"22"

    def test_content_may_be_empty(self, state: State) -> None:
        state.put("empty", b"")
        assert state.get("empty") == b""
        reader = state.open("empty")
        assert reader is not None
        assert reader.read() == b""

    def test_put_if_absent_keeps_the_first_content(self, state: State) -> None:
        tag = state.put_if_absent("x", b"first")
        assert tag
        assert state.put_if_absent("x", b"second") is None
        assert state.put_if_absent("x", b"first") is None  # also with equal bytes
        assert state.get_tagged("x") == (b"first", tag)

    def test_put_if_match_succeeds_once_per_tag(self, state: State) -> None:
        old = state.put_if_absent("x", b"1")
        assert old
        new = state.put_if_match("x", b"2", old)
        assert new
        assert new != old
        assert state.put_if_match("x", b"3", old) is None
        assert state.get_tagged("x") == (b"2", new)
        assert state.put_if_match("x", b"3", new)

    def test_put_if_match_of_a_missing_name_is_none(self, state: State) -> None:
        tag = state.put_if_absent("x", b"1")
        assert tag
        state.delete(["x"])
        assert state.put_if_match("x", b"2", tag) is None
        assert state.get("x") is None

    def test_list_is_sorted_and_takes_a_string_prefix(self, state: State) -> None:
        for name in ("p/part-2", "p/part-1", "p/other", "p/part-1x/deep", "q"):
            state.put(name, b"1")
        assert state.list("p/part-") == ["p/part-1", "p/part-1x/deep", "p/part-2"]
        assert state.list() == ["p/other", "p/part-1", "p/part-1x/deep", "p/part-2", "q"]
        assert state.list("nothing/") == []

    def test_delete_accepts_missing_names(self, state: State) -> None:
        state.put("a", b"1")
        state.delete(["a", "b", "c/d"])
        state.delete([])
        assert state.list() == []

    @pytest.mark.parametrize(
        "name", ["", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a/.b", "a\\b"]
    )
    def test_names_outside_of_the_state_are_refused(self, state: State, name: str) -> None:
        with pytest.raises(ValueError, match="invalid name"):
            state.put(name, b"1")
        with pytest.raises(ValueError, match="invalid name"):
            state.get(name)

    def test_open_reads_ranges(self, state: State) -> None:
        data = bytes(range(256)) * 12_000  # 3 MB: more than a single request fetches
        state.put("big", data)
        reader = state.open("big")
        assert reader is not None
        with reader:
            assert reader.seek(0, 2) == len(data)
            reader.seek(1000)
            assert reader.read(50) == data[1000:1050]
            assert reader.tell() == 1050
            reader.seek(len(data) - 1_500_000)
            assert reader.read(1_000_000) == data[-1_500_000:-500_000]
            reader.seek(-10, 2)
            assert reader.read() == data[-10:]
            assert reader.read(5) == b""
            reader.seek(0)
            assert reader.read() == data

    def test_check_leaves_no_object(self, state: State) -> None:
        state.check()
        assert state.list() == []

    def test_a_used_state_can_be_pickled(self, state: State) -> None:
        state.put("a", b"1")
        copy = pickle.loads(pickle.dumps(state))
        assert copy.uri == state.uri
        assert copy.get("a") == b"1"

    def test_the_id_is_created_once(self, state: State) -> None:
        first = state_id(state)
        assert len(first) == 36
        assert state_id(state) == first

    def test_another_layout_version_is_refused(self, state: State) -> None:
        state.put("state.json", b'{"id": "x", "version": 99}')
        with pytest.raises(SetupError, match=r"version 99.*reads version 1"):
            state_id(state)

    @pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"id": "x"}'])
    def test_a_damaged_id_is_refused(self, state: State, data: bytes) -> None:
        state.put("state.json", data)
        with pytest.raises(SetupError, match=r"state\.json.*damaged"):
            state_id(state)

    def test_threads_share_a_state(self, state: State) -> None:
        errors: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for turn in range(5):
                    state.put(f"t/{number}-{turn}", b"1")
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        assert len(state.list("t/")) == 40


class UnconditionalState:
    """A state that ignores the conditions of puts."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.uri = state.uri

    def put_if_absent(self, name: str, data: bytes, *, durable: bool = True) -> str | None:
        self._state.put(name, data)
        return "tag"

    def put_if_match(self, name: str, data: bytes, tag: str, *, durable: bool = True) -> str | None:
        self._state.put(name, data)
        return "tag"

    def delete(self, names: list[str]) -> None:
        self._state.delete(names)


def assert_ignored_conditions_are_detected(state: State) -> None:
    with pytest.raises(SetupError, match="does not honor conditional writes"):
        check_conditional_puts(UnconditionalState(state))  # type: ignore[arg-type]
    assert state.list() == []
