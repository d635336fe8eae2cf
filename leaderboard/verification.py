"""The report of a verification: what was found, as data, and how it is read again without believing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from lagbench import LagbenchError, UsageError, cli, records
from lagbench.leaderboard import agreement, draws, fields, layout, strict_json
from lagbench.leaderboard.agreement import Sample
from lagbench.leaderboard.former import Submission, SubmittedRun

FORMAT_VERSION = 1
POLICY = records.replay.POLICY
"""What the replay's check of the policy file is called."""
REEVALUATION = "re-evaluation"
"""What the check of a run's re-evaluation is called."""

_LONGEST = 500
Outcome = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class Check:
    """What was found in a run.

    Attributes:
        run: its name, as from the submission's directory: ``runs/<task>/lag<L>-u<U>-seed<S>``.
        name: of the check: one of ``lagbench.replay``'s, or ``re-evaluation``.
        outcome: ``skipped`` where there is nothing to be checked, or not here.
        message: what was done, or what is wrong, in a sentence.
    """

    run: str
    name: str
    outcome: Outcome
    message: str

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, data: Any, what: str) -> Self:
        """The inverse. Raises LagbenchError."""
        kinds = {
            "run": fields.text,
            "name": fields.text,
            "outcome": fields.one_of("ok", "failed", "skipped"),
            "message": fields.text,
        }
        return cls(**fields.fields(data, what, kinds))


@dataclass(frozen=True)
class Reevaluation:
    """A run's policy, played on fresh seeds.

    Attributes:
        run: its name.
        task: of its cell; so are lag, updates and seed.
        claimed: the returns of its final evaluation.
        seeds: the fresh ones, an episode each.
        returns: of these episodes.
    """

    run: str
    task: str
    lag: int
    updates: int
    seed: int
    claimed: Sample
    seeds: tuple[int, ...]
    returns: tuple[float, ...]

    @property
    def found(self) -> Sample:
        """The fresh returns."""
        return Sample.of(self.returns)

    @property
    def mean(self) -> float:
        """Of the fresh returns."""
        return self.found.mean

    @property
    def z(self) -> float | None:
        """How many standard errors the claimed mean is above this one; None where there is no standard error."""
        return agreement.distance(self.claimed, self.found)

    @property
    def flagged(self) -> bool:
        """Whether the claimed mean is further from this one than ``agreement.LIMIT`` standard errors."""
        return not agreement.agree(self.claimed, self.found)

    @property
    def chance(self) -> float:
        """How likely a run is to be flagged whose returns are all of one policy."""
        return agreement.chance(self.claimed, self.found)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        derived = {"mean": self.mean, "std": self.found.std, "z": self.z, "flagged": self.flagged}
        return {**vars(self), "claimed": self.claimed.to_json(), **derived}

    @classmethod
    def from_json(cls, data: Any, what: str) -> Self:
        """The inverse. Raises LagbenchError, also where what follows from the returns is not as it is stated."""
        derived = {
            "mean": fields.number,
            "std": fields.optional(fields.number),
            "z": fields.optional(fields.number),
            "flagged": fields.flag,
        }
        given = fields.fields(
            data,
            what,
            {
                "run": fields.text,
                "task": fields.text,
                "lag": fields.whole,
                "updates": fields.whole,
                "seed": fields.whole,
                "claimed": fields.mapping,
                "seeds": fields.several(fields.whole),
                "returns": fields.several(fields.number),
                **derived,
            },
        )
        stated = {name: given.pop(name) for name in derived}
        if not given["returns"] or len(given["returns"]) != len(given["seeds"]):
            raise LagbenchError(
                f"{what} has {len(given['returns'])} returns of {len(given['seeds'])} seeds; each seed has one"
            )
        given["claimed"] = _sample(given["claimed"], f"{what}: 'claimed'")
        found = cls(**given)
        follows = found.to_json()
        for name, value in stated.items():
            if value != follows[name]:
                raise LagbenchError(f"{what}: {name!r} is {value}, and by its returns {follows[name]}")
        return found


def _sample(data: Any, what: str) -> Sample:
    kinds = {"mean": fields.number, "std": fields.optional(fields.number), "episodes": fields.count}
    return Sample(**fields.fields(data, what, kinds))


@dataclass(frozen=True)
class Verification:
    """What was found in a submission.

    Attributes:
        submission: its SHA-256: the report is of this one and no other.
        nonce: from which, with the submission's hash, all that was drawn follows; see ``draws``.
        episodes: fresh ones, a policy.
        sample: how many episodes of each final evaluation were gone through again; None for all.
        exact: whether all episodes came out bit for bit; else some did to within ``tolerance`` only.
        checks: by run, in the order in which they were made; every run has those of the replay and ``re-evaluation``.
        reevaluated: by run; those without are the ones whose ``re-evaluation`` is not ``ok``.
        tolerance: what was held to what, by name: ``lagbench.ReplayReport.tolerance``.
        environment: where it was verified: ``lagbench.records.environment.here``.
    """

    submission: str
    nonce: str
    episodes: int
    sample: int | None
    exact: bool
    checks: tuple[Check, ...]
    reevaluated: tuple[Reevaluation, ...]
    tolerance: Mapping[str, float]
    environment: Mapping[str, Any]

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.outcome == "failed")

    @property
    def passed(self) -> bool:
        """Whether none failed. That a mean is flagged is none of them: some are, by chance."""
        return not self.failures

    @property
    def finals(self) -> dict[str, float]:
        """The mean of the fresh returns by the name of the run: what the board ranks by."""
        return {one.run: one.mean for one in self.reevaluated}

    @property
    def flagged(self) -> tuple[Reevaluation, ...]:
        """The runs whose claimed mean is too far from the one that was found."""
        return tuple(one for one in self.reevaluated if one.flagged)

    @property
    def flagged_by_chance(self) -> float:
        """How many are to be expected even where every claim is true."""
        return sum(one.chance for one in self.reevaluated)

    def outcomes(self, name: str) -> dict[str, Outcome]:
        """Of the check of that name, by run."""
        return {check.run: check.outcome for check in self.checks if check.name == name}

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        return {
            "format_version": FORMAT_VERSION,
            **vars(self),
            "checks": [check.to_json() for check in self.checks],
            "reevaluated": [one.to_json() for one in self.reevaluated],
            "tolerance": dict(self.tolerance),
            "environment": dict(self.environment),
        }

    @classmethod
    def from_json(cls, data: Any, what: str = "the report") -> Self:
        """The inverse. Raises LagbenchError for what contradicts itself; ``read`` holds it to a submission too."""
        version = data.get("format_version") if isinstance(data, dict) else None
        if version != FORMAT_VERSION or type(version) is not int:
            raise LagbenchError(
                f"{what} has format {fields.shown(version)}; this lagbench reads {FORMAT_VERSION}: verify again, or "
                "install a newer one (pip install -U lagbench)"
            )
        given = fields.fields(
            {name: value for name, value in data.items() if name != "format_version"},
            what,
            {
                "submission": fields.text,
                "nonce": fields.text,
                "episodes": fields.count,
                "sample": fields.optional(fields.count),
                "exact": fields.flag,
                "checks": fields.listing,
                "reevaluated": fields.listing,
                "tolerance": fields.mapping,
                "environment": fields.mapping,
            },
        )
        if not draws.is_nonce(given["nonce"]):
            raise LagbenchError(f"{what}: 'nonce' must be 32 bytes in hex, not {fields.shown(given['nonce'])}")
        for name, kind in (("checks", Check), ("reevaluated", Reevaluation)):
            given[name] = tuple(kind.from_json(one, f"{what}, {name} {i}") for i, one in enumerate(given[name]))
        names = dict.fromkeys(given["tolerance"], fields.number)
        given["tolerance"] = fields.fields(given["tolerance"], f"{what}: 'tolerance'", names)
        return cls(**given)


def line(message: str) -> str:
    """A message as a line that a terminal only prints: it may quote what a submission has."""
    return "".join(c if c.isprintable() else " " for c in message[:_LONGEST])


def claimed(submitted: SubmittedRun) -> Sample:
    """The returns of a run's final evaluation, as its ``evaluations`` have them. Raises LagbenchError."""
    table = submitted.run.evaluations.to_table(columns=["version", "mode", "return"])
    return Sample.of(table.filter(records.final.is_final(table, submitted.run))["return"].to_pylist())


def has_policy(submitted: SubmittedRun) -> bool:
    """Whether a run comes with the policy that it ended with: a large model does not."""
    return (submitted.path / layout.POLICY).is_file()


def file_of(path: Path) -> Path:
    """Where the report on the submission in a directory belongs.

    That is ``verifications/<suite>/<slug>.json`` beside ``submissions/<suite>/<slug>``, where the board looks for it,
    and ``<directory>.verification.json`` for one that lies elsewhere. Never inside: there each file has a hash.
    """
    path = path.resolve()
    suite = path.parent
    if suite.parent.name == "submissions":
        return suite.parent.with_name("verifications") / suite.name / f"{path.name}.json"
    return path.with_name(f"{path.name}.verification.json")


def write(verification: Verification, file: Path, *, overwrite: bool = False) -> None:
    """Write the report, whole or not at all. Raises as ``check_free``."""
    check_free(file, overwrite)
    content = cli.output.document(verification.to_json()) + "\n"
    with records.files.explained(file, "verify again"):
        file.parent.mkdir(parents=True, exist_ok=True)
        with records.files.replacing(file) as out:
            out.write(content.encode())


def check_free(file: Path, overwrite: bool) -> None:
    """Raise UsageError where a report would replace another and is not to, LagbenchError where none can be written."""
    if file.exists() and not overwrite:
        raise UsageError(f"{file} is there already; give --overwrite to replace it, or another file with --out")
    records.files.check_writable(file, "verify again")


def read(file: Path, submission: Submission) -> Verification:
    """The report in a file, held to the submission, which must be valid.

    Raises LagbenchError where there is none, it contradicts itself, it is of another submission, or it leaves out a run
    or has other seeds, other claims or fewer returns than there must be. That the returns were played, nothing can show
    but to draw and play them again (``lagbench leaderboard verify --nonce``).
    """
    verification = Verification.from_json(strict_json.parse(strict_json.read_bytes(file), str(file)), str(file))
    hold(verification, submission, str(file))
    return verification


def hold(verification: Verification, submission: Submission, what: str = "the report") -> None:
    """Raise LagbenchError where a report is not of this submission, or not of all of it. See ``read``."""
    if verification.submission != submission.sha256:
        raise LagbenchError(
            f"{what} is of another submission ({verification.submission[:12]}…) than {submission.path} "
            f"({submission.sha256[:12]}…); verify this one: lagbench leaderboard verify {submission.path}"
        )
    runs = {one.name: one for one in submission.runs()}
    _hold_names(verification, runs, what)
    for one in verification.reevaluated:
        _hold_run(one, verification, runs[one.run], f"{what}: {one.run}")


def _hold_names(verification: Verification, runs: Mapping[str, SubmittedRun], what: str) -> None:
    """Every run has every check once, and those whose re-evaluation is ok, and no others, have returns."""
    names = {run: (*records.replay.checks(one.run.spec), REEVALUATION) for run, one in runs.items()}
    wanted = [f"{run}, {name}" for run, own in names.items() for name in own]
    _hold_same(wanted, [f"{check.run}, {check.name}" for check in verification.checks], f"{what}: checks")
    again = [run for run, outcome in verification.outcomes(REEVALUATION).items() if outcome == "ok"]
    _hold_same(again, [one.run for one in verification.reevaluated], f"{what}: returns")


def _hold_same(wanted: Sequence[str], there: Sequence[str], what: str) -> None:
    found = Counter(there)
    for one in wanted:
        if (times := found.pop(one, 0)) != 1:
            raise LagbenchError(f"{what} of {one} must be there once, and are {times} times")
    for one in found:
        raise LagbenchError(f"{what} of {one} are there, which there must not be")


def _hold_run(one: Reevaluation, verification: Verification, submitted: SubmittedRun, what: str) -> None:
    spec = submitted.run.spec
    if not records.final.expected(submitted.run):
        raise LagbenchError(f"{what} has returns, though it {submitted.run.status} and has no final evaluation")
    expected = {
        "task": spec.task,
        "lag": spec.protocol.lag,
        "updates": spec.protocol.updates,
        "seed": spec.seed,
        "claimed": claimed(submitted),
        "seeds": draws.seeds(verification.submission, verification.nonce, one.run, verification.episodes),
    }
    for name, value in expected.items():
        if (stated := getattr(one, name)) != value:
            raise LagbenchError(f"{what}: {name!r} is {fields.shown(stated)}, and must be {fields.shown(value)}")
