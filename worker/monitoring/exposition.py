"""Metrics in the text format of Prometheus, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class MetricValue:
    """One value, and the labels that tell it from the others of its metric."""

    value: float
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric with its values. `help` says what it counts, in which unit."""

    name: str
    help: str
    samples: Sequence[MetricValue]
    kind: Literal["gauge", "counter"] = "gauge"


def gauge(name: str, help: str, value: float, **labels: str) -> Metric:
    """Return a metric with one value."""
    return Metric(name, help, [MetricValue(value, labels)])


def exposition(metrics: Iterable[Metric]) -> str:
    """Return metrics as Prometheus reads them. A metric without a value still has its name and kind."""
    lines = []
    for metric in metrics:
        lines += [f"# HELP {metric.name} {_escaped(metric.help)}", f"# TYPE {metric.name} {metric.kind}"]
        for sample in metric.samples:
            labels = ",".join(f'{name}="{_quoted(value)}"' for name, value in sample.labels.items())
            named = f"{metric.name}{{{labels}}}" if labels else metric.name
            lines.append(f"{named} {sample.value:.15g}")
    return "\n".join([*lines, ""])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
