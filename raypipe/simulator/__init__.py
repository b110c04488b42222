"""Simulate model providers: the APIs of Bedrock and OpenAI with quotas, latency and faults."""
