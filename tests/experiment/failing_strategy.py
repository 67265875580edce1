"""A strategy that traces nothing and whose drain goes wrong once it is asked for under a load."""

from __future__ import annotations

import os
import time

from harness.tracing.none import NoTracing

BEFORE_LOADS = 3
"""Drains of an arm before its first load: after its first calls, after its warm-up, after its measured blocks."""


class Failing(NoTracing):
    """Its style says what happens at the first drain under a load: ``raise``, ``exit`` or ``hang``."""

    name = "failing"

    def __init__(self, *, style: str = "", depth: str = "") -> None:
        super().__init__(depth=depth)
        self.style = style
        self.drains = 0

    def drain(self) -> None:
        """Do nothing, but for the one time."""
        self.drains += 1
        if self.drains == BEFORE_LOADS + 1:
            if self.style == "raise":
                raise RuntimeError("the exporter gave up")
            if self.style == "exit":
                os._exit(3)
            time.sleep(60)
