from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from harness.errors import CellError
from harness.records import (
    SCHEMA_VERSION,
    ArmRun,
    Call,
    CallId,
    CellRecord,
    CellRecords,
    Exchange,
    Machine,
    read_cell,
    read_jsonl,
    write_cell,
    write_jsonl,
)

if TYPE_CHECKING:
    from pathlib import Path

CALL = Call(
    call_id="c/completeness/0/strategy/0/s",
    sample_id="s",
    stream=False,
    start_unix_ns=1,
    start_ns=2,
    end_ns=3,
    outcome="ok",
    text="Grüße \N{LINE SEPARATOR} end",
)
CELL = CellRecord(
    cell_id="c",
    sweep_id="w",
    provider="langchain",
    backend="mistralai",
    prompts="chat",
    tracing="manual",
    style="context/careful",
    endpoint="simulator",
    measure="quick",
    seed=1,
    strategy_source="",
    expects_traces=True,
    config={},
    versions={},
    machine=Machine(
        hostname="h", cpu_model="m", cpu_count=2, memory_bytes=1, kernel="k", python="3.11.0", load_1min=0.0
    ),
    prompt_set_digest="d",
    sample_count=1,
    started_unix_ns=1,
    ended_unix_ns=2,
    status="ok",
)


def test_a_call_id_survives_its_text_form() -> None:
    """Parsing the text of a call id gives the call id."""
    call_id = CallId("abc", "timing", 3, "baseline", 17, "de-01.x")
    assert CallId.parse(str(call_id)) == call_id


@pytest.mark.parametrize(
    "text", ["", "a/b", "c/other/0/strategy/0/s", "c/timing/0/left/0/s", "c/timing/x/strategy/0/s"]
)
def test_other_texts_are_no_call_ids(text: str) -> None:
    """A text of another form is refused."""
    with pytest.raises(ValueError, match=r"not a call id|invalid literal"):
        CallId.parse(text)


def test_records_are_frozen_and_checked() -> None:
    """A record cannot be changed, and refuses fields that it does not know."""
    with pytest.raises(ValidationError):
        CALL.text = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Call.model_validate({**CALL.model_dump(), "bogus": 1})


def test_records_survive_the_file(tmp_path: Path) -> None:
    """What is read back equals what was written, line separators inside texts included."""
    write_jsonl(tmp_path / "calls.jsonl", [CALL, CALL])
    assert list(read_jsonl(tmp_path / "calls.jsonl", Call)) == [CALL, CALL]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    """A line that is not a record is refused with file and line."""
    path = tmp_path / "calls.jsonl"
    path.write_text(CALL.model_dump_json() + "\n{}\n", encoding="utf-8")
    with pytest.raises(CellError, match=r"calls\.jsonl, line 2: not a record of kind Call"):
        list(read_jsonl(path, Call))


def test_a_cell_survives_its_folder(tmp_path: Path) -> None:
    """All records of a cell come back from its folder, empty kinds as empty."""
    arm = ArmRun(
        fork=0,
        arm="baseline",
        pid=1,
        cpus=(1,),
        import_cpu_ns=1,
        warmup_calls=1,
        warmup_ns=1,
        warmup_drain_ns=0,
        measured_calls=1,
        measured_cpu_ns=1,
        drain_ns=0,
        expected_traces=0,
        stored_traces=0,
        stored_bytes=None,
        peak_memory_bytes=1,
    )
    records = CellRecords(CELL, (CALL,), (), (), (), (arm,))
    write_cell(tmp_path / "records", records)
    assert read_cell(tmp_path / "records") == records


def test_exchanges_of_timed_calls_can_be_left_out(tmp_path: Path) -> None:
    """Without them what belongs to another pass, or to no call, is kept, and a damaged line is refused all the same."""

    def exchange(number: int, call_id: str | None) -> Exchange:
        return Exchange(
            exchange_id=number,
            call_id=call_id,
            dialect="openai",
            method="POST",
            path="/",
            received_unix_ns=1,
            received_ns=1,
            request_size_bytes=1,
            request_digest="d",
        )

    ids = (
        "c/timing/0/strategy/3/s/0",
        "c/completeness/0/strategy/3/s/0",
        None,
        "x/timing/odd",
        "c/loss/0/strategy/3/s/0",
    )
    exchanges = tuple(exchange(number, call_id) for number, call_id in enumerate(ids))
    write_cell(tmp_path, CellRecords(CELL, (), exchanges, (), (), ()))
    assert read_cell(tmp_path).exchanges == exchanges
    assert read_cell(tmp_path, timed_exchanges=False).exchanges == exchanges[1:]
    path = tmp_path / "exchanges.jsonl"
    path.write_text(path.read_text(encoding="utf-8") + '{"call_id": "c/timing/0/strategy/3/s/0"}\n', encoding="utf-8")
    with pytest.raises(CellError, match=r"exchanges\.jsonl, line 6: not a record of kind Exchange"):
        read_cell(tmp_path, timed_exchanges=False)


def test_a_folder_without_a_cell_is_refused(tmp_path: Path) -> None:
    """Reading a folder that holds no cell says so."""
    with pytest.raises(CellError, match="not the record of a cell"):
        read_cell(tmp_path)


def test_records_carry_the_schema_version() -> None:
    """Every record says by which schema it was written."""
    assert CALL.schema_version == CELL.schema_version == SCHEMA_VERSION


def test_a_label_names_backend_and_style() -> None:
    """People's name of a cell has the backend where it differs, and the style where there is one."""
    assert CELL.label == "langchain (mistralai) / manual context/careful"


def test_time_under_loads_is_measuring() -> None:
    """Blocks and loads are measuring, and waiting for another sweep is no time of the cell's own."""
    spent = {"waiting": 100.0, "starting": 5.0, "measuring": 2.0, "loads": 3.0}
    assert CELL.model_copy(update={"stages_s": spent}).not_measuring_share == 0.5
    assert CELL.not_measuring_share is None
