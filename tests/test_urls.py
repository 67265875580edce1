from __future__ import annotations

import pytest

from harness.urls import without_secrets


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("postgresql://me:pw@host/db", "postgresql://[redacted]@host/db"),
        ("harness store.uri=https://me:pw@host:5000 seed=1", "harness store.uri=https://[redacted]@host:5000 seed=1"),
        ("https://host/v1?api_key=abc&x=1", "https://host/v1?api_key=[redacted]&x=1"),
        ("https://host/v1?x=a@b", "https://host/v1?x=a@b"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
        ("no url at all", "no url at all"),
    ],
)
def test_secrets_in_urls_are_replaced(text: str, clean: str) -> None:
    """User, password and secret query values go; everything else stays as it is."""
    assert without_secrets(text) == clean
