"""Scenarios of one call after the other, in one thread."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.prompts import Sample
    from harness.scenarios.application import Application


def single(operation: str) -> Any:
    """One call with a single answer."""

    def run(app: Application) -> str:
        return app.text(operation, app.call(operation))

    return run


def streamed(operation: str) -> Any:
    """One stream, read to its end."""

    def run(app: Application) -> str:
        return app.text(operation, app.stream(operation))

    return run


def stream_left(app: Application) -> int:
    """A stream that the application leaves after some chunks."""
    return len(app.stream(leave_after=int(app.option("after"))))


def stream_unread(app: Application) -> int:
    """A stream that the application asks for and never reads."""
    return len(app.stream(leave_after=0))


def refused(app: Application) -> str:
    """A call to a port that refuses connections."""
    return app.text("chat", app.call("chat", refused=True))


def tools(app: Application) -> str:
    """Call, run the tools that the model asks for, and send their results in a second turn."""
    sample = app.sample
    for _ in range(int(app.option("turns"))):
        operation = "stream" if sample.stream else "chat"
        value = app.stream(sample=sample) if sample.stream else app.call(sample=sample)
        message = _first_message(app.message(operation, value))
        if not message.get("tool_calls"):
            return app.text(operation, value)
        sample = with_tool_results(sample, message)
    raise RuntimeError(f"the model still asked for tools after {app.option('turns')} turns")


def with_tool_results(sample: Sample, message: dict[str, Any]) -> Sample:
    """The next turn: the assistant's message, and a result for each tool that it called."""
    calls = [
        {
            "id": call["id"],
            "type": "function",
            "function": {key: call["function"][key] for key in ("name", "arguments")},
        }
        for call in message["tool_calls"]
    ]
    said = {"role": "assistant", "content": message.get("content") or "", "tool_calls": calls}
    results = [
        {"role": "tool", "tool_call_id": call["id"], "name": call["function"]["name"], "content": _result(call)}
        for call in calls
    ]
    # A model that was made to call a tool would be made to call it again.
    parameters = {key: value for key, value in sample.parameters.items() if key != "tool_choice"}
    return sample.model_copy(update={"messages": (*sample.messages, said, *results), "parameters": parameters})


def _result(call: dict[str, Any]) -> str:
    """A tool of the application's: it gives back what it was asked, so every arm gets the same."""
    function = call["function"]
    arguments = function["arguments"]
    return json.dumps(
        {"tool": function["name"], "given": json.loads(arguments) if isinstance(arguments, str) else arguments},
        ensure_ascii=False,
    )


def _first_message(completion: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = completion["choices"][0]["message"]
    return message
