"""Logging to standard error, one structured line per event."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress

import structlog
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

CORE = "temporalio.core"
"""The logger of Temporal's core."""


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
        # A workflow whose history no longer fits its code is a warning of the core, not an error.
        TelemetryFilter(core_level="WARN", other_level="ERROR"),
        forwarding=LogForwardingConfig(
            logging.getLogger(CORE), prepend_target_on_message=False, append_log_fields_to_message=False
        ),
    )
    with suppress(RuntimeError):
        Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=core)))


class _ToStructlog(logging.Handler):
    """Passes records of the SDK's loggers to structlog. Of their extra fields only those of the core are kept: ids."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger(record.name)
        if core := getattr(record, "temporal_log", None):
            fields = {f"core_{name}": value for name, value in core.fields.items()}
            logger.log(record.levelno, "temporal_core_reported", message=record.getMessage(), **fields)
            return
        logger.log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)
