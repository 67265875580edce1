"""The MLflow server as its parent sees it."""

from __future__ import annotations

from harness.errors import StoreError
from harness.served import Served


class MlflowServer(Served):
    """A running MLflow server process."""

    module = "harness.server"
    name = "the arm's MLflow server"
    error = StoreError

    @property
    def tracking_uri(self) -> str:
        """Where MLflow's clients reach it."""
        return f"http://127.0.0.1:{self.port}"
