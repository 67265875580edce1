"""Chat completions in both dialects: the request as it is read, and what answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.gateway import mistral_chat, openai_chat
from harness.gateway.content import ANY_OBJECT, compose
from harness.gateway.requests import CHAT_TYPES, Request, check_content, read_document, read_integer, read_stop
from harness.gateway.tokens import prompt_tokens
from harness.gateway.tools import read_choice, read_tools

if TYPE_CHECKING:
    from harness.gateway.content import Voice
    from harness.gateway.refusals import Refusing
    from harness.gateway.template import Single, Stream
    from harness.records import Dialect

_MOST_CHOICES = 128
_WRITERS = {
    "openai": (openai_chat.single, openai_chat.stream),
    "mistral": (mistral_chat.single, mistral_chat.stream),
}


def answer_chat(dialect: Dialect, body: bytes, voice: Voice) -> Single | Stream:
    """Answer a chat request.

    Raises:
        RefusedError: As the dialect's endpoint would.
    """
    request = read_chat(dialect, body)
    content = compose(dialect, request, voice)
    single, stream = _WRITERS[dialect]
    return stream(request, content, voice) if request.stream else single(content, voice)


def read_chat(dialect: Dialect, body: bytes) -> Request:
    """Read a chat request's body.

    Raises:
        RefusedError: As the dialect's endpoint would.
    """
    document, refuse = read_document(dialect, body, ("messages",), CHAT_TYPES)
    messages = document["messages"]
    _check_messages(messages, refuse)
    tools = read_tools(document, refuse, nested=True)
    forced, named = read_choice(document, tools, refuse, nested=True)
    stream_options = document.get("stream_options") or {}
    return Request(
        document=document,
        model=document["model"],
        stream=document.get("stream") is True,
        choices=read_integer(document, "n", refuse, _MOST_CHOICES) or 1,
        max_tokens=read_integer(document, "max_completion_tokens", refuse)
        or read_integer(document, "max_tokens", refuse),
        stop=read_stop(document.get("stop"), refuse),
        prompt_tokens=prompt_tokens(messages, document.get("tools")),
        tools=tools,
        forced=forced,
        named=named,
        schema=_schema(document.get("response_format") or {}, refuse),
        after_tool=messages[-1].get("role") == "tool",
        include_usage=stream_options.get("include_usage") is True,
    )


def _check_messages(messages: object, refuse: Refusing) -> None:
    """Refuse what is no list of messages."""
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise refuse.no_messages()
    for index, message in enumerate(messages):
        check_content(message.get("content"), f"messages[{index}]", refuse)
        if not isinstance(message.get("tool_calls"), list | None):
            raise refuse.wrong_type(f"messages[{index}].tool_calls", (list,))


def _schema(response_format: dict[str, Any], refuse: Refusing) -> Any:
    """What the text has to be valid against; ``None`` if it may be any."""
    kind = response_format.get("type", "text")
    if kind == "text":
        return None
    if kind == "json_object":
        return ANY_OBJECT
    if kind != "json_schema":
        raise refuse.wrong_value("response_format.type", "expected one of text, json_object, json_schema")
    described = response_format.get("json_schema")
    if not isinstance(described, dict):
        raise refuse.missing("response_format.json_schema")
    # Mistral's SDK names the key "schema_definition" in its own code and "schema" on the wire.
    return described.get("schema", ANY_OBJECT)
