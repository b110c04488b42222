"""Share a model's quota and a run's budget between all workers of a cluster.

A worker asks for a `Lease` before each call and settles it afterwards (`protocol`). Without a
configured quota, `local.LocalQuotaClient` bounds the calls of one process. With a quota, the call
goes through these layers:

- `service_client.QuotaServiceClient`: the client of a run and its workers; finds or starts the
  service. `actor.RemoteQuotaClient` has it in a Ray actor, `in_process.InProcessQuotaClient` in a
  thread.
- `batch_client.QuotaBatchClient`: one process's requests and settlements, sent in batches.
- `service.QuotaService`: an event loop; runs and processes register with it and exchange batches.
- `broker.Broker`: grants leases in order; plain code on a clock that is passed in.
- `limits.Limits`: tokens and requests per minute, tokens per day; `rate_estimator` learns the
  rate that the server accepts, `budget.BudgetGuard` keeps a run within its budget.
"""
