"""How to read a report: what its words and headings mean, in the same sentences for HTML and Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.report.loads import MEANINGS as LOAD_MEANINGS
from harness.report.quantities import COLUMNS
from harness.report.steps import MEANINGS

if TYPE_CHECKING:
    from harness.report.view import SweepView


class Term(NamedTuple):
    """A word or a heading, and what it means."""

    name: str
    meaning: str


def terms(view: SweepView) -> list[Term]:
    """The words of this sweep's report, in the order in which a reader meets them."""
    found = _terms(_ALWAYS)
    if view.sweep.steps:
        levels = "; ".join(f"{level}: {meaning}" for level, meaning in MEANINGS.items())
        found += [Term("Levels", f"{levels}."), *_terms(_SUMS)]
    if any(cell.result.loads for cell in view.cells):
        found += [*_terms(_LOADS), *(Term(kind, f"{meaning}.") for kind, meaning in LOAD_MEANINGS.items())]
    return found


def column_terms(view: SweepView) -> list[Term]:
    """The columns of the table of cells that are no words of their own; HTML has them at the headings."""
    known = {term.name for term in terms(view)}
    titles = [(column.title.removesuffix(" [95%]"), column.meaning) for column in COLUMNS]
    return [Term(title, meaning) for title, meaning in titles if title not in known]


def _terms(text: str) -> list[Term]:
    """The terms of a text: a paragraph for each, its name before the first colon."""
    parted = [" ".join(paragraph.split()).partition(": ") for paragraph in text.strip().split("\n\n")]
    return [Term(name, meaning) for name, _, meaning in parted]


_ALWAYS = """
Where the truth comes from: Every SDK is pointed at a gateway, a separate process on the same machine that
records each request and response. A trace is held against that record, never against what the SDK says of itself.

Recall: Of all facts that the recorded exchanges prove about the calls (models, messages, parameters, tools,
answer, token usage, errors, nesting, times), the share that the trace holds with the right value in the place
where MLflow and its UI look. OTel recall judges the same facts in the places of OpenTelemetry's GenAI conventions.

Interval of recall: For the prompts that ran recall is a count and has no error. Its 95% interval, in the figure of
cost against completeness and in the ledger, is Student's t over samples and says how far it may be off
for other prompts like these: facts of one sample stand and fall together. It holds as far as the prompt set stands for
what will be asked.

Dominated: Another strategy of the same provider records at least as many of the facts, its whole interval of added
p50 lies below, and it changes and loses no more calls. Strategies whose intervals of cost overlap do not dominate
each other in cost.

Fidelity: 1 - wrong / (recorded + elsewhere + wrong): of what the trace does say, the share that can be
trusted. Recall tells what is there, fidelity whether it is true.

Calls changed: The same calls are made without tracing, against the same answers. Value, type, chunks, exception
and cancellation have to be equal: tracing may miss something, but it must not change what the application gets.

Traces lost when a process ends: Traces wait in memory until they are stored. A process makes its calls and then
ends in each way in turn; what the store holds afterwards is counted.

Added p50: The strategy's median latency minus the untraced median in each fork, averaged over the forks. Both
arms run in turns on the same machine in blocks of random order, with the same simulated answers, so a cell
carries its own baseline. “Of a 500 ms call” sets it against an ordinary answer of a hosted model.

Added at quantiles: Traced minus untraced at each tenth of the latencies and beyond, in each fork, averaged over the
forks: whether tracing costs slow calls more than fast ones. Each 95% interval stands for itself; of ten or so, one may
well miss. The tails need enough calls: at least three beyond the quantile in each arm of each fork, five beyond p99.

Fork: A fresh pair of processes, one for each arm. Calls of one process resemble each other, so forks, not calls,
are what is counted. Under four forks there is no interval and no verdict.

95% interval: Computed from the differences of the forks. An interval that includes zero does not mean “no
overhead”: it means that this run cannot tell. It holds for this cell, at its time and pace and in the state that the
machine was in then: a shared machine may be faster or slower as a whole an hour later, and what tracing adds with it.
That is in no fork's spread. Cells of different hours are compared with harness compare or harness gate, which look at
the untraced arms as well.

Smallest effect: The smallest true addition to p50 that is told from none in 80% of runs whose forks spread as these
do. It is larger than half the width of the interval: an effect of that size is missed in nearly every second run.

Times untraced: Traced divided by untraced in each fork, their geometric mean, and the 95% interval of that. It
means something only beside the untraced amount. Where the difference shows a cost and the ratio does not,
or the other way round, the verdict's sentence says so.

Verdict words: “Slower” or “faster”: the interval excludes zero. “Equivalent”: the whole 95%
interval lies inside the margin, which is stricter than the customary two one-sided tests at 5% (a 90%
interval). “Inconclusive”: neither. “Not judged”: the data forbid a verdict, for instance because traces
were lost, and dropping them makes tracing look cheap. The margin is the larger of measure.margin_ms and the
share measure.margin_relative of the untraced p50.

Many comparisons: Of twenty verdicts at 5% each, one is wrong by chance. Holm's procedure holds all verdicts of
a sweep together, of its cells and of their further loads, so that the chance of any false “slower” or “faster” among
them is at most 5%,
and so is that of any false “equivalent”.

A/A floor: The farther bound of the 95% interval of an A/A cell, in which both arms are untraced
(tracing=none). Noise alone may look as large as that on this machine.

Steady: The second half of each fork's calls costs as much as the first, to within the margin. A cell that is
known not to be steady gets a warning; if the change is larger than the margin and the later half alone would
give another verdict, there is none.

Level after N: Of the calls of the warm-up burst, how many had passed when the rest was level: the cut that
leaves the smallest standard error of the mean. The warm-up is analysed nowhere else.

From fork to fork: The rise of a straight line through the forks' values, from the first fork to the last. They
held if the whole interval lies within the margin, and drifted if it leaves the margin and excludes zero; else
it cannot be told. A drift that both arms share is the machine's and cancels in the difference.

Disturbed blocks: Blocks in which processes that are not the cell's, or the hypervisor, took more than a tenth of
a core. They are flagged and kept; the verdict is made again without them, and the reader is told if it is another.

Flagged: Calls that were kept and not analysed: the warm-up burst, and each block's first call, which finds
cold caches.

Load /s: Calls a second that the strategy's arm made in its measured blocks.

Drain /s: Traces a second that reached the store in the warm-up burst, back to back, up to the store's last
write. The load is kept below a share of it (measure.max_load).

Pace: Least time from one call's start to the next, in both arms. It is raised above measure.period_ms where
the store drains too slowly for that. Calls that come sooner after one another meet more of each other's export.

CPU, drain and bytes: Latency is only the visible part. CPU is counted over all threads until the last trace is
stored, the drain is the time from the last call of a burst to the store's last write, and bytes are what the store grew
by. A process that flushes at its end may wait longer than the drain, by up to a second: MLflow asks its queue that
often whether it is empty.

Imports and first calls: What a process pays once. An import is given as CPU time of the one process, not as
the time that a person waits, and was taken while other processes imported on the same cores: forks that start
together share what the machine does meanwhile, so these intervals may be too narrow, and the A/A floor beside
them says by how much. What is imported, opened and connected only at the first call is counted with that call,
or, where it goes on in the background, with the first calls up to the end of their drain.
"""

_SUMS = """
Sum and whole: They agree if the whole interval of their difference lies within a margin, the larger of the
equivalence margin and a tenth of the whole. They disagree if it leaves the margin and excludes zero, also as one of
all sums of the sweep (Holm's correction): that any two that agree in truth are said to disagree has a chance of at most
one in twenty, if nothing but forks differs between the cells. A machine that was another an hour later breaks that.
Else it is inconclusive, and the sentence says by how much they may differ.
"""

_LOADS = """
Under load: Calls back to back instead of paced, by both arms in turns; amounts are differences to the cell's own
untraced arm under the same load. “Calls, forks” are those of one arm in one fork, and the forks. “Untraced
calls/s” is the throughput of the untraced arm, “Throughput, of that” the traced arm's as a share of
it; “With the drain, of that” counts the time until the last trace is stored as well, which is what can be
sustained. “First chunk” is what is added to a stream's first chunk, “Each further chunk” to each one after it up to the
last, and “End of a stream” to what follows the last chunk. “Peak memory” is that of the process from
the load's first call to the end of its drain, with whatever earlier loads left behind: their order is drawn by lot in
each fork, and is the same for both arms. “Traces lost” were not whole in the store after the drain.

Saturation: The offered rate is doubled to a step beyond the first loss, or until calls cannot keep up or the time is
over; then calls come back to back. Each rate is held for some seconds, then everything is drained and counted; every
fork runs the rates of the first. “Offered /s” is what was asked for, “Achieved /s” and “Untraced /s” what the two
arms made of it, “Lost” the share of the traces that were not whole in the store: the
mean over forks, and the least and the greatest of them. Loss begins between the highest rate up to which no fork
lost a trace and the rate at which every fork had lost some: a bracket, and no confidence interval. A queue hides a
rate that the store cannot take until it is full, so a rate without loss is one that lost none within that time.
"""
