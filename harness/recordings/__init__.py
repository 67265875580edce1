"""Recorded exchanges, read from files: a cell's own records, single exchanges as JSON, or VCR cassettes.

A pure reader. ``load_recordings`` gives flows, each of which becomes one sample of a prompt set;
``Shelf`` finds the recorded answer to a request, or says what no recording states.
"""

from __future__ import annotations

from harness.recordings.loading import load_recordings
from harness.recordings.shelf import NotRecordedError, Shelf
from harness.recordings.values import Flow, Recording, Recordings

__all__ = ["Flow", "NotRecordedError", "Recording", "Recordings", "Shelf", "load_recordings"]
