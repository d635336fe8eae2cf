"""Descriptions of a run as names and texts, for terminals, logs and notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lagbench.domain import Domain
from lagbench.protocol import DEFAULT_HIDDEN, Protocol
from lagbench.spec import ASYNCHRONOUS, EvaluationPlan, RunSpec

if TYPE_CHECKING:
    from lagbench.lag.histogram import Histogram
    from lagbench.records.reader import Run
    from lagbench.training import PhaseResult

# Metrics of algorithms that are displayed if logged.
_ACTIVE = "filter_active"
_DROPPED = ("filtered_fraction", "clipped_fraction", "truncated_fraction", "outside_fraction")
_SMALL = 1e-3  # a smaller TV is not shown as 0.000
FORMER = "as in version 0"
_DIGEST = 12  # characters of a SHA-256; the specification has all


def about(spec: RunSpec) -> dict[str, str]:
    """All settings of a run, as resolved."""
    p, unit = spec.protocol, spec.domain.budget_unit
    epochs = "one pass" if p.forward == "split" else f"{p.updates // p.epoch_updates} epochs of {p.epoch_updates}"
    own = p.update_cap(spec.config.get("updates"))
    cap = "" if own == p.updates else f"{own}, set by the algorithm, of "
    options = {k: f"{v[:_DIGEST]}…" if k.endswith("_sha256") else v for k, v in spec.task_options.items()}
    rows = {
        "algorithm": spec.algorithm.name,
        "task": " ".join([spec.task, *assignments(options)]),
        "lag": lag(p),
        "updates": f"{cap}{p.updates} per phase ({p.forward}: {epochs}, minibatches of {p.minibatch})",
        "budget": f"{spec.budget:,} {unit}: {spec.phases:,} phases of {p.actors} actors × {p.phase_steps} "
        f"{spec.domain.step_unit}",
        "evaluation": evaluation(spec.evaluation, spec.domain),
        "seed": str(spec.seed),
        "config": " ".join(assignments(spec.config)),
    }
    if p.hidden != DEFAULT_HIDDEN:
        rows["networks"] = f"actor and critic with hidden layers of {network(p)} units"
    if spec.policy is not None:
        rows["networks"] = f"{spec.policy.name} {spec.policy.sha256[:_DIGEST]}…, not the benchmark's"
    if spec.suite is not None:
        rows = {"suite": spec.suite.name, **rows}
    if spec.device != "cpu":
        rows["device"] = spec.device
    return rows


def evaluation(plan: EvaluationPlan, domain: Domain) -> str:
    """The evaluation plan."""
    _, *beside = [f"{n} of {domain.modes[mode]}" for mode, n in plan.modes(last=False).items()]
    text = f"{_episodes(plan.episodes)} of {domain.modes[plan.measure]}" + "".join(f" and {x}" for x in beside)
    return f"{text}, at every 1/{plan.intervals} of the budget" + ("" if beside else f" ({FORMER})")


def measured(result: PhaseResult) -> dict[str, str]:
    """Lag diagnostics of a phase."""
    from lagbench import diagnostics

    record = result.record
    tv = record.diagnostics["tv"]
    rows = {
        "backward lag": f"{record.diagnostics['backward_lag_mean']:.1f}",
        "TV": f"{tv:.1e}" if 0 < tv < _SMALL else f"{tv:.3f}",
    }
    for name in _DROPPED:
        if name in record.metrics:
            rows[name.removesuffix("_fraction")] = f"{record.metrics[name]:.1%}"
    if record.metrics.get(_ACTIVE) == 0:
        rows["filter"] = "inactive"
    # Diagnostics of this domain only.
    own = {k: v for k, v in record.diagnostics.items() if k not in diagnostics.NAMES}
    return rows | {name.replace("_", " "): f"{value:.3g}" for name, value in own.items()}


def result(run: Run) -> dict[str, str]:
    """The result of a run."""
    rows, domain = {"status": run.status}, run.spec.domain
    for mode in run.spec.evaluation.modes(last=True) if run.summary.get("final") else ():
        last = run.curve(mode)[-1]
        label = "final evaluation" if mode == run.spec.evaluation.measure else "not scored"
        rows[label] = f"{last.text(domain.return_format)} over {_episodes(last.episodes)} of {domain.modes[mode]}"
    if run.spec.is_asynchronous and run.phases.count_rows():
        rows |= apart(run)
    logged = [dict(metrics) for metrics in run.phases.to_table(columns=["metrics"])["metrics"].to_pylist()]
    if any(_ACTIVE in metrics for metrics in logged) and not any(metrics.get(_ACTIVE) for metrics in logged):
        rows["filter"] = "never active"
    return rows


def lags(run: Run) -> Histogram:
    """The histogram of lags of all actors in all phases."""
    from lagbench.lag.histogram import Histogram

    held = run.phases.to_table(columns=["versions"])["versions"].to_pylist()
    return Histogram.of([phase - version for phase, versions in enumerate(held) for version in versions])


def apart(run: Run) -> dict[str, str]:
    """The resulting lag of an asynchronous run, and the shares of busy time of actors and learner, without phase 0."""
    columns = ["collecting", "updating", "waiting", "acting", "blocked", "fetching"]
    table = run.phases.to_table(columns=["segments_dropped", *(f"seconds_{name}" for name in columns)])
    total = {name: sum(table[f"seconds_{name}"].to_pylist()[1:]) for name in columns}
    rows = {"measured lag": f"{lags(run).summary()}, in versions"}
    if dropped := sum(table["segments_dropped"].to_pylist()):
        rows["dropped"] = f"{dropped:.0f} segments, by actor processes that died"
    if table.num_rows < 2:
        return rows
    learner, actors = total["collecting"] + total["updating"], total["acting"] + total["blocked"] + total["fetching"]
    made = rate((table.num_rows - 1) * run.spec.protocol.samples / learner)
    rows["throughput"] = (
        f"{made} {run.spec.domain.budget_unit} without evaluations; idle: learner {total['waiting'] / learner:.0%}, "
        f"actors {(total['blocked'] + total['fetching']) / actors:.0%}; weights are fetched in "
        f"{1000 * total['fetching'] / (table.num_rows - 1):.0f} ms"
    )
    return rows


def divergence(run: Run) -> str:
    """Where a run diverged and what it logged last, in a sentence."""
    at = run.summary["diverged"]
    text = f"diverged in phase {at['phase']}, update {at['update']}: {at['what']} is not finite"
    if last := at.get("last_logged"):
        values = ", ".join(f"{name} {value:.4g}" for name, value in last["metrics"].items() if value is not None)
        text += f"; last logged, in phase {last['phase']}: {values}"
    return text


def plain(text: str) -> str:
    """A text from an algorithm with control characters escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def duration(seconds: float) -> str:
    """A duration in readable units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def rate(per_second: float) -> str:
    """A rate with at least two digits: per second, or per minute if below 1 per second."""
    if per_second < 1:
        return f"{60 * per_second:.2g}/min"
    return f"{per_second:.1f}/s" if per_second < 10 else f"{per_second:,.0f}/s"


def lag(protocol: Protocol) -> str:
    """The largest lag, and the lag mode."""
    if protocol.lag_mode == ASYNCHRONOUS:
        options = protocol.lag_options
        held = f"a queue of {options['queue']}"
        return f"at most {protocol.lag} (asynchronous: {options['actor_processes']} actor processes, {held})"
    if not protocol.lag:
        return "0 (synchronous)"
    options = {k: f"{v[:_DIGEST]}…" if k.endswith("sha256") else v for k, v in protocol.lag_options.items()}
    return f"{protocol.lag} ({' '.join([protocol.lag_mode, *assignments(options)])})"


def network(protocol: Protocol) -> str:
    """The hidden layers, such as 64 × 64."""
    return " × ".join(map(str, protocol.hidden))


def _episodes(n: int) -> str:
    return "1 episode" if n == 1 else f"{n} episodes"


def assignments(values: Mapping[str, Any]) -> list[str]:
    """Values as ``--set`` and ``--task-set`` take them."""
    return [f"{k}={str(v).lower() if v is None or isinstance(v, bool) else v}" for k, v in values.items()]
