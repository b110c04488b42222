"""Make model calls: cached, deduplicated, fair between books, retried.

The path of a call, from `ModelCaller.submit` to its answer:

1. `single_flight`: equal calls in flight are made once; the others wait for that answer.
2. `answer_groups` and the answer cache: an answer that was paid for before is returned.
3. `fair_pool`: the call waits for a thread; books take turns.
4. `retrying`: the call gets a lease from the quota, is sent, and is repeated after errors as
   `raypipe.models.error_policy` says.
"""
