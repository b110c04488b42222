"""One run: plan, graph, stages, sink, record."""
