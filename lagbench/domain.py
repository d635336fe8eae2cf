"""The two domains, control and language: the only place that knows there are two."""

from __future__ import annotations

from dataclasses import dataclass

from lagbench.errors import unknown
from lagbench.protocol import ForwardMode


@dataclass(frozen=True)
class Domain:
    """What differs between control and language, as data.

    ``actors_class`` is a ``"module:attribute"`` string, loaded when a run needs it; ``budget_unit`` names what
    ``--budget`` counts. With ``exact_log_prob`` the learner recomputes the log-probability of what its own version
    chose to within rounding, and the recorded one is taken in its place, so that w is exactly 1 there; without it the
    mismatch between sampler and learner is data. Where ``returns_are_scores``, as accuracy is one, nothing is
    normalised. The rest are the defaults of a run.
    """

    name: str
    budget_unit: str
    actors_class: str
    exact_log_prob: bool
    returns_are_scores: bool
    forward: ForwardMode
    minibatch: int
    actors: int
    phase_steps: int | None
    budget: int


CONTROL = Domain(
    name="control",
    budget_unit="actor steps",
    actors_class="lagbench.actors.control:ControlActors",
    exact_log_prob=True,
    returns_are_scores=False,
    forward="reuse",
    minibatch=256,
    actors=64,
    phase_steps=32,
    budget=1_000_000,
)
LANGUAGE = Domain(
    name="language",
    budget_unit="completions",
    actors_class="lagbench.actors.language:LanguageActors",
    exact_log_prob=False,
    returns_are_scores=True,
    forward="split",
    minibatch=32,
    actors=4,
    phase_steps=None,
    budget=20_480,
)
DOMAINS = {d.name: d for d in (CONTROL, LANGUAGE)}


def get(name: str) -> Domain:
    """The domain of that name. Raises UsageError where there is none."""
    if name not in DOMAINS:
        raise unknown("domain", name, DOMAINS)
    return DOMAINS[name]
