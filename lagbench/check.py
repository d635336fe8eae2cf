"""Check whether an algorithm implements the interface, as Gymnasium's check_env does for environments.

The checks use the same ``Learner`` as training, on synthetic rollouts of every domain, and take seconds.
"""

from __future__ import annotations

import dataclasses
import inspect
import io
import json
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lagbench import diagnostics, registry
from lagbench import domain as domains
from lagbench.algorithm import Algorithm
from lagbench.config import make_config
from lagbench.errors import AlgorithmError, LagbenchError, UpdateLimitError
from lagbench.learner import Learner
from lagbench.phase import HARNESS_METRICS, Metrics
from lagbench.records.findings import CheckOutcome
from lagbench.rollout import Rollout
from lagbench.settings import own_settings
from lagbench.source import algorithms
from lagbench.synthetic import LAG, ControlWorld, DiscreteWorld, World, with_junk

_FIRST = 8  # the first phase: late enough for behaviour versions LAG behind
_UPDATES = 4  # one epoch
_CAPS = (1, 5, 12)  # in the first epoch, in the second, several epochs
_LOG_RATIO = 20.0
_MINIBATCHES = ("steps", "sequences")


@dataclass(frozen=True)
class Check:
    """One check: its name, its domain (None: independent of domain), and on failure a sentence that says what to do."""

    name: str
    domain: str | None
    outcome: CheckOutcome
    message: str = ""


@dataclass(frozen=True)
class CheckReport:
    """The result of ``check``: all checks in order."""

    algorithm: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check was made and passed."""
        return all(c.outcome == "ok" for c in self.checks)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        return {
            "algorithm": self.algorithm,
            "passed": self.passed,
            "checks": [dataclasses.asdict(c) for c in self.checks],
        }


@own_settings()
def check(algorithm: str | type[Algorithm], *, config: Mapping[str, Any] | None = None) -> CheckReport:
    """Check an algorithm in every domain that it supports.

    Args:
        algorithm: its class, its name, or ``path/to/file.py:Class``.
        config: hyperparameters that override its defaults and presets.

    Returns:
        The report. Checks that an earlier failure makes impossible are skipped.

    Raises:
        UsageError: there is no such algorithm, or no such hyperparameter.
    """
    cls: Any = algorithms.load(algorithms.identify(algorithm)) if isinstance(algorithm, str) else algorithm
    name = algorithm if isinstance(algorithm, str) else getattr(cls, "__name__", repr(cls))
    made: list[Check] = []
    stopped: set[str | None] = set()

    def make(what: str, domain: str | None, function: Callable[[], None], *, stops: bool = True) -> bool:
        """Make one check; whether it passed. A failure with ``stops`` skips the later checks of its domain."""
        if stopped & {None, domain}:
            made.append(Check(what, domain, "skipped"))
            return False
        failure = _attempt(function, cls)
        # The same failure is reported once.
        told = any(c.message == failure.message for c in made if c.domain in (None, domain)) if failure else False
        if failure is None or told:
            made.append(Check(what, domain, "skipped" if told else "ok"))
        else:
            made.append(Check(what, domain, "failed", failure.message))
        if failure is not None and stops and failure.stops:
            stopped.add(domain)
        return failure is None

    make("class", None, lambda: _check_class(cls))
    make("config", None, lambda: _check_config(cls))
    if not stopped:
        make_config(cls.Config, {}, config or {})  # the caller's errors are raised, not reported
    make("presets", None, lambda: _check_presets(cls), stops=False)
    for domain, world in worlds().items():
        if None not in stopped and not domains.admits(cls.domains, domain):
            continue
        bench = _Bench(cls, world(), config or {})
        make("loss", domain, bench.loss)
        learns = make("gradient", domain, bench.gradient)
        if not make("metrics", domain, bench.metrics, stops=False):
            bench.cls = _without_metrics(cls)
        make("updates", domain, bench.updates)
        make("lag", domain, bench.lag, stops=False)
        make("seed", domain, bench.seed)
        make("invalid-rows", domain, bench.invalid_rows, stops=False)
        make("state", domain, bench.state, stops=False)
        if world is ControlWorld:
            discrete = _Bench(bench.cls, DiscreteWorld(), config or {})
            discrete.fresh_only(not bench.oldest)
            if not learns:
                stopped.add(domain)  # it would fail in the same way
            make("discrete", domain, discrete.gradient)
    return CheckReport(name, tuple(made))


def worlds() -> dict[str, type[World]]:
    """The worlds in which algorithms are checked, by domain; not every domain has one."""
    return {name: registry.load(domain.world) for name, domain in domains.known().items() if domain.world}


class _Failed(Exception):
    """A check failed; ``message`` says what to do. With ``stops``, the later checks are skipped."""

    def __init__(self, message: str, *, stops: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.stops = stops


def _attempt(function: Callable[[], None], cls: Any) -> _Failed | None:
    """The failure of a check, or None."""
    try:
        function()
    except _Failed as failure:
        return failure
    except LagbenchError as error:
        return _Failed(str(error))
    except Exception as error:
        return _Failed(f"{type(error).__name__}: {error}{_place(error, cls)}")
    return None


def _place(error: Exception, cls: Any) -> str:
    """The innermost line of the algorithm's source in an error's traceback, for a message."""
    own = (
        {f.__code__.co_filename for f in vars(cls).values() if inspect.isfunction(f)}
        if isinstance(cls, type)
        else set()
    )
    places = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in own]
    return f" ({places[-1].filename}, line {places[-1].lineno})" if places else ""


def _check_class(cls: Any) -> None:
    if not (isinstance(cls, type) and issubclass(cls, Algorithm)):
        raise _Failed("it is not a subclass of lagbench.Algorithm; write class Mine(Algorithm)")
    if cls.loss is Algorithm.loss:
        raise _Failed(f"it has no `loss`; write loss(self, batch) -> (scalar, metrics) in {cls.__name__}")
    if cls.minibatch not in _MINIBATCHES:
        raise _Failed(f'minibatch is {cls.minibatch!r}; use "steps" or "sequences"')
    if not (isinstance(cls.domains, tuple) and cls.domains and set(cls.domains) <= set(domains.known())):
        raise _Failed(f'domains is {cls.domains!r}; use ("control",), ("language",) or leave it out')


def _check_config(cls: type[Algorithm]) -> None:
    config = cls.Config
    if not issubclass(config, Algorithm.Config):
        raise _Failed("Config is not a subclass of Algorithm.Config; write class Config(Algorithm.Config)")
    made = make_config(config, {}, {})
    if make_config(config, {}, json.loads(json.dumps(dataclasses.asdict(made)))) != made:
        raise _Failed("Config changes when written to JSON and read back; give every field a plain, finite default")
    for name in _untyped(config):
        raise _Failed(
            f"Config.{name} has no type annotation; write {name}: float = … or the like",
            stops=False,
        )


def _untyped(config: type[Any]) -> list[str]:
    """Attributes of a Config that look like fields but have no annotation."""
    own = config.__mro__[: config.__mro__.index(Algorithm.Config)]
    return [
        name
        for part in own
        for name, value in vars(part).items()
        if not name.startswith("_")
        and name not in inspect.get_annotations(part)
        and isinstance(value, (bool, int, float, str, tuple, list, dict, type(None)))
    ]


def _check_presets(cls: type[Algorithm]) -> None:
    for domain, preset in cls.presets.items():
        domains.get(domain)
        make_config(cls.Config, preset, {})


class _Bench:
    """The checks of one domain. Each starts with a fresh learner and raises ``_Failed`` on failure."""

    def __init__(self, cls: type[Algorithm], world: World, overrides: Mapping[str, Any]) -> None:
        self.cls = cls
        self.world = world
        self.overrides = overrides
        self.fresh_only(False)

    def fresh_only(self, fresh: bool) -> None:
        """Collect data of the learner's own version only, or of versions up to LAG behind."""
        self.oldest = 0 if fresh else LAG
        # By the policy of every fresh learner.
        self.collected = self.world.collect(self.world.policy(), _FIRST, self.oldest)

    def learner(self, cap: int = _UPDATES, **config: Any) -> Learner:
        """A new learner, always the same."""
        torch.manual_seed(0)
        preset = self.cls.preset(self.world.domain.name)
        values = dataclasses.asdict(make_config(self.cls.Config, preset, {**self.overrides, **config}))
        exact = self.world.domain.exact_log_prob
        return Learner(self.cls, values, self.world.policy(), self.world.protocol(cap), seed=0, exact_log_prob=exact)

    def run(self, learner: Learner, phases: range) -> list[dict[str, float]]:
        """Train for these phases; returns the metrics of each."""
        logged = []
        for version in phases:
            fresh = version == _FIRST
            collected = self.collected if fresh else self.world.collect(learner.policy, version, self.oldest)
            logged.append(self.train(learner, collected, version))
        return logged

    @staticmethod
    def train(learner: Learner, collected: Rollout, version: int, where: str = "on ordinary data") -> dict[str, float]:
        """Train for one phase; returns its metrics. Raises _Failed, naming ``where``, if it diverges."""
        rollout, mismatch = learner.begin(collected, version, (version - _FIRST) / 10)
        work, diverged = learner.update(rollout, version)
        if diverged:
            raise _Failed(f"{diverged.what} is not finite at update {diverged.update} {where}")
        values = diagnostics.diagnose(work.rollout, learner.evaluate(work.rollout), version)
        values |= {"learning_rate": learner.learning_rate, "reward_scale": 1.0, "logprob_mismatch_max": mismatch}
        learner.end_phase(rollout, version, values)
        return work.metrics()

    def losses(self, learner: Learner, collected: Rollout) -> list[Tensor]:
        """The loss of each minibatch of an epoch, without updates."""
        rollout, _ = learner.begin(collected, _FIRST, 0.0)
        torch.manual_seed(0)
        return [self._loss_of(learner, batch) for batch in learner.phase(rollout, _FIRST).batches()]

    @staticmethod
    def _loss_of(learner: Learner, batch: Rollout) -> Tensor:
        result = learner.algorithm.loss(batch)
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping)):
            raise _Failed("`loss` must return (scalar, metrics); metrics may be an empty dictionary")
        loss = result[0]
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise _Failed("`loss` must return one number: reduce it with batch.objective(…)")
        return loss

    def loss(self) -> None:
        """The loss is one finite number."""
        learner = self.learner()
        for loss in self.losses(learner, self.collected):
            if not torch.isfinite(loss).all():
                raise _Failed(f"the loss is {loss.item()} on ordinary data; look for a division or logarithm of 0")

    def gradient(self) -> None:
        """The gradient is finite and reaches every parameter that acting depends on."""
        learner = self.learner()
        gradients = _gradients(learner, self.losses(learner, self.collected))
        acting = learner.policy.acting_state()
        for name, gradient in gradients.items():
            if not torch.isfinite(gradient).all():
                raise _Failed(f"the gradient of {name} is not finite, though the loss is; mask before exp, log or sqrt")
        untouched = [
            name
            for name, gradient in gradients.items()
            if any(name == k or name.endswith(f".{k}") for k in acting) and not gradient.any()
        ]
        if untouched:
            raise _Failed(
                f"no gradient reaches {', '.join(untouched)}; compute the loss from the log_prob of "
                f"self.policy.evaluate(batch)",
                stops=False,
            )

    def metrics(self) -> None:
        """Metrics are detached scalars, with names that are not reserved and the same at every update."""
        learner = self.learner()
        rollout, _ = learner.begin(self.collected, _FIRST, 0.0)
        phase = learner.phase(rollout, _FIRST)
        try:
            for batch in phase.batches():
                phase.record(learner.algorithm.step(*learner.algorithm.loss(batch)))
        except UpdateLimitError:
            return  # reported by the check of updates
        phase.metrics()

    def updates(self) -> None:
        """At most U optimizer updates per phase, at least one on fresh data, and nothing else changes the policy."""
        plain: list[tuple[int, dict[str, Any]]] = [(cap, {}) for cap in _CAPS]
        for cap, config in [*plain, (_CAPS[1], {"prepare_every": "epoch"}), (_CAPS[2], {"updates": 3})]:
            learner = self.learner(cap, **config)
            watch = _Watch(learner)
            self.run(learner, range(_FIRST, _FIRST + 1))
            if self.oldest and not learner.updates_made and not watch.outside():
                # It makes no update on stale data, which is allowed: check it on fresh data from here on.
                self.fresh_only(True)
                self.updates()
                return
            if watch.outside():
                raise _Failed(
                    "the policy's weights change outside self.optimizer.step(), where updates are counted; change "
                    "them only through this optimizer",
                    stops=False,
                )
            if not learner.updates_made:
                raise _Failed(
                    f"no update was made though {learner.cap} were allowed, on data of the learner's own version too; "
                    "call self.step for each minibatch"
                )
            if not watch.changed():
                raise _Failed(
                    "updates do not change the policy; pass its parameters to the optimizer, with a learning_rate "
                    "above 0"
                )

    def invalid_rows(self) -> None:
        """Loss, gradient and weights do not depend on the contents of invalid rows."""
        seen = []
        # With a second phase: the algorithm may store rows of the first.
        following = self.world.collect(self.world.policy(), _FIRST + 1, self.oldest)
        for change in (lambda r: r, with_junk):
            learner = self.learner()
            losses = self.losses(learner, change(self.collected))
            seen.append({"the loss": torch.stack([x.detach() for x in losses]), **_gradients(learner, losses)})
            learner = self.learner()
            for version, collected in enumerate((self.collected, following), _FIRST):
                self.train(learner, change(collected), version)
            seen[-1] |= {f"the weight {k}": v for k, v in learner.policy.state_dict().items()}
        clean, junk = seen
        for name, x in clean.items():
            if not torch.allclose(x, junk[name], rtol=1e-4, atol=1e-6):
                what = name if name.startswith("the ") else f"the gradient of {name}"
                raise _Failed(
                    f"{what} depends on the contents of invalid rows; reduce with batch.objective(…) and "
                    "batch.mean(…), which exclude them, or select by batch.valid"
                )

    def lag(self) -> None:
        """Loss, gradient and weights stay finite on data of a very different policy, in this phase or a stored one."""
        learner = self.learner()
        collected = self.collected
        sign = 2.0 * torch.randint(0, 2, collected.valid.shape, generator=torch.Generator().manual_seed(0)) - 1
        old = torch.full_like(collected.behaviour_version, _FIRST - LAG)
        where = (
            f"where log π − log β is ±{_LOG_RATIO:g}; clamp log-ratios before exp, and mask before exp instead of "
            f"multiplying by 0 afterwards"
        )
        for version in (_FIRST, _FIRST + 1):
            far = learner.evaluate(collected).log_prob + _LOG_RATIO * sign
            chosen = torch.where(collected.valid, far, 0.0)
            self.train(learner, collected.replace(behaviour_log_prob=chosen, behaviour_version=old), version, where)

    def seed(self) -> None:
        """Two runs with the same seed are identical."""
        runs = []
        for _ in range(2):
            learner = self.learner()
            runs.append((self.run(learner, range(_FIRST, _FIRST + 2)), learner.algorithm.state_dict()))
        if difference := _difference(*runs):
            raise _Failed(
                f"two runs of one seed differ in {difference}; draw random numbers only with torch, whose generator "
                f"the harness seeds"
            )

    def state(self) -> None:
        """A run resumed from its saved state is identical to an uninterrupted one."""
        learner = self.learner()
        self.run(learner, range(_FIRST, _FIRST + 3))
        buffer = io.BytesIO()
        torch.save(learner.state(), buffer)
        buffer.seek(0)
        try:
            state = torch.load(buffer, weights_only=True)
        except Exception as error:
            raise _Failed(
                f"state_dict() contains more than tensors and numbers, which cannot be checkpointed: {error}"
            ) from None
        rest = range(_FIRST + 3, _FIRST + 5)
        restored = self.learner()
        restored.restore(state)
        after = (self.run(restored, rest), restored.algorithm.state_dict())
        if difference := _difference((self.run(learner, rest), learner.algorithm.state_dict()), after):
            raise _Failed(
                f"a resumed run differs from one that was not interrupted in {difference}; keep state in a parameter, "
                f"a buffer (self.register_buffer) or a submodule, not in a Python attribute, and rollouts of "
                "earlier phases with self.store(rollout, phases=…)"
            )


def _without_metrics(cls: type[Algorithm]) -> type[Algorithm]:
    """The algorithm without its metrics, for the checks after one of metrics that failed."""

    class Silent(cls):  # type: ignore[misc, valid-type]
        def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
            return super().loss(batch)[0], {}

        def step(self, loss: Tensor, metrics: Metrics) -> Metrics:
            found = super().step(loss, {}) or {}
            return {name: found[name] for name in HARNESS_METRICS & found.keys()}

    return Silent


class _Watch:
    """Detects changes of the policy's parameters outside the optimizer's steps."""

    def __init__(self, learner: Learner) -> None:
        self._parameters = list(learner.policy.parameters())
        self._first = self._copy()
        self._last = self._first
        self._moved = False
        learner.algorithm.optimizer.register_step_pre_hook(self._before)
        learner.algorithm.optimizer.register_step_post_hook(self._after)

    def _copy(self) -> list[Tensor]:
        return [p.detach().clone() for p in self._parameters]

    def _same(self, then: list[Tensor]) -> bool:
        return all(torch.equal(p, q) for p, q in zip(self._parameters, then, strict=True))

    def _before(self, *_: object) -> None:
        self._moved |= not self._same(self._last)

    def _after(self, *_: object) -> None:
        self._last = self._copy()

    def outside(self) -> bool:
        return self._moved or not self._same(self._last)

    def changed(self) -> bool:
        return not self._same(self._first)


def _gradients(learner: Learner, losses: list[Tensor]) -> dict[str, Tensor]:
    """The absolute gradient of each of the policy's parameters, summed over minibatches; 0 without a gradient."""
    parameters = dict(learner.policy.named_parameters())
    total = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for loss in losses:
        if not loss.requires_grad:
            raise AlgorithmError(
                "the loss has no gradient: compute it from self.policy.evaluate(batch) without detaching"
            )
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, retain_graph=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                total[name] += gradient.abs()
    return total


def _difference(
    one: tuple[list[dict[str, float]], dict[str, Any]], two: tuple[list[dict[str, float]], dict[str, Any]]
) -> str:
    """The name of the first metric or tensor that is not bitwise equal in two runs, or the empty string."""
    for a, b in zip(one[0], two[0], strict=True):
        for name in a:
            if name not in b or not (a[name] == b[name] or (a[name] != a[name] and b[name] != b[name])):
                return f"the metric {name!r}"
    for name, x in one[1].items():
        if isinstance(x, Tensor) and not torch.equal(x, two[1][name]):
            return name
    return ""
