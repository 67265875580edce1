"""Autologging of LangChain and of the SDK beneath it, both turned on as an application may well do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import mlflow

from harness.errors import ConfigError, NotApplicableError
from harness.tracing.autolog import Autolog

if TYPE_CHECKING:
    from harness.providers import Provider

BENEATH = {"langchain_openai": "openai", "langchain_mistralai": "mistral"}
"""LangChain's package for a backend to MLflow's flavour for that backend's SDK."""


class BothAutologs(Autolog):
    """``mlflow.langchain.autolog()`` together with the flavour of what LangChain calls."""

    name = "both"

    def __init__(self, *, style: str = "", depth: str = "") -> None:
        if style or depth:
            raise ConfigError(f"tracing both has no style or depth, but got {style or depth!r}; leave them empty")
        super().__init__()
        self._beneath: tuple[str, ...] = ()

    def install(self, provider: Provider, tracking_uri: str | None, experiment: str | None) -> None:
        """Say where traces go, and turn both flavours on.

        Raises:
            NotApplicableError: If the provider is not built on LangChain.
        """
        # The provider was made before: an application has imported the packages that it uses.
        self._beneath = tuple(flavor for package, flavor in BENEATH.items() if package in sys.modules)
        if not self._beneath:
            raise NotApplicableError(
                f"tracing both is autologging of LangChain and of the SDK beneath it, but provider {provider.name!r} "
                "is not built on LangChain"
            )
        super().install(provider, tracking_uri, experiment)
        for flavor in self._beneath:
            getattr(mlflow, flavor).autolog()

    def source(self) -> str:
        """The two lines; before ``install`` the second flavour is not known."""
        return "\n".join(
            [super().source(), *(f"mlflow.{flavor}.autolog()" for flavor in self._beneath or ["<flavor>"])]
        )
