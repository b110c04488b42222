from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("pandas")

SCRIPT = """
import json, sys
from raypipe.cli.arrow import prepare_arrow
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
