"""URLs without what is secret in them."""

from __future__ import annotations

import re

_USER_INFO = re.compile(r"(?<=://)[^/?#\s'\"]*@")
_QUERY_SECRET = re.compile(r"([?&][^=&\s]*(?:key|token|secret|password|sig)[^=&\s]*=)[^&\s'\"]+", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """A text whose URLs have user, password and secret query values replaced by ``[redacted]``."""
    return _QUERY_SECRET.sub(r"\1[redacted]", _USER_INFO.sub("[redacted]@", text))
