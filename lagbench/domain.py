"""The domains: control, language and those of installed packages. No other module distinguishes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from lagbench import registry
from lagbench.errors import unknown
from lagbench.protocol import ForwardMode

ActionMode = Literal["mode", "stochastic"]
"""How actions are chosen in an evaluation: deterministically, by the policy's mode, or sampled as in training."""


@dataclass(frozen=True)
class Domain:
    """What differs between control and language, as data.

    ``actors_class`` is a ``"module:attribute"`` string, loaded when a run needs it; ``budget_unit`` names what
    ``--budget`` counts, ``step_unit`` what an actor takes ``phase_steps`` of. ``policy`` names a function of a task's
    id, its options and a state, which makes the policy of that state; ``records`` a ``RecordKind``, ``replayer`` a
    ``Replayer``. ``diagnostics`` is what the actors measure beside what all measure, ``packages`` what rows depend on
    beside what all do. ``environment`` and ``vector_environment`` are what Gymnasium's ``make`` and ``make_vec`` call,
    ``world`` is the ``lagbench.synthetic.World`` in which ``lagbench check`` tests algorithms; None: it does not.

    With ``exact_log_prob`` the learner recomputes the log-probability of what its own version chose to within rounding,
    and the recorded one is taken in its place, so that w is exactly 1 there; without it the mismatch between sampler
    and learner is data. ``resampling`` is the task option with which a phase may take more of the budget than its
    protocol says. Where ``returns_are_scores``, as accuracy is one, nothing is normalised; people are shown
    returns in ``return_format``, and of each of an evaluation's ``modes`` what it chooses. With ``in_flight`` an actor
    can change its version inside an episode. The rest are the defaults of a run; without ``actors`` they follow from
    the samples.
    """

    name: str
    budget_unit: str
    step_unit: str
    actors_class: str
    policy: str
    records: str
    replayer: str
    diagnostics: tuple[str, ...]
    packages: tuple[str, ...]
    environment: str
    vector_environment: str | None
    world: str | None
    exact_log_prob: bool
    resampling: str | None
    returns_are_scores: bool
    return_format: str
    modes: Mapping[ActionMode, str]
    forward: ForwardMode
    minibatch: int
    actors: int | None
    phase_steps: int | None
    budget: int
    evaluation_episodes: int
    mode_episodes: int
    in_flight: bool = False


CONTROL = Domain(
    name="control",
    budget_unit="actor steps",
    step_unit="steps",
    actors_class="lagbench.actors.control:ControlActors",
    policy="lagbench.tasks.control:restored",
    records="lagbench.records.control:ControlRecords",
    replayer="lagbench.records.control_replayer:ControlReplayer",
    diagnostics=(),
    packages=(),
    environment="lagbench.tasks.mujoco:make_single",
    vector_environment="lagbench.tasks.mujoco:make_vector",
    world="lagbench.synthetic:ControlWorld",
    exact_log_prob=True,
    resampling=None,
    returns_are_scores=False,
    return_format=".1f",
    modes=MappingProxyType({"stochastic": "sampled actions", "mode": "deterministic actions"}),
    forward="reuse",
    minibatch=256,
    actors=32,
    phase_steps=64,
    budget=1_000_000,
    evaluation_episodes=20,
    mode_episodes=10,
)
LANGUAGE = Domain(
    name="language",
    budget_unit="completions",
    step_unit="completions",
    actors_class="lagbench.actors.language:LanguageActors",
    policy="lagbench.tasks.gsm8k.task:restored",
    records="lagbench.records.language:LanguageRecords",
    replayer="lagbench.records.language_replayer:LanguageReplayer",
    diagnostics=(
        "accuracy",
        "accuracy_flexible",
        "response_length",
        "ended_fraction",
        "groups_without_signal",
        "sampler_mismatch_mean",
        "sampler_mismatch_max",
        "sampler_mismatch_kl",
    ),
    packages=("tokenizers", "transformers"),
    environment="lagbench.tasks.gsm8k.environment:make",
    vector_environment=None,
    world="lagbench.synthetic:LanguageWorld",
    exact_log_prob=False,
    resampling="resample_uniform_groups",
    returns_are_scores=True,
    return_format=".1%",
    modes=MappingProxyType({"stochastic": "sampled answers", "mode": "greedy answers"}),
    forward="split",
    minibatch=32,
    actors=None,
    phase_steps=None,
    budget=20_480,
    evaluation_episodes=200,
    mode_episodes=200,
    in_flight=True,
)
DOMAINS = {d.name: d for d in (CONTROL, LANGUAGE)}
"""lagbench's own; algorithms are for both, unless they say otherwise."""


def known() -> dict[str, Domain]:
    """Our own and those that packages bring, by an entry point each in the group ``lagbench.domains``."""
    return DOMAINS | {n: registry.load(target) for n, target in registry.domains().items() if n not in DOMAINS}


def admits(domains: Collection[str], name: str) -> bool:
    """Whether an algorithm that is for ``domains`` may run in one: those for both of lagbench's own are for all."""
    return name in domains or (name not in DOMAINS and {*domains} >= {*DOMAINS})


def get(name: str) -> Domain:
    """The domain of that name. Raises UsageError where there is none."""
    found = DOMAINS if name in DOMAINS else known()
    if name not in found:
        raise unknown("domain", name, found)
    return found[name]
