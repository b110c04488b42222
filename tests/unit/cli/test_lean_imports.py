from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("pandas")

SCRIPT = """
import json, sys
from raypipe.cli.lean_imports import prepare_arrow
prepare_arrow()
import pyarrow as pa
table = pa.table({"a": [1.0, None]})
before = "pandas" in sys.modules
frame = table.to_pandas()
print(json.dumps([before, len(frame), pa.array(frame["a"]).null_count]))
"""


def test_pandas_is_imported_only_by_what_needs_it() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True)
    before, rows, nulls = json.loads(done.stdout)
    assert (before, rows, nulls) == (False, 2, 1)


OPENSEARCH = """
import json, sys
from raypipe.cli.lean_imports import prepare_opensearch
prepare_opensearch()
from opensearchpy import OpenSearch
hidden = "aiohttp" not in sys.modules
import aiohttp
print(json.dumps([hidden, hasattr(aiohttp, "ClientSession")]))
"""


def test_aiohttp_is_hidden_from_opensearch_alone() -> None:
    done = subprocess.run([sys.executable, "-c", OPENSEARCH], capture_output=True, check=True)
    assert json.loads(done.stdout) == [True, True]
