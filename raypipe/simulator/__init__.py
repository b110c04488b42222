"""A model server to test against: Bedrock and OpenAI, quotas, latency, faults."""
