from __future__ import annotations

from importlib.metadata import version

import pytest

from raypipe.text.mojibake import repair_mojibake, repairer

GOOD = "“It’s the café,” said André — naïve as ever.\nŁódź, Überfluß, señor, cœur, 灯台\n"


@pytest.mark.parametrize("wrong", ["cp1252", "latin-1"])
def test_what_was_read_wrong_is_read_right(wrong: str) -> None:
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
def test_what_is_right_stays(text: str) -> None:
    assert repair_mojibake(text) == (text, False)


def test_lines_in_order_stay_as_they_are_beside_broken_ones() -> None:
    broken = "l’été “É”\n" + "itâ€™s the cafÃ©â€™s\n" * 3
    assert repair_mojibake(broken)[0] == "l’été “É”\n" + "it’s the café’s\n" * 3


def test_a_good_book_does_not_load_the_repairer() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from raypipe.text import TextCleaner;"
        f"TextCleaner(min_words=1).clean({(GOOD * 9).encode()!r}, 'x');"
        "assert 'ftfy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=200)


def test_the_repairers_version_is_known() -> None:
    assert repairer() == f"ftfy {version('ftfy')}"
