"""From the text of a document to a run, whichever of the two kinds it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.errors import InputError
from harness.gate.benchmarks import BenchmarkDocument, benchmark_run
from harness.gate.runs import Form, Run
from harness.gate.sweeps import SweepDocument, gated_cell
from harness.report.data import CELLS_SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

_FORMS = f"{Form.SWEEP}, or {Form.BENCHMARKS} with the suite in tests/benchmarks"


def read_document(name: str, text: str | bytes) -> Run:
    """Read ``cells.json`` or a file of pytest-benchmark.

    Args:
        name: What messages call it.
        text: The document.

    Raises:
        InputError: If it is neither, of another version, or damaged; the message names the place.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InputError(f"{name} is not JSON ({error}); it has to be {_FORMS}") from error
    except RecursionError as error:
        raise InputError(f"{name} is nested too deeply to be read; it has to be {_FORMS}") from error
    form = _form(document)
    if form is None:
        raise InputError(f"{name} is neither; it has to be {_FORMS}")
    if form is Form.BENCHMARKS:
        # The suite's own part is checked where it is read.
        return _checked(name, lambda: benchmark_run(name, BenchmarkDocument.model_validate(document)))
    version = document["schema_version"]
    if version != CELLS_SCHEMA_VERSION:
        raise InputError(
            f"{name} has schema version {version!r}, this harness compares version {CELLS_SCHEMA_VERSION}; "
            "make it anew from the sweep's records with `harness report`"
        )
    return _checked(name, lambda: _sweep(name, document))


def _form(document: Any) -> Form | None:
    if not isinstance(document, dict):
        return None
    if isinstance(document.get("benchmarks"), list) and "machine_info" in document:
        return Form.BENCHMARKS
    if isinstance(document.get("cells"), list) and "schema_version" in document:
        return Form.SWEEP
    return None


def _sweep(name: str, document: dict[str, Any]) -> Run:
    sweep = SweepDocument.model_validate(document)
    return Run(
        name=name,
        identity=f"sweep {sweep.sweep_id}",
        form=Form.SWEEP,
        cells=tuple(gated_cell(cell) for cell in sweep.cells),
    )


def _checked(name: str, read: Callable[[], Run]) -> Run:
    try:
        return read()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{name} is damaged: {place}: {first['msg']}") from error
    except RecursionError as error:
        raise InputError(f"{name} is damaged: it is nested too deeply to be read") from error
    except KeyError as error:
        raise InputError(
            f"{name} is damaged: a verdict is written as {error}, which its letters do not know"
        ) from error
