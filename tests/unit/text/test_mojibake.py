from __future__ import annotations

from importlib.metadata import version

import pytest

from raypipe.text.mojibake import repair_mojibake, repair_tool_version

GOOD = "“It’s the café,” said André — naïve as ever.\nŁódź, Überfluß, señor, cœur, 灯台\n"


@pytest.mark.parametrize("wrong", ["cp1252", "latin-1"])
def test_repairs_text_decoded_with_the_wrong_encoding(wrong: str) -> None:
    text = GOOD.replace("灯台", "").replace("Ł", "L").replace("ź", "z").replace("”", "’")
    broken = text.encode().decode(wrong)
    assert "Ã©" in broken
    assert repair_mojibake(broken) == (text, True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain words",
        GOOD,
        "“CAFÉ” “PÂTÉ” “MAÇON” “RÉSUMÉ”\n" * 9,
        "«\u00a0À\u00a0la mer\u00a0», dit-il. À\u00a0table\u00a0!\n" * 9,
        "ÂME, ÊTRE, GRÂCE, Ã, Ã©",  # one broken pair is not enough
    ],
)
def test_correct_text_stays_unchanged(text: str) -> None:
    assert repair_mojibake(text) == (text, False)


def test_correct_lines_stay_unchanged_beside_broken_lines() -> None:
    broken = "l’été “É”\n" + "itâ€™s the cafÃ©â€™s\n" * 3
    assert repair_mojibake(broken)[0] == "l’été “É”\n" + "it’s the café’s\n" * 3


def test_a_correct_book_does_not_import_ftfy() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from raypipe.text import TextCleaner;"
        f"TextCleaner(min_words=1).clean({(GOOD * 9).encode()!r}, 'x');"
        "assert 'ftfy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=200)


def test_the_repair_tool_version_names_ftfy() -> None:
    assert repair_tool_version() == f"ftfy {version('ftfy')}"
