"""Write the generated pages: `make docs`."""

from __future__ import annotations

from tests.generated_pages import write_pages

if __name__ == "__main__":
    write_pages()
