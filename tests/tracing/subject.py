"""A fresh process that behaves as an application under strategies, and says what it saw.

The first argument is JSON: where the endpoint and the store are, and a list of cases. What it
saw goes to standard output as one line of JSON, case by case.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import urllib.parse
import urllib.request
from typing import Any

from harness.errors import ConfigError
from harness.prompts import Sample
from harness.providers import PROVIDERS, Provider
from harness.providers.callid import CALL_ID
from harness.records import CALL_ID_METADATA
from harness.targets import load_target
from harness.tracing import STRATEGIES, Strategy

HANG_S = 150.0
"""After this long the process says where every thread stands, and ends."""

PATHS = {"openai": "openai", "mistralai": "mistral"}
TOOL = {
    "type": "function",
    "function": {"name": "clock", "description": "the time", "parameters": {"type": "object", "properties": {}}},
}


class Application:
    """One provider under one strategy, called as a worker calls it."""

    def __init__(self, job: dict[str, Any], case: dict[str, Any]) -> None:
        self.job = job
        self.case = case
        strategy = STRATEGIES.get(case["strategy"], case["strategy"])
        self.strategy: Strategy = load_target(strategy)(style=case["style"], depth=case["depth"])
        self.provider: Provider = load_target(PROVIDERS.get(case["provider"], case["provider"]))(
            base_url=f"{job['endpoint_url']}/{PATHS[case['backend']]}",
            backend=case["backend"],
            model="gpt-4o-mini",
            api_key="test-key",
            timeout_s=30.0,
        )
        self.strategy.install(self.provider, job["tracking_uri"], "tests")
        self.complete = self.strategy.complete(self.provider.complete)
        self.stream = self.strategy.stream(self.provider.stream)

    def request(self, text: str, *, stream: bool = False) -> dict[str, Any]:
        """A request with a few parameters."""
        parameters: dict[str, Any] = {"temperature": 0.5, "tools": [TOOL]}
        if stream:
            parameters["stream_options"] = {"include_usage": True}
        messages = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": text})
        return self.provider.request(Sample(id="s", messages=messages, parameters=parameters, stream=stream))

    def tied(self, what: str) -> Any:
        """The context that ties traces to a call."""
        return self.strategy.attribute({CALL_ID_METADATA: f"{self.case['id']}/{what}"})

    def single(self, what: str, text: str) -> dict[str, Any]:
        """One call with a single answer, as the application sees it."""
        try:
            with self.tied(what):
                value = self.complete(**self.request(text))
        except Exception as error:  # noqa: BLE001 - what is raised is what is tested
            return {"error": _type_name(error), "message": str(error)}
        return {"type": _type_name(value), "text": self.provider.answer(value).text}

    def streamed(self, what: str, text: str) -> dict[str, Any]:
        """One streamed call; a held stream is released when its first text is there."""
        chunks: list[Any] = []
        call_id = f"{self.case['id']}/{what}"
        token = CALL_ID.set(call_id)
        try:
            with self.tied(what):
                for chunk in self.stream(**self.request(text, stream=True)):
                    chunks.append(chunk)
                    if text == "HOLD" and self.provider.stream_answer(chunks).text == "Echo:":
                        self.release(call_id)
        except Exception as error:  # noqa: BLE001 - what is raised is what is tested
            return {"error": _type_name(error), "message": str(error), "chunks": len(chunks)}
        finally:
            CALL_ID.reset(token)
        texts = [self.provider.stream_answer([chunk]).text for chunk in chunks]
        return {"types": sorted({_type_name(chunk) for chunk in chunks}), "texts": texts, "text": "".join(texts)}

    def release(self, call_id: str) -> None:
        """Let the endpoint go on with a held stream."""
        query = urllib.parse.urlencode({"call_id": call_id})
        urllib.request.urlopen(f"{self.job['endpoint_url']}/release?{query}", data=b"").close()  # noqa: S310 - ours

    def abandoned(self, what: str) -> dict[str, Any]:
        """A streamed call that the application stops reading after three chunks."""
        with self.tied(what):
            stream = iter(self.stream(**self.request("one two three four", stream=True)))
            chunks = [next(stream) for _ in range(3)]
            stream.close() if hasattr(stream, "close") else None
        return {"chunks": len(chunks)}

    def observe(self) -> dict[str, Any]:
        """Everything, then a drain."""
        seen = {
            "name": self.strategy.name,
            "is_strategy": isinstance(self.strategy, Strategy),
            "expects_traces": self.strategy.expects_traces,
            "source": self.strategy.source(),
            "single": self.single("single", "good morning"),
            "stream": self.streamed("stream", "good morning"),
            "lazy": self.streamed("lazy", "HOLD"),
            "single_error": self.single("single_error", "FAIL"),
            "stream_error": self.streamed("stream_error", "FAIL"),
            "abandoned": self.abandoned("abandoned"),
        }
        if self.strategy.expects_traces:
            seen |= self.disabled()
        self.provider.close()
        return seen | {"mlflow_imported": "mlflow" in sys.modules}

    def disabled(self) -> dict[str, Any]:
        """Calls while tracing is switched off."""
        import mlflow

        with mlflow.tracing.context(enabled=False):
            return {"off": self.single("off", "hello"), "off_stream": self.streamed("off_stream", "hello")}


def nested_burst(count: int) -> None:
    """Traces of a root and a child each."""
    import mlflow

    strategy: Strategy = load_target(STRATEGIES["manual"])(style="decorator", depth="plain")
    child = strategy.complete(lambda **_request: "value")
    for n in range(count):
        with (
            strategy.attribute({CALL_ID_METADATA: f"nested/{n}"}),
            mlflow.start_span("root"),
        ):
            child(messages=[])


def refusals(job: dict[str, Any]) -> dict[str, str]:
    """What is said to strategies and providers that cannot work."""
    attempts = {
        "style": {"strategy": "manual", "style": "interpretive", "depth": "plain"},
        "depth": {"strategy": "manual", "style": "context", "depth": "bottomless"},
        "autolog style": {"strategy": "autolog", "style": "context", "depth": "plain"},
        "none depth": {"strategy": "none", "style": "", "depth": "plain"},
        "own provider": {"strategy": "autolog", "style": "", "depth": "", "provider": f"{__file__}:OwnProvider"},
        "wrong flavour": {"strategy": "autolog", "style": "", "depth": "", "provider": f"{__file__}:WrongFlavor"},
    }
    said = {}
    for name, attempt in attempts.items():
        try:
            Application(job, {"provider": "openai", "backend": "openai", "id": "x"} | attempt)
        except ConfigError as error:
            said[name] = str(error)
    return said


class OwnProvider:
    """A provider that MLflow knows nothing of."""

    name = "homemade"

    def __init__(self, **_settings: Any) -> None:
        """Nothing is needed."""


class WrongFlavor(OwnProvider):
    """A provider that names a flavour which MLflow does not have."""

    autolog_flavor = "vanilla"


def _type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def main() -> None:
    """Run the cases in their order, then drain once."""
    faulthandler.dump_traceback_later(HANG_S, exit=True)
    job = json.loads(sys.argv[1])
    applications = [Application(job, case) for case in job["cases"]]
    seen: dict[str, Any] = {application.case["id"]: application.observe() for application in applications}
    if job["nested"]:
        nested_burst(job["nested"])
        seen["refusals"] = refusals(job)
    applications[-1].strategy.drain()
    print(json.dumps(seen), flush=True)  # noqa: T201 - this script's output
    os._exit(0)  # whatever MLflow would still write at exit came too late for the drain


if __name__ == "__main__":
    main()
