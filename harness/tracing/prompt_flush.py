"""A flush of MLflow's export queue that ends when everything is stored, and not up to two seconds later.

The thread that takes tasks from MLflow's queue waits on an empty one for a second at a time, and learns only
afterwards that it is to stop. ``mlflow.flush_trace_async_logging`` stops and restarts it, in MLflow 3.17 twice
over; so an arm with nothing left to write still sleeps for a second or two. No clock of the harness
looks at that, but every fork waits for it.

MLflow is neither imported nor needed here.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUEUE_MODULE = "mlflow.tracing.export.async_export_queue"
_PROVIDER_MODULE = "mlflow.tracing.provider"


@contextlib.contextmanager
def prompt_flush() -> Iterator[None]:
    """Have MLflow's queue wake its consumer when it is told to stop, by a task that does nothing.

    The task is put *before* the stop is said. Until then the consumer cannot have left, and it leaves no task
    behind, so nobody waits for this one in vain. (Put afterwards, it could come too late, and the flush would wait
    for it for ever.) The consumer may take it between the two and fall asleep again: then the flush takes
    its second, and that is all.

    Where MLflow was not imported, exports without its queue, or has a queue of another make, nothing is changed.
    """
    exports = _export_queue()
    stop = getattr(exports, "_stop_event", None)
    tasks = getattr(exports, "_queue", None)
    nothing = _task_that_does_nothing()
    if not isinstance(stop, threading.Event) or not isinstance(tasks, queue.Queue) or nothing is None:
        yield
        return

    def wake_and_stop() -> None:
        # A child of a fork has the queue without the thread: there nobody would take the task.
        consumer = getattr(exports, "_consumer_thread", None)
        if isinstance(consumer, threading.Thread) and consumer.is_alive():
            with contextlib.suppress(queue.Full):  # then the consumer is not asleep
                tasks.put_nowait(nothing)
        threading.Event.set(stop)

    # On the event itself, so that a flush by another thread at the same time finds one that works, old or new.
    stop.set = wake_and_stop  # type: ignore[method-assign]
    try:
        yield
    finally:
        vars(stop).pop("set", None)


def _export_queue() -> Any:
    """The queue of MLflow's exporter in this process, or ``None``."""
    exporter_in_use = getattr(sys.modules.get(_PROVIDER_MODULE), "_get_trace_exporter", None)
    if exporter_in_use is None:
        return None
    try:
        exporter = exporter_in_use()
    except Exception:  # noqa: BLE001  # it is private, and versions differ in what it raises where nothing is exported
        return None
    return getattr(exporter, "_async_queue", None)


def _task_that_does_nothing() -> Any:
    """A task for MLflow's queue, or ``None``; made beforehand, because an error amid a flush would end it."""
    task_type = getattr(sys.modules.get(_QUEUE_MODULE), "Task", None)
    if task_type is None:
        return None
    try:
        return task_type(handler=_do_nothing, args=())
    except TypeError:
        return None


def _do_nothing() -> None:
    """The task's work."""
