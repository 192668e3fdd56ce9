"""Logging to standard error, one structured line per event."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress

import structlog
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter


def set_up_logging(level: int = logging.WARNING) -> None:
    """Log to standard error. Tracebacks omit the values of variables, which may be personal data.

    Temporal's core logs through Python: on its own it would write to standard output.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    sdk = logging.getLogger("temporalio")
    sdk.propagate = False
    sdk.handlers = [_ToStructlog() if level <= logging.INFO else logging.NullHandler()]
    core = LoggingConfig(
        TelemetryFilter(core_level="ERROR", other_level="ERROR"),
        forwarding=LogForwardingConfig(logging.getLogger("temporalio.core")),
    )
    with suppress(RuntimeError):
        Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=core)))


class _ToStructlog(logging.Handler):
    """Passes records of the standard library's loggers to structlog, without their extra fields."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger(record.name)
        logger.log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)
