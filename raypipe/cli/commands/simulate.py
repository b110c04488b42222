"""Start a model server for tests, and leave it running until Ctrl-C."""

from __future__ import annotations

import signal
import threading

from omegaconf import DictConfig

from raypipe.config.build import read_options
from raypipe.core.errors import OptionError
from raypipe.core.exit_codes import OK
from raypipe.core.printable import join_lines
from raypipe.simulator.model_server import ModelServer

_POLL_S = 0.5


def main(cfg: DictConfig) -> int:
    """Serve until Ctrl-C.

    Raises:
        OptionError: An option is out of range, or the port is in use.
    """
    try:
        model_server = ModelServer(read_options(cfg))
    except ValueError as error:
        raise OptionError(str(error)) from None
    try:
        with model_server as server:
            print(_format_usage(server.url), flush=True)
            # Another thread may receive the signal; Python handles it when this thread wakes up.
            while not threading.Event().wait(_POLL_S):
                pass
    except KeyboardInterrupt:
        # A second Ctrl-C while the interpreter exits would print a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return OK


def _format_usage(url: str) -> str:
    return join_lines(
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
