"""Turn a book's bytes into clean text, metadata, chapters and sentences.

`TextCleaner.clean` in `cleaner` runs the steps in this order, one module a step:

1. `decode`: bytes to characters. `wide_encodings`, `mixed_encodings`, `code_pages` (with
   `alphabets`) and `east_asian` recognize the encodings.
2. `mojibake`: repair text that was once decoded with the wrong encoding.
3. `normalize`: one form for characters and line ends. `page_furniture` removes running heads and
   page numbers, which it recognizes with `numbered_lines`, `imprints` and `likeness`, and
   `line_spacing` sees to the empty lines between paragraphs.
4. `boilerplate`: remove the Project Gutenberg license, markers and credits. `frames` and `aozora`
   know the notices of other digital libraries, and `transcriber_notes` removes the notes of
   transcribers and lists of errata.
5. `table_of_contents`: remove tables of contents and lists of illustrations, keep their titles.
6. `unwrap`: join the lines of wrapped paragraphs.
7. `metadata`: read title, author and declared language.
8. `language`: detect the language.
9. `chapters`: find where chapters begin; `heading_numbers` reads the numbers in headings.

`formats` reads other formats than plain text, which then take the steps from the second on, and
`memory_limit` limits what that may take. `sentences` splits the clean text into sentences and
counts words. Each step takes a time that grows with the length of the text; `cuts` helps with it.
`isolation` processes long texts and other formats in a child process with a deadline.
"""

from raypipe.text.chapters import Chapter, find_chapters
from raypipe.text.cleaner import CleanText, TextCleaner
from raypipe.text.sentences import count_words, split_sentences

__all__ = [
    "Chapter",
    "CleanText",
    "TextCleaner",
    "count_words",
    "find_chapters",
    "split_sentences",
]
