"""What the simulator serves: a path, the dialects that have it, and what answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from harness.gateway.chat import answer_chat
from harness.gateway.embeddings import answer_embeddings
from harness.gateway.responses import answer_responses
from harness.records import Dialect

if TYPE_CHECKING:
    from harness.gateway.content import Voice
    from harness.gateway.template import Single, Stream

Answering = Callable[[Dialect, bytes, "Voice"], "Single | Stream"]


class Endpoint(NamedTuple):
    """One thing that a provider serves.

    Attributes:
        paths: Where; the first is its name.
        dialects: Whose it is.
        answer: Makes the answer from the dialect, the request's body and what the answer is made from.
        always_limits: Whether OpenAI names rate limits also in the headers of streams and errors.
    """

    paths: tuple[str, ...]
    dialects: tuple[Dialect, ...]
    answer: Answering
    always_limits: bool = True


_CHAT = "/v1/chat/completions"

ENDPOINTS = (
    # Mistral's SDK asks for "...completions#stream". Its HTTP client drops the fragment, and so does
    # the server's parser; a client that escapes the sign instead ends up with it in the path.
    Endpoint((_CHAT, f"{_CHAT}#stream"), ("openai", "mistral"), answer_chat),
    Endpoint(("/v1/embeddings",), ("openai", "mistral"), answer_embeddings),
    Endpoint(("/v1/responses",), ("openai",), answer_responses, always_limits=False),
)
CHAT = ENDPOINTS[0]
_BY_PATH = {path: endpoint for endpoint in ENDPOINTS for path in endpoint.paths}


def endpoint_at(path: str) -> Endpoint:
    """The endpoint at a path as it was asked for, which may have a query and escaped signs.

    Raises:
        KeyError: If there is none.
    """
    return _BY_PATH[unquote(path.partition("?")[0])]
