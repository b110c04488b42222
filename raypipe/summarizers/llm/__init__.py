"""Summarize a book with a chat model: chunks, merges, one structured answer.

`summarizer` is the entry point. For each book it connects these pieces:

- `hierarchy` decides which tasks there are: chunks -> merges -> the final answer.
  `chunks` cuts the book, `merge_levels` plans the merges.
- `questions` turns a task into the question to the model: `prompts` has the texts, `fields` the
  JSON schema, `token_budget` the sizes, `quotes` the sentences quoted from the book.
- `task_runner` asks, checks each answer (`answer_checker`, `checks`), and asks again once.
- `usage` counts the calls of a book.
- `dry_run` lists the calls of a book without asking a model.
"""
