from __future__ import annotations

from raypipe.cli.legacy_flags import LEGACY_FLAGS, explain_legacy_flags
from tests.unit.docs.pages import PAGES


def test_an_error_about_old_flags_names_the_new_options() -> None:
    message = explain_legacy_flags(["run", "--bucket", "my-books", "--max-books=5", "limit=3"])
    assert message == (
        "options have no dashes here: --bucket is storage=s3 storage.bucket=BUCKET,"
        " --max-books is limit=100"
    )
    assert explain_legacy_flags(["limit=3", "--cfg", "job", "-m"]) == ""


def test_the_guide_maps_every_old_flag() -> None:
    rows = [
        row for row in PAGES["docs/guides/migrating.md"].splitlines() if row.startswith("| `--")
    ]
    assert {row.split("`")[1].split()[0] for row in rows} == set(LEGACY_FLAGS)
    options = {row.split("`")[1].split()[0]: row.split("`")[3] for row in rows}
    for flag, replacement in LEGACY_FLAGS.items():
        names = [override.partition("=")[0] for override in replacement.split()]
        assert [name for name in names if name not in options[flag]] == [], flag
