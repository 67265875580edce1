"""Recorded exchanges read from files: their forms, their dialects, the samples that they make, and matching."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.config import EndpointConfig, PromptsConfig
from harness.errors import ConfigError, EndpointError, PromptSetError
from harness.prompts import PromptSet, digest_samples, load_prompts, resolve_prompts
from harness.recordings import NotRecordedError, Shelf, load_recordings
from harness.recordings.embeddings import in_encoding
from harness.recordings.requests import difference, stated
from harness.recordings.wire import events_of
from harness.records import Call, CallId, Chunk, Exchange, SentSample, write_jsonl

if TYPE_CHECKING:
    from pathlib import Path

    from harness.recordings import Recording
    from harness.records import Dialect

CHAT = "/v1/chat/completions"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["model", "messages", "input", "role", "content", "tools", "string", "code", "type", "stream"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
ANSWER = {
    "id": "chatcmpl-kettle1",
    "object": "chat.completion",
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Whistling."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 6, "completion_tokens": 3, "total_tokens": 9},
}
STREAM = 'data: {"id":"chatcmpl-kettle2","choices":[]}\n\ndata: [DONE]\n\n'


def question(text: str = "What does a kettle sing?", **more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}


def exchange(
    body: Any = None, answer: Any = None, *, path: str = CHAT, status: int = 200, **more: Any
) -> dict[str, Any]:
    return {
        "request": {"method": "POST", "path": path, "body": body or question()},
        "response": {
            "status": status,
            "headers": {"content-type": "application/json"},
            "body": answer if isinstance(answer, str) else json.dumps(answer or ANSWER),
        },
        **more,
    }


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def only(path: Path) -> Recording:
    (flow,) = load_recordings(path).flows
    (recording,) = flow.recordings
    return recording


def samples(path: Path, provider: str = "openai", **endpoint: Any) -> PromptSet:
    return resolve_prompts(PromptsConfig(), EndpointConfig(kind="replay", path=str(path), **endpoint), provider)


def find(path: Path, body: Any, *, target: str = CHAT, dialect: Dialect = "openai", call: CallId | None = None) -> Any:
    return Shelf(load_recordings(path)).find(dialect, "POST", target, json.dumps(body).encode(), call)


def call_id(sample: str, step: int = 0, **more: Any) -> CallId:
    known: dict[str, Any] = {"cell": "c", "phase": "completeness", "fork": 0, "arm": "strategy", "repetition": 0}
    return CallId(**{**known, **more, "sample": sample, "step": step})


def recorded(number: int, call: CallId | None, body: Any, text: str | None, **more: Any) -> Exchange:
    """An exchange as the gateway records it: it arrives at 1000 ns and is answered from 1500 ns on."""
    fields: dict[str, Any] = {
        "exchange_id": number,
        "call_id": None if call is None else str(call),
        "dialect": "openai",
        "method": "POST",
        "path": CHAT,
        "received_unix_ns": 1,
        "received_ns": 1000,
        "request_body": json.dumps(body),
        "request_size_bytes": 1,
        "request_digest": "",
        "status": 200,
        "response_headers": {"content-type": "application/json"},
        "first_byte_ns": 1500,
        "response_body": text,
        "completed": True,
    }
    return Exchange(**{**fields, **more})


class TestForms:
    """What a recording may look like."""

    def test_the_form_of_one_file_for_one_exchange(self, tmp_path: Path) -> None:
        """Request and answer are as they were written, the sample is called after the file."""
        found = load_recordings(write(tmp_path / "kettle song.json", exchange()))
        (flow,) = found.flows
        assert flow.sample_id == "kettle-song"
        assert flow.recordings[0].body == question()
        assert flow.recordings[0].text == json.dumps(ANSWER)
        assert flow.recordings[0].status == 200
        assert found.name == "kettle-song"

    @pytest.mark.parametrize(
        "change",
        [
            {"request": {"method": "post", "uri": f"https://api.openai.com{CHAT}?a=1", "body": json.dumps(question())}},
            {"request": {"url": f"http://127.0.0.1:80{CHAT}", "body": {"string": json.dumps(question())}}},
            {"response": {"status": {"code": 200, "message": "OK"}, "headers": {"Content-Type": ["application/json"]},
                          "body": {"string": json.dumps(ANSWER)}}},
            {"response": {"status_code": "200", "headers": [["CONTENT-TYPE", "application/json"]], "body": ANSWER}},
            {"response": {"status": 200, "body": {"base64_string": base64.b64encode(
                json.dumps(ANSWER).encode()).decode()}}},
            {"response": {"status": 200, "parsed_body": ANSWER}},
        ],
    )  # fmt: skip
    def test_close_relatives_of_it(self, tmp_path: Path, change: dict[str, Any]) -> None:
        """Other names and wrappings of the same give the same."""
        found = only(write(tmp_path / "a.json", {**exchange(), **change}))
        assert (found.method, found.path, found.status) == ("POST", CHAT, 200)
        assert found.body == question()
        assert json.loads(found.text) == ANSWER

    @pytest.mark.parametrize("suffix", [".json", ".jsonl"])
    def test_several_exchanges_in_one_file(self, tmp_path: Path, suffix: str) -> None:
        """A JSON list, and JSON Lines under either name, give one sample for each exchange."""
        entries = [exchange(question(text)) for text in ("one", "two")]
        lines = "\n".join(json.dumps(entry) for entry in entries) + "\n"
        for content in (lines,) if suffix == ".jsonl" else (lines, entries):
            found = load_recordings(write(tmp_path / f"both{suffix}", content))
            assert [flow.sample_id for flow in found.flows] == ["both-1", "both-2"]

    def test_a_cassette(self, tmp_path: Path) -> None:
        """VCR's YAML is read, with a compressed body; attempts after a failure belong to one sample."""
        packed = base64.b64encode(gzip.compress(json.dumps(ANSWER).encode())).decode()
        cassette = f"""
interactions:
- request: &asked
    body: '{json.dumps(question())}'
    headers: {{User-Agent: [OpenAI/Python 1.0]}}
    method: POST
    uri: https://proxy.example{CHAT}
  response:
    body: {{string: '{{"error": {{"message": "slow down"}}}}'}}
    headers: {{Content-Type: [application/json]}}
    status: {{code: 429, message: Too Many Requests}}
- request: *asked
  response:
    body:
      string: !!binary {packed}
    headers: {{Content-Type: [application/json], Content-Encoding: [gzip]}}
    status: {{code: 200, message: OK}}
version: 1
"""
        (flow,) = load_recordings(write(tmp_path / "retry.yaml", cassette)).flows
        assert [one.status for one in flow.recordings] == [429, 200]
        assert json.loads(flow.recordings[1].text) == ANSWER
        assert flow.dialect == "openai"

    def test_a_folder_is_read_in_the_order_of_names(self, tmp_path: Path) -> None:
        """All files count, in subfolders too, but Markdown and hidden ones; equal names get numbers."""
        for name in ("b.json", "a.json", "more/a.json"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            write(tmp_path / name, exchange())
        write(tmp_path / "README.md", "# Kettles")
        write(tmp_path / ".hidden", "")
        assert [flow.sample_id for flow in load_recordings(tmp_path).flows] == ["a", "b", "a-2"]

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("notes.txt", "hello", r"notes\.txt is no recording; a recording is"),
            ("a.json", "{", r"a\.json, line 1: not JSON"),
            ("a.json", "[]", r"a\.json holds no exchange"),
            ("a.json", "3", r"a\.json: this is a number"),
            ("a.jsonl", json.dumps(exchange()) + "\n{", r"a\.jsonl, line 2: not JSON"),
            ("a.jsonl", " ", r"a\.jsonl is empty"),
            ("a.json", {"response": {}}, r"a\.json: it has no 'request'"),
            ("a.json", [exchange(), {"request": {}, "response": []}], r"a\.json, \[1\]: 'response' is a list"),
            ("a.json", {**exchange(), "request": {"body": {}}}, r"request\.path is null"),
            ("a.json", exchange(status=99), r"response\.status is 99"),
            ("a.json", {**exchange(), "response": {"status": 200, "headers": 3}}, r"response\.headers is a number"),
            ("a.json", {**exchange(), "response": {"status": 200, "body": 3}}, r"response\.body is a number"),
            ("a.yaml", "interactions: [", r"a\.yaml, line 2: not YAML"),
            ("a.yaml", "interactions: 3", r"a\.yaml, interactions: this is a number"),
            ("exchanges.jsonl", '{"exchange_id": "x"}', r"exchanges\.jsonl, line 1: not the record of kind Exchange"),
        ],
    )  # fmt: skip
    def test_what_is_no_recording_is_named(self, tmp_path: Path, name: str, content: Any, said: str) -> None:
        """One sentence with the file, the place and what was expected, also for one bad file in a folder."""
        write(tmp_path / "0-good.json", exchange())
        write(tmp_path / name, content)
        with pytest.raises(EndpointError, match=said) as refused:
            load_recordings(tmp_path / name if name == "exchanges.jsonl" else tmp_path)
        assert "\n" not in str(refused.value)

    @settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        document=st.fixed_dictionaries(
            {"request": st.fixed_dictionaries({"path": st.one_of(st.just(CHAT), st.just("/v1/responses"), JSON)},
                                              optional=dict.fromkeys(("method", "body", "headers", "uri"), JSON)),
             "response": st.fixed_dictionaries({"status": st.one_of(st.just(200), JSON)},
                                               optional={"body": JSON, "headers": JSON})},
            optional={"source": JSON},
        )
        | JSON
    )  # fmt: skip
    def test_whatever_stands_in_a_file(self, tmp_path: Path, document: Any) -> None:
        """Any JSON is either read, and can be asked for what it holds, or refused in one sentence."""
        path = write(tmp_path / "any.json", document)
        try:
            found = load_recordings(path)
            samples(path)
        except (EndpointError, ConfigError) as error:
            refusal = str(error)
        else:
            refusal = ""
        assert "\n" not in refusal
        if refusal:
            return
        recording = found.flows[0].recordings[0]
        if recording.body is not None and recording.dialect is not None:
            body = json.dumps(recording.body).encode()
            again = Shelf(found).find(recording.dialect, recording.method, recording.path, body, None)
            assert again.status == recording.status

    def test_a_request_that_is_nested_too_deep_matches_nothing(self, tmp_path: Path) -> None:
        """Thousands of brackets end neither the reader nor the gateway."""
        deep = '{"a":' * 400 + "1" + "}" * 400
        path = write(
            tmp_path / "a.json", json.dumps(exchange({"model": "gpt-4o", "x": 1})).replace('"x": 1', f'"x": {deep}')
        )
        found = load_recordings(path)
        assert found.flows[0].reason == "the request's body is no JSON object"
        with pytest.raises(NotRecordedError):
            Shelf(found).find("openai", "POST", CHAT, deep.encode(), None)

    @given(text=st.text(alphabet="ab\n\r:", max_size=30))
    def test_events_joined_are_the_body(self, text: str) -> None:
        """However a stream is cut into events, no byte is lost, and each but the last ends in a blank line."""
        events = events_of(text)
        assert "".join(events) == text
        assert all(event.endswith(("\n\n", "\r\n\r\n")) for event in events[:-1])


class TestDialects:
    """Whose wire format a recording is in."""

    @pytest.mark.parametrize(
        ("change", "dialect"),
        [
            ({"uri": "https://api.mistral.ai/v1/chat/completions"}, "mistral"),
            ({"uri": "https://unit.openai.azure.com/openai/deployments/d/chat/completions"}, "openai"),
            ({"path": f"{CHAT}#stream"}, "mistral"),
            ({"path": "/v1/responses"}, "openai"),
            ({"headers": {"User-Agent": "mistral-client-python/1.0"}}, "mistral"),
            ({"headers": {"x-stainless-lang": "python"}}, "openai"),
            ({"body": question(random_seed=3)}, "mistral"),
            ({"body": question(seed=3)}, "openai"),
            ({"body": {"model": "mistral-small-latest", "messages": []}}, "mistral"),
            ({"body": {"model": "gpt-4o", "messages": []}}, "openai"),
            ({"body": {"model": "house-model", "messages": []}}, None),
        ],
    )
    def test_what_a_request_shows(self, tmp_path: Path, change: dict[str, Any], dialect: str | None) -> None:
        """Host, path, headers, parameters and the model's name, where the answer shows nothing."""
        request = {"method": "POST", "path": CHAT, "body": {"model": "house-model", "messages": []}, **change}
        if "uri" in change:
            del request["path"]
        assert only(write(tmp_path / "a.json", exchange("x", "?") | {"request": request})).dialect == dialect

    @pytest.mark.parametrize(
        ("answer", "dialect"),
        [
            ({"id": "chatcmpl-1", "choices": []}, "openai"),
            ({"id": "0123456789abcdef0123456789abcdef", "choices": []}, "mistral"),
            ({"error": {"message": "no"}}, "openai"),
            ({"object": "error", "message": "no"}, "mistral"),
            ({"detail": [{"loc": ["body"]}]}, "mistral"),
            ('data: {"id":"chatcmpl-1"}\n\n', "openai"),
            ("<html>", None),
        ],
    )
    def test_what_an_answer_shows(self, tmp_path: Path, answer: Any, dialect: str | None) -> None:
        """The shape of an answer, an error or a stream's first event."""
        body = {"model": "house-model", "messages": []}
        assert only(write(tmp_path / "a.json", exchange(body, answer))).dialect == dialect

    def test_a_mistral_model_behind_a_compatible_server(self, tmp_path: Path) -> None:
        """The shape of the answer counts more than the model's name."""
        body = {"model": "mistral-7b", "messages": []}
        assert only(write(tmp_path / "a.json", exchange(body, ANSWER))).dialect == "openai"

    def test_it_can_be_said(self, tmp_path: Path) -> None:
        """What nothing shows is left out with the words to say it, and taken where it is said."""
        body = {"model": "house-model", "messages": [{"role": "user", "content": "x"}]}
        path = write(tmp_path / "a.json", exchange(body, "?"))
        with pytest.raises(ConfigError, match=r"a: nothing shows whose .* endpoint\.backend=openai or"):
            samples(path)
        assert [sample.id for sample in samples(path, "mistralai", backend="mistralai").samples] == ["a"]


class TestSamples:
    """The prompt set that a recording makes."""

    def test_a_chat(self, tmp_path: Path) -> None:
        """Messages, parameters, tools, stream and model are those of the request."""
        tool = {"type": "function", "function": {"name": "boil", "parameters": {"type": "object"}}}
        body = question(temperature=1.5, tools=[tool], stream=True, user=None)
        (sample,) = samples(write(tmp_path / "a.json", exchange(body, STREAM))).samples
        assert sample.messages == tuple(body["messages"])
        assert sample.parameters == {"temperature": 1.5}
        assert sample.tools == (tool,)
        assert (sample.stream, sample.model, sample.scenario_name) == (True, "gpt-4o-mini", "stream")

    def test_embeddings(self, tmp_path: Path) -> None:
        """Each text is a message; the encoding that an SDK asks for by itself is no parameter."""
        body = {
            "model": "text-embedding-3-small",
            "input": ["tea", "pot"],
            "encoding_format": "base64",
            "dimensions": 2,
        }
        (sample,) = samples(write(tmp_path / "a.json", exchange(body, {"data": []}, path="/v1/embeddings"))).samples
        assert [message["content"] for message in sample.messages] == ["tea", "pot"]
        assert (sample.scenario, sample.parameters) == ("embeddings", {"dimensions": 2})

    def test_responses(self, tmp_path: Path) -> None:
        """Instructions are the system's message; flat tools get chat completions' form."""
        tool = {"type": "function", "name": "boil", "parameters": {"type": "object"}}
        body = {"model": "gpt-4o", "input": "Tea?", "instructions": "Be brief.", "tools": [tool], "store": False}
        (sample,) = samples(write(tmp_path / "a.json", exchange(body, path="/v1/responses"))).samples
        assert [(message["role"], message["content"]) for message in sample.messages] == [
            ("system", "Be brief."),
            ("user", "Tea?"),
        ]
        assert (sample.scenario, sample.parameters) == ("responses", {"store": False})
        assert sample.tools == ({"type": "function", "function": {"name": "boil", "parameters": {"type": "object"}}},)

    def test_input_items_that_are_no_messages_go_as_they_are(self, tmp_path: Path) -> None:
        """What a sample has no form for stays a parameter."""
        items = [{"type": "function_call_output", "call_id": "c", "output": "hot"}]
        body = {"model": "gpt-4o", "input": items, "stream": True}
        (sample,) = samples(write(tmp_path / "a.json", exchange(body, path="/v1/responses"))).samples
        assert sample.parameters == {"input": items}
        assert (sample.scenario, sample.stream) == ("responses_stream", True)

    def test_a_request_that_no_prompt_file_could_hold(self, tmp_path: Path) -> None:
        """Roles, keys and values that an endpoint was asked with are kept: they may be why it refused."""
        body = question(max_tokens=0) | {"messages": [{"role": "developer", "content": "x", "audio": None}]}
        (sample,) = samples(write(tmp_path / "a.json", exchange(body, {"error": {}}, status=400))).samples
        assert sample.messages[0]["role"] == "developer"
        assert sample.parameters == {"max_tokens": 0}

    def test_the_other_dialects_samples_are_left_out_with_a_note(self, tmp_path: Path) -> None:
        """A provider gets the samples in its format; if there is none, the formats are named."""
        write(tmp_path / "a.json", exchange())
        write(tmp_path / "b.json", exchange({"model": "mistral-tiny", "messages": [{"role": "user"}]}, "?"))
        found = samples(tmp_path)
        assert [sample.id for sample in found.samples] == ["a"]
        assert any(
            "b: recorded in mistralai's format, but the provider speaks openai's" in note for note in found.notes
        )
        (tmp_path / "a.json").unlink()
        with pytest.raises(ConfigError, match=r"no sample for provider.backend=openai \(b: recorded in mistralai's"):
            samples(tmp_path)

    def test_what_no_scenario_asks_for_is_left_out_with_a_note(self, tmp_path: Path) -> None:
        """Other paths, and token numbers in place of texts, make no samples."""
        write(tmp_path / "a.json", exchange())
        write(tmp_path / "b.json", exchange({"model": "gpt-4o", "prompt": "x"}, path="/v1/completions"))
        write(tmp_path / "c.json", exchange({"model": "gpt-4o", "input": [1, 2]}, path="/v1/embeddings"))
        notes = " ".join(samples(tmp_path).notes)
        assert "b: no scenario asks for POST /v1/completions" in notes
        assert "c: input is no text and no list of texts" in notes

    def test_recordings_without_times_are_named(self, tmp_path: Path) -> None:
        """Recorded timing needs recorded times; where a person asked for none, nothing is said."""
        path = write(tmp_path / "a.json", exchange())
        assert samples(path).notes == ("no times are recorded for a; answered as fast as possible",)
        assert samples(path, timing="none").notes == ()

    def test_limit_and_scenario(self, tmp_path: Path) -> None:
        """The first so many samples, all under one scenario."""
        path = write(tmp_path / "a.json", [exchange(question(text)) for text in "abc"])
        endpoint = EndpointConfig(kind="replay", path=str(path))
        found = resolve_prompts(PromptsConfig(limit=2, scenario="chat_async"), endpoint, "openai")
        assert [(sample.id, sample.scenario) for sample in found.samples] == [
            ("a-1", "chat_async"),
            ("a-2", "chat_async"),
        ]
        assert found.digest == digest_samples(found.samples)

    def test_a_scenario_for_all_changes_what_a_named_set_is(self) -> None:
        """The set under another scenario has another digest."""
        plain = resolve_prompts(PromptsConfig(name="short"))
        under = resolve_prompts(PromptsConfig(name="short", scenario="chat_async"))
        assert {sample.scenario for sample in under.samples} == {"chat_async"}
        assert plain.digest != under.digest

    def test_a_prompt_file_cannot_claim_to_be_recorded(self, tmp_path: Path) -> None:
        """The checks of a sample are skipped for recordings alone."""
        path = write(tmp_path / "mine.jsonl", '{"id": "a", "prompt": "x", "recorded": true}')
        with pytest.raises(PromptSetError, match="unknown key 'recorded'"):
            load_prompts(path)


class TestCells:
    """A cell's own records."""

    def test_flows_steps_and_attempts(self, tmp_path: Path) -> None:
        """Each call gets its own exchanges in their order, in every later flow of the sample alike."""
        first, second = question("one"), question("two")
        write_jsonl(
            tmp_path / "exchanges.jsonl",
            [
                recorded(0, call_id("tea"), first, '{"error":{}}', status=429),
                recorded(1, call_id("tea"), first, '"again"'),
                recorded(2, call_id("tea", 1), second, '"second"'),
                recorded(3, call_id("tea", phase="timing"), first, None, request_body=None),
            ],
        )
        shelf = Shelf(load_recordings(tmp_path))

        def ask(body: Any, call: CallId) -> str:
            found: str = shelf.find("openai", "POST", CHAT, json.dumps(body).encode(), call).text
            return found

        for repetition in (0, 5):
            later = call_id("tea", phase="timing", repetition=repetition)
            assert [ask(first, later) for _ in range(3)] == ['{"error":{}}', '"again"', '"again"']
            assert ask(second, later._replace(step=1)) == '"second"'

    def test_the_samples_that_it_was_run_from_come_back(self, tmp_path: Path) -> None:
        """Options and scenario are not on the wire, so a cell records its samples; the model is the recorded one."""
        fields = {
            "id": "tea",
            "messages": [{"role": "user", "content": "one"}],
            "scenario": "agent",
            "options": {"x": 1},
        }
        write_jsonl(tmp_path / "exchanges.jsonl", [recorded(0, call_id("tea"), question("one"), '"hot"')])
        silent = SentSample(sample_id="never", fields={**fields, "id": "never"})
        write_jsonl(tmp_path / "samples.jsonl", [SentSample(sample_id="tea", fields=fields), silent])
        found = samples(tmp_path)
        (sample,) = found.samples
        assert (sample.id, sample.scenario, sample.options, sample.model) == ("tea", "agent", {"x": 1}, "gpt-4o-mini")
        assert any("never: no exchange was recorded" in note for note in found.notes)

    def test_a_call_that_never_reached_the_gateway_is_made_again(self, tmp_path: Path) -> None:
        """A refused connection leaves a call and no exchange, and needs no recorded answer."""
        fields = {"messages": [{"role": "user", "content": "one"}], "scenario": "refused"}
        write_jsonl(tmp_path / "exchanges.jsonl", [recorded(0, call_id("tea"), question("one"), '"hot"')])
        write_jsonl(
            tmp_path / "samples.jsonl",
            [SentSample(sample_id=name, fields={**fields, "id": name}) for name in ("tea", "cold")],
        )
        call = Call(
            call_id=str(call_id("cold")), sample_id="cold", scenario="refused", stream=False, start_unix_ns=0,
            start_ns=0, end_ns=1, outcome="error",
        )  # fmt: skip
        write_jsonl(tmp_path / "calls.jsonl", [call])
        found = samples(tmp_path)
        assert [(sample.id, sample.scenario) for sample in found.samples] == [("tea", "refused"), ("cold", "refused")]
        assert found.notes == ()

    def test_times_and_ends_are_kept(self, tmp_path: Path) -> None:
        """Times count from the request's arrival; an answer that broke off says why."""
        chunks = (Chunk(sent_ns=1600, data="data: 1\n\n"), Chunk(sent_ns=1900, data="data: 2\n\n"))
        broken = {"chunks": chunks, "completed": False, "error": "cut"}
        write_jsonl(tmp_path / "exchanges.jsonl", [recorded(0, call_id("tea"), question(), None, **broken)])
        found = only(tmp_path)
        assert (found.first_byte_ns, found.event_ns) == (500, (600, 900))
        assert (found.completed, found.error) == (False, "cut")

    def test_a_cell_without_bodies_is_refused(self, tmp_path: Path) -> None:
        """A timing pass alone cannot be replayed."""
        write_jsonl(tmp_path / "exchanges.jsonl", [recorded(0, call_id("tea"), question(), None, request_body=None)])
        with pytest.raises(EndpointError, match="holds no exchange with its bodies"):
            load_recordings(tmp_path)


class TestMatching:
    """Whether a request states what a recorded one did."""

    @pytest.mark.parametrize(
        ("kind", "asked", "was"),
        [
            ("chat", question(stream=False, user=None), question()),
            ("chat", question(temperature=1.0), question(temperature=1)),
            ("chat", question(max_completion_tokens=5), question(max_tokens=5)),
            ("chat", question([{"type": "text", "text": "hi"}]), question("hi")),  # type: ignore[arg-type]
            ("chat", {"messages": [{"role": "user", "content": "a", "prefix": False}]},
             {"messages": [{"content": "a", "role": "user"}]}),
            ("chat", {"messages": [{"role": "assistant", "content": "", "tool_calls": [
                {"id": "c", "index": 0, "function": {"name": "f", "arguments": '{"b":2, "a":1}'}}]}]},
             {"messages": [{"role": "assistant", "tool_calls": [
                 {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1,"b": 2}'}}]}]}),
            ("embeddings", {"input": "a", "encoding_format": "base64"}, {"input": ["a"]}),
            ("responses", {"input": "a"}, {"input": [{"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "a"}]}]}),
            ("responses", {"input": "a", "instructions": "b"},
             {"input": [{"role": "system", "content": "b"}, {"role": "user", "content": "a"}]}),
        ],
    )  # fmt: skip
    def test_harmless_differences_are_forgiven(self, kind: str, asked: dict[str, Any], was: dict[str, Any]) -> None:
        """Two ways of saying the same state the same."""
        assert difference(stated(kind, asked), stated(kind, was)) is None

    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            (question() | {"model": "gpt-4o"}, r'model asked is "gpt-4o", recorded was "gpt-4o-mini"'),
            (question("What does a cat sing?"), r"messages\[0\]\.content asked is"),
            (question(temperature=0), r"temperature asked is 0, recorded was absent"),
            (question(stream=True), r"stream asked is true, recorded was absent"),
            (question(n=True), r"n asked is true, recorded was absent"),
        ],
    )
    def test_the_first_difference_is_named(self, tmp_path: Path, asked: dict[str, Any], said: str) -> None:
        """Place, what was asked and what was recorded, and the recording that comes nearest."""
        path = write(tmp_path / "a.json", exchange())
        with pytest.raises(NotRecordedError, match=rf"{said}.* in a \(.*a\.json\)"):
            find(path, asked, call=call_id("a"))

    def test_long_texts_are_shown_where_they_differ(self, tmp_path: Path) -> None:
        """The part that differs is in the message, however late it comes."""
        path = write(tmp_path / "a.json", exchange(question("kettle " * 100 + "sings")))
        with pytest.raises(NotRecordedError, match=r'"\.\.\..*hums", recorded was "\.\.\..*sings"'):
            find(path, question("kettle " * 100 + "hums"))

    def test_another_path_or_dialect_is_another_request(self, tmp_path: Path) -> None:
        """The same body at another place does not match."""
        path = write(tmp_path / "a.json", exchange())
        with pytest.raises(NotRecordedError, match="the path asked is embeddings, recorded was chat"):
            find(path, question(), target="/v1/embeddings")
        with pytest.raises(NotRecordedError, match="the wire format asked is mistral, recorded was openai"):
            find(path, question(), dialect="mistral")

    def test_without_a_call_the_content_decides(self, tmp_path: Path) -> None:
        """Requests that state the same get their recordings in turn; a call with another sample's id finds them too."""
        write(tmp_path / "a.json", [exchange(answer='"1"'), exchange(answer='"2"')])
        shelf = Shelf(load_recordings(tmp_path))
        asked = json.dumps(question()).encode()
        assert [shelf.find("openai", "POST", CHAT, asked, None).text for _ in range(3)] == ['"1"', '"2"', '"1"']
        assert shelf.find("openai", "POST", CHAT, asked, call_id("a-2")).text == '"2"'
        assert shelf.find("openai", "POST", CHAT, asked, call_id("unknown")).text == '"1"'


class TestVectors:
    """Embeddings in the encoding that is asked for."""

    @given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
    @settings(max_examples=200)
    def test_numbers_survive_base64(self, numbers: list[float]) -> None:
        """A vector that is written as base64 and back is the same 32-bit floats."""
        text = json.dumps({"data": [{"embedding": numbers}]})
        packed = in_encoding(text, "base64")
        assert isinstance(json.loads(packed)["data"][0]["embedding"], str)
        back = json.loads(in_encoding(packed, "float"))["data"][0]["embedding"]
        assert [struct.pack("<f", number) for number in back] == [struct.pack("<f", number) for number in numbers]

    @pytest.mark.parametrize("text", ["", "x", '{"error":{}}', '{"data":[{"embedding":[0.1]}]}'])
    def test_what_needs_no_change_keeps_its_bytes(self, text: str) -> None:
        """An answer in the asked encoding, or without vectors, stays byte for byte."""
        assert in_encoding(text, "float") == text
