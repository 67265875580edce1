"""An agent over LangGraph, with tools whose results follow from their arguments."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.tools import StructuredTool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain.agents.middleware import ModelRequest, ModelResponse
    from langchain_core.language_models import BaseChatModel


class Settings(AgentMiddleware[Any, Any]):
    """Gives each call of the model its parameters: ``create_agent`` has no place for them."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__()
        self._choice = {key: parameters[key] for key in ("tool_choice",) if key in parameters}
        self._settings = {key: value for key, value in parameters.items() if key not in self._choice}

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """The model's call with the parameters."""
        return handler(request.override(model_settings={**request.model_settings, **self._settings}, **self._choice))


def agent(model: BaseChatModel, tools: Sequence[dict[str, Any]], parameters: dict[str, Any]) -> Any:
    """A compiled graph that is invoked with ``{"messages": [...]}``.

    Args:
        model: The chat model.
        tools: In the form of OpenAI's chat completions.
        parameters: What each of the model's calls is given.
    """
    middleware = [Settings(parameters)] if parameters else []
    return create_agent(model, [_tool(one["function"]) for one in tools], middleware=middleware)


def _tool(function: dict[str, Any]) -> StructuredTool:
    name = function["name"]

    def answer(**arguments: Any) -> str:
        return json.dumps({"tool": name, "arguments": arguments}, ensure_ascii=False)

    schema = function.get("parameters") or {"type": "object", "properties": {}}
    return StructuredTool(name=name, description=function.get("description") or name, args_schema=schema, func=answer)
