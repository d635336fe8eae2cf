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
    """A domain: everything that differs between control and language, as data.

    ``budget_unit`` and ``step_unit`` are the units of ``--budget`` and ``phase_steps``. Fields that name code are
    ``"module:attribute"`` strings, loaded when needed: ``actors_class``; ``policy``, a function of a task's id, its
    options and a state that returns the policy with that state; ``records``, a ``RecordKind``; ``replayer``, a
    ``Replayer``; ``environment`` and ``vector_environment``, called by Gymnasium's ``make`` and ``make_vec``;
    ``world``, the ``lagbench.synthetic.World`` in which ``lagbench check`` tests algorithms (None: it does not).
    ``diagnostics`` and ``packages`` are the domain's additional diagnostics, and packages on which its rows depend.

    With ``exact_log_prob`` the learner reproduces its own version's recorded log-probabilities up to rounding and uses
    the recorded ones, so that w is exactly 1 there; without it the mismatch between sampler and learner is part of the
    data. ``resampling`` is the task option with which a phase may use more of the budget than the protocol's samples.
    With ``returns_are_scores`` (accuracy) returns are not normalised; ``return_format`` is their format for display,
    ``modes`` the description of each action mode. With ``in_flight`` an actor can change its version within an episode.
    The other fields are a run's defaults; if ``actors`` is None, the number follows from the samples.
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
"""lagbench's own domains. Algorithms support both unless they declare otherwise."""


def known() -> dict[str, Domain]:
    """All domains by name: ours and those of installed packages (entry-point group ``lagbench.domains``)."""
    return DOMAINS | {n: registry.load(target) for n, target in registry.domains().items() if n not in DOMAINS}


def admits(domains: Collection[str], name: str) -> bool:
    """Whether an algorithm that supports ``domains`` may run in domain ``name``; both of lagbench's own mean all."""
    return name in domains or (name not in DOMAINS and {*domains} >= {*DOMAINS})


def get(name: str) -> Domain:
    """The domain of that name. Raises UsageError if there is none."""
    found = DOMAINS if name in DOMAINS else known()
    if name not in found:
        raise unknown("domain", name, found)
    return found[name]
