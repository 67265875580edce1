"""A fresh process that calls OpenAI under a strategy, with whatever export its environment asks for.

The first argument is JSON: where the gateway and the store are. What it saw goes to standard
output as one line of JSON.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import time
from typing import Any

from harness.prompts import Sample
from harness.providers.callid import CALL_ID
from harness.providers.openai import OpenAIProvider
from harness.records import CALL_ID_METADATA, CallId
from harness.tracing.autolog import Autolog

HANG_S = 150.0


def main() -> None:
    """A single call, a stream and a call with a tool, then a drain."""
    faulthandler.dump_traceback_later(HANG_S, exit=True)
    job = json.loads(sys.argv[1])
    provider = OpenAIProvider(
        base_url=job["base_url"], backend="openai", model="gpt-4o-mini", api_key="test-key", timeout_s=30.0
    )
    strategy = Autolog()
    strategy.install(provider, job["tracking_uri"], "tests")
    samples = [Sample.model_validate(sample) for sample in job["samples"]]
    texts: list[str] = []
    begun_s = time.monotonic()
    for repetition, sample in enumerate(samples):
        call_id = str(CallId("cell", "completeness", 0, "strategy", repetition, sample.id))
        CALL_ID.set(call_id)
        with strategy.attribute({CALL_ID_METADATA: call_id}):
            request: dict[str, Any] = provider.request(sample)
            if sample.stream:
                texts.append(provider.stream_answer(list(provider.stream(**request))).text)
            else:
                texts.append(provider.answer(provider.complete(**request)).text)
    called_s = time.monotonic()
    strategy.drain()
    drained_s = time.monotonic()
    print(json.dumps({"texts": texts, "calls_s": called_s - begun_s, "drain_s": drained_s - called_s}), flush=True)  # noqa: T201
    os._exit(0)


if __name__ == "__main__":
    main()
