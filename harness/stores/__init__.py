"""SQLite stores of a worker's own, and stored traces as records.

It imports MLflow and little else, so that it also runs in the environment of a runtime, whose
MLflow alone can make and read stores of its version (``python -m harness.stores``).
"""

from __future__ import annotations
