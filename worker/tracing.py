"""OpenTelemetry spans, one per stage of a batch; configured by the standard OTEL_ variables.

Without an endpoint there is nothing of this in the way of a call. The exporter speaks OTLP over
HTTP and works on a thread of its own; a collector that is away costs spans, never alerts.
"""

import atexit
import functools
import threading
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, ParamSpec, Protocol, TypeVar

from worker.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")

LAST_SPANS_S = 2.0
"""How long the end of the process waits for the collector to take the last spans."""

MISSING = (
    "OTEL_EXPORTER_OTLP_ENDPOINT asks for traces: pip install 'anomaly-worker[otel]', "
    "or set OTEL_SDK_DISABLED=true"
)


class Spans(Protocol):
    """Wraps calls in spans."""

    def around(self, name: str, call: Callable[P, R]) -> Callable[P, R]:
        """The same call in a span; spans that begin inside it are its children."""


class NoSpans:
    """Tracing that is off."""

    def around(self, name: str, call: Callable[P, R]) -> Callable[P, R]:
        """The call itself."""
        del name
        return call


NO_SPANS = NoSpans()


class OpenTelemetrySpans:
    """Spans of one worker. An error is named by its class: messages may quote addresses."""

    def __init__(self, provider: Any) -> None:
        self._tracer = provider.get_tracer("anomaly-worker")

    def around(self, name: str, call: Callable[P, R]) -> Callable[P, R]:
        """The same call in a span; spans that begin inside it are its children."""
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - an optional extra

        start = functools.partial(
            self._tracer.start_as_current_span,
            name,
            record_exception=False,
            set_status_on_exception=False,
        )

        def spanned(*args: P.args, **kwargs: P.kwargs) -> R:
            with start() as span:
                try:
                    return call(*args, **kwargs)
                except Exception as error:
                    span.set_status(StatusCode.ERROR, type(error).__name__)
                    raise

        return spanned


def open_spans(slot: str, *, wanted: bool) -> Spans:
    """Spans to the collector that the environment names; ConfigError without the extra."""
    if not wanted:
        return NO_SPANS
    try:
        # An optional extra: imported when it is asked for.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - same
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415 - same
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - same
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - same
    except ImportError as error:
        raise ConfigError(MISSING) from error
    ours = Resource(
        {
            "service.name": "anomaly-worker",
            "service.version": version("anomaly-worker"),
            "service.instance.id": slot,
        }
    )
    # The environment's attributes win. The provider's own end waits half a minute for a collector
    # that is away, longer than a drain may take.
    provider = TracerProvider(
        resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
    )
    atexit.register(_flush, provider)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return OpenTelemetrySpans(provider)


def _flush(provider: Any) -> None:
    """Send what waits, for a moment; the thread ends with the process."""
    sending = threading.Thread(target=provider.shutdown, name="last spans", daemon=True)
    sending.start()
    sending.join(LAST_SPANS_S)
