"""Start a model server to test against, and leave it running until Ctrl-C."""

from __future__ import annotations

import signal
import threading

from omegaconf import DictConfig

from raypipe.config import build as config
from raypipe.core.errors import OptionError
from raypipe.simulator.model_server import ModelServer

_LOOK_S = 0.5


def main(cfg: DictConfig) -> int:
    """Serve until the person stops it."""
    try:
        model_server = ModelServer(config.options(cfg))
    except ValueError as error:
        raise OptionError(str(error)) from None
    try:
        with model_server as server:
            print(_told(server.url), flush=True)
            # The system may hand a signal to another thread: this one looks for it.
            while not threading.Event().wait(_LOOK_S):
                pass
    except KeyboardInterrupt:
        # A second Ctrl-C while the interpreter ends would print a traceback for nothing.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return 0


def _told(url: str) -> str:
    return "\n".join(
        [
            f"Model server  {url}  (Bedrock and OpenAI; Ctrl-C ends it)",
            "",
            f"  export AWS_ENDPOINT_URL_BEDROCK_RUNTIME={url} AWS_REGION=us-east-1",
            "  export AWS_ACCESS_KEY_ID=simulated AWS_SECRET_ACCESS_KEY=simulated",
            f"  export OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY=simulated",
            "",
            f"  curl {url}/stats",
            f'  curl {url}/control -d \'{{"quota": {{"tokens_per_minute": 500000}}}}\'',
            f"  curl -X POST {url}/reset",
        ]
    )
