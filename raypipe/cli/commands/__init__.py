"""One small file a command: a docstring and main(cfg)."""
