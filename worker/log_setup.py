"""Logging to standard error, one structured line per event, as text or as JSON, without personal data (MEM6)."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import Final, TextIO, cast

import structlog
from structlog.typing import EventDict, ExcInfo
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from worker.monitoring.redaction import RedactedStream, format_traceback

CORE = "temporalio.core"
"""The logger of Temporal's core."""

_WORDED_BY_TEMPORAL: Final = "temporalio"


def set_up_logging(level: int = logging.WARNING, *, json: bool = False, metrics_address: str = "") -> None:
    """Log to standard error. Tracebacks omit the values of variables and the texts of most errors.

    Temporal's core logs through Python: on its own it would write to standard output. It serves its metrics on
    `metrics_address`, if there is one.
    """
    draw = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    stream = cast(TextIO, RedactedStream(sys.stderr))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.ExceptionRenderer(_traceback_of),
            draw,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: structlog.PrintLogger(stream),
        cache_logger_on_first_use=False,
    )
    sdk = logging.getLogger(_WORDED_BY_TEMPORAL)
    sdk.propagate = False
    sdk.handlers = [_ToStructlog() if level <= logging.INFO else logging.NullHandler()]
    # Without a handler, Python writes the warnings of libraries to standard error as they are.
    logging.getLogger().handlers = [_ToStructlog(logging.WARNING)]
    logging.captureWarnings(True)
    core = LoggingConfig(
        # A workflow whose history no longer fits its code is a warning of the core, not an error.
        TelemetryFilter(core_level="WARN", other_level="ERROR"),
        forwarding=LogForwardingConfig(
            logging.getLogger(CORE), prepend_target_on_message=False, append_log_fields_to_message=False
        ),
    )
    with suppress(RuntimeError):
        Runtime.set_default(
            Runtime(telemetry=TelemetryConfig(logging=core, metrics=_metrics(metrics_address)))
        )


def redact_output() -> None:
    """Redact all that this process writes from now on: what no logger sees, such as the report of a crash."""
    sys.stdout = cast(TextIO, RedactedStream(sys.stdout))
    sys.stderr = cast(TextIO, RedactedStream(sys.stderr))


def _metrics(address: str) -> PrometheusConfig | None:
    """Return how Temporal's core names its metrics: as Prometheus' own conventions want it."""
    if not address:
        return None
    return PrometheusConfig(address, counters_total_suffix=True, unit_suffix=True, durations_as_seconds=True)


def _traceback_of(exc_info: ExcInfo) -> str:
    return format_traceback(exc_info[1])


class _ToStructlog(logging.Handler):
    """Passes records of libraries to structlog.

    Of the extra fields only those of Temporal's core are kept: ids. Of a record of another library its first line is
    kept, without what is filled in: a row, a request or an error may be quoted there.
    """

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger(record.name)
        error = record.exc_info or None
        if core := getattr(record, "temporal_log", None):
            fields: EventDict = {f"core_{name}": value for name, value in core.fields.items()}
            logger.log(record.levelno, "temporal_core_reported", message=record.getMessage(), **fields)
        elif record.name.partition(".")[0] == _WORDED_BY_TEMPORAL:
            logger.log(record.levelno, record.getMessage(), exc_info=error)
        else:
            said = next(iter(str(record.msg).strip().splitlines()), "")
            if record.name == "py.warnings":  # file, line and kind of the warning; its words may quote
                said = ": ".join(said.split(": ")[:2])
            logger.log(record.levelno, "library_reported", library=record.name, message=said, exc_info=error)
