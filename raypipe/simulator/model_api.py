"""Define what the API of a model provider does: parse requests, build responses."""

from __future__ import annotations

from typing import Protocol

from raypipe.simulator.calls import CallRefused, SimulatedAnswer, SimulatedCall
from raypipe.simulator.http_connection import HttpRequest, HttpResponse
from raypipe.simulator.options import ModelOptions


class ModelApi(Protocol):
    """The HTTP API of a model provider."""

    model: ModelOptions
    """Properties of the models; may be replaced between calls."""

    def parse_call(self, request: HttpRequest) -> SimulatedCall:
        """Return the call in a request.

        Raises:
            CallRefused: The request is invalid.
        """

    def build_response(self, call: SimulatedCall, answer: SimulatedAnswer) -> HttpResponse:
        """Return the response with status 200."""

    def build_error(self, error: CallRefused) -> HttpResponse:
        """Return the response to a refused call."""
