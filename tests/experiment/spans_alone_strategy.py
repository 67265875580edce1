"""A strategy that never has MLflow write the trace itself, and says so."""

from __future__ import annotations

from harness.calibration.losing import LosingTracing


class SpansAlone(LosingTracing):
    """As sending spans over OTLP leaves it: the spans are stored, the trace is not written."""

    name = "spans-alone"
    spans_alone = True
