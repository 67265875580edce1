"""How each SDK's own HTTP client is set up: the call id, and connections that outlive a rest."""

from __future__ import annotations

from typing import Any

from harness.providers.callid import attach_call_id

KEEPALIVE_EXPIRY_S = 24 * 3600.0
"""How long an idle connection is kept. The SDKs' 5 s would make an arm connect anew after each rest."""


def client_arguments() -> dict[str, Any]:
    """Keyword arguments for an ``httpx`` or ``httpx2`` client that talks to the gateway.

    The environment's proxies are not used: the gateway is on this machine, and a proxy between
    would be measured as part of the SDK.
    """
    return {"event_hooks": {"request": [attach_call_id]}, "trust_env": False}
