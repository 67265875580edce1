"""Everything that is written to or read from MLflow: runs, metrics, artifacts, assessments, traces.

People read in MLflow; this is the one package that writes there, and it turns stored traces
back into records. It never imports an SDK and turns no tracing on.
"""

from __future__ import annotations

from harness.stores.throwaway import make_template
from harness.tracking.cells import (
    NOTE_TAG,
    PARENT_TAG,
    PROVIDER_TAG,
    STRATEGY_TAG,
    SWEEP_TAG,
    cell_metrics,
    cell_params,
    cell_tags,
)
from harness.tracking.store import (
    CELL_TAG,
    COMMAND_TAG,
    COUNT_TAG,
    ENDED_TAG,
    KIND_TAG,
    OWNER_TAG,
    RECORDS_FOLDER,
    STARTED_TAG,
    Ending,
    Store,
)
from harness.tracking.tables import DIFFERENCES_FILE
from harness.tracking.uris import absolute_uri, check_store

__all__ = [
    "CELL_TAG",
    "COMMAND_TAG",
    "COUNT_TAG",
    "DIFFERENCES_FILE",
    "ENDED_TAG",
    "KIND_TAG",
    "NOTE_TAG",
    "OWNER_TAG",
    "PARENT_TAG",
    "PROVIDER_TAG",
    "RECORDS_FOLDER",
    "STARTED_TAG",
    "STRATEGY_TAG",
    "SWEEP_TAG",
    "Ending",
    "Store",
    "absolute_uri",
    "cell_metrics",
    "cell_params",
    "cell_tags",
    "check_store",
    "make_template",
]
