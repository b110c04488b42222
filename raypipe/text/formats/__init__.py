"""Read books that are not plain text: each format is a class with the members of `Format`.

`recognize` finds the format of a file, first by its content, then by its name. `compressed` opens
gzip, bzip2, zstd and a zip archive with a single file. A format returns the text as paragraphs
separated by blank lines, and the metadata that the file states; the cleaner then treats the text
like that of a plain text file. Formats parse what strangers made, so they work in the child process
of `raypipe.text.isolation`, with a deadline and a limit of memory.
"""

from raypipe.text.formats.protocol import BookMetadata, ExtractedText, Format

__all__ = ["BookMetadata", "ExtractedText", "Format"]
