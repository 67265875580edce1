from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.processes import (
    PARENT_VARIABLE,
    WorkFolder,
    allowed_cpus,
    child_environment,
    cpu_ns,
    end,
    idle_polling,
    pin,
    pinned,
    split_cpus,
    timing_lock,
)


def wait_until_gone(pid: int) -> bool:
    """Whether a process is gone, or a zombie that nobody has reaped, within some seconds."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


CHILD = (
    "import time; from harness.processes import die_with_parent; die_with_parent(); "
    "print('up', flush=True); time.sleep(60)"
)
PARENT = f"""
import subprocess, sys, os, time
from harness.processes import child_environment, WorkFolder
folder = WorkFolder()
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdout=subprocess.PIPE, start_new_session=True,
                         env=child_environment())
child.stdout.readline()
if sys.argv[1] == "stopped":
    os.kill(child.pid, {int(signal.SIGSTOP)})
print(child.pid, folder.path, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_child_and_folder_go_with_a_parent_that_is_killed(state: str) -> None:
    """SIGKILL of the parent ends its child, even a stopped one, and removes its work folder."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, state], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid, folder = parent.stdout.readline().split()
    assert Path(folder).is_dir()
    parent.kill()
    parent.communicate()
    assert wait_until_gone(int(pid))
    for _ in range(100):
        if not Path(folder).exists():
            break
        time.sleep(0.05)
    assert not Path(folder).exists()


def test_child_of_a_dead_parent_does_not_start() -> None:
    """A child that finds another parent than the one that made it exits at once."""
    environment = {**child_environment(), PARENT_VARIABLE: "1"}
    child = subprocess.run([sys.executable, "-c", CHILD], env=environment, capture_output=True, timeout=30, check=False)
    assert child.returncode == 1
    assert child.stdout == b""


def test_work_folder_is_removed_when_closed() -> None:
    """Closing removes the folder with what is in it."""
    with WorkFolder() as folder:
        (folder.path / "inner").mkdir()
        (folder.path / "inner" / "file").write_text("x")
    assert not folder.path.exists()


def test_end_kills_a_stopped_process_and_its_children() -> None:
    """A stopped child is ended together with what it started."""
    script = "import subprocess,time; p=subprocess.Popen(['sleep','60']); print(p.pid, flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True, text=True)
    assert child.stdout is not None
    grandchild = int(child.stdout.readline())
    os.killpg(child.pid, signal.SIGSTOP)
    end(child)
    child.stdout.close()
    assert child.returncode == -signal.SIGKILL
    assert wait_until_gone(grandchild)


def test_pinned_restores_the_cores() -> None:
    """Inside, the process keeps to the given cores; afterwards it has its old ones."""
    before = allowed_cpus()
    with pinned(before[:1]):
        assert allowed_cpus() == before[:1]
    assert allowed_cpus() == before


def test_idle_polling_holds_the_kernels_request_open_only_for_a_while() -> None:
    """Where this process may ask, the device is held at a latency of 0 inside and let go afterwards."""
    device = Path("/dev/cpu_dma_latency")
    with idle_polling() as granted:
        held = [link for link in Path("/proc/self/fd").iterdir() if link.exists() and link.readlink() == device]
        assert granted == os.access(device, os.W_OK) == bool(held)
        if granted:
            assert device.read_bytes() == bytes(4)
    assert not [link for link in Path("/proc/self/fd").iterdir() if link.exists() and link.readlink() == device]


def test_idle_polling_is_not_claimed_where_nobody_asked_or_the_kernel_has_no_such_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both say so, and no file comes to be where the device is not."""
    with idle_polling(wanted=False) as granted:
        assert not granted
    monkeypatch.setattr("harness.processes._PM_QOS", tmp_path / "absent")
    with idle_polling() as granted:
        assert not granted
    assert not list(tmp_path.iterdir())


def test_pin_reaches_threads_that_exist() -> None:
    """All threads of another process are pinned, not just its first."""
    script = (
        "import threading,time,sys\n"
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "print('up', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert child.stdout is not None
    child.stdout.readline()
    target = allowed_cpus()[:1]
    pin(child.pid, target)
    tasks = [int(task.name) for task in Path(f"/proc/{child.pid}/task").iterdir()]
    cores = {allowed_cpus(task) for task in tasks}
    end(child)
    child.stdout.close()
    assert len(tasks) == 2
    assert cores == {target}


def test_arms_and_gateway_get_different_cores_where_there_are_two() -> None:
    """With two cores or more, the arms' core is not the gateway's."""
    arms, gateway = split_cpus()
    if len(allowed_cpus()) >= 2:
        assert not set(arms) & set(gateway)
    else:
        assert arms == gateway


def test_timing_lock_keeps_a_second_timing_out_until_the_first_ends() -> None:
    """A second holder is told to wait, and gets the lock once the first is killed."""
    script = (
        "import time\nfrom harness.processes import timing_lock\n"
        "with timing_lock():\n print('held', flush=True)\n time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    holder.stdout.readline()
    told: list[str] = []

    def waiting() -> None:
        told.append("waiting")
        holder.kill()

    with timing_lock(waiting):
        assert told == ["waiting"]
    holder.communicate()


def test_cpu_time_of_a_process_is_known_to_the_nanosecond() -> None:
    """Between two readings of this process's own clock lies a third one, taken by its id; ticks would be coarser."""
    for _ in range(20):
        before_ns = time.process_time_ns()
        by_id_ns = cpu_ns(os.getpid())
        assert before_ns <= by_id_ns <= time.process_time_ns()


def test_cpu_time_of_another_process_counts_its_threads_also_those_that_ended() -> None:
    """A child that rests has what it told, and what it took to tell it."""
    script = (
        "import threading, time, sys\n"
        "def spin():\n"
        "    while time.thread_time() < 0.05: pass\n"
        "threads = [threading.Thread(target=spin) for _ in range(2)]\n"
        "for one in threads: one.start()\n"
        "for one in threads: one.join()\n"
        "print(time.process_time_ns(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        told_ns = int(process.stdout.readline())
        assert told_ns >= 100_000_000
        assert told_ns <= cpu_ns(process.pid) < 2 * told_ns
    finally:
        process.communicate("")
    with pytest.raises(OSError, match="Invalid argument"):
        cpu_ns(process.pid)
