"""Rollouts: reductions over what is valid, minibatches that lose and mix nothing, errors that say what to do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lagbench import Rollout
from lagbench.errors import AlgorithmError
from lagbench.rollout import FIELDS
from lagbench.synthetic import ControlWorld, LanguageWorld

JUNK = [0.0, 1e30, float("nan"), float("inf"), float("-inf")]


def numbered(valid: Tensor, *, longest: int | None = None) -> Rollout:
    """A rollout in which every field of a row holds the row's number t·n + i (observations too, with a row more)."""
    length, n = valid.shape
    row = torch.arange(length * n).view(length, n)
    return Rollout(
        observation=torch.arange((length + 1) * n).view(length + 1, n, 1).double(),
        action=row.unsqueeze(-1).float(),
        reward=row.float(),
        terminated=row % 2 == 0,
        truncated=row % 3 == 0,
        valid=valid,
        behaviour_version=row,
        behaviour_log_prob=row.float(),
        longest=longest,
    )


@st.composite
def masks(draw: st.DrawFn) -> Tensor:
    """[T, N], at least one valid."""
    length, n = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    flags = draw(st.lists(st.booleans(), min_size=length * n, max_size=length * n).filter(any))
    return torch.tensor(flags).view(length, n)


def test_mean_and_objective_by_hand() -> None:
    """Valid: 1, 2, 3. Mean 2; on language over 2 completions of at most 4 tokens: 6/8."""
    valid = torch.tensor([[True, True], [True, False]])
    x = torch.tensor([[1.0, 2.0], [3.0, 100.0]])
    control, language = numbered(valid), numbered(valid, longest=4)
    assert control.mean(x).item() == control.objective(x).item() == 2.0
    assert language.mean(x).item() == 2.0
    assert language.objective(x).item() == 0.75


def test_sums_over_sequences_by_hand() -> None:
    """Completions of 2 and 1 tokens: sums 1 + 3 and 2; steps are sequences of their own."""
    valid = torch.tensor([[True, True], [True, False]])
    x = torch.tensor([[1.0, 2.0], [3.0, float("nan")]])
    language, steps = numbered(valid, longest=4), numbered(valid).steps()
    assert language.sequences(x).tolist() == [4.0, 2.0]
    assert language.length.tolist() == [2, 1]
    assert steps.sequences(steps.reward) is steps.reward
    assert steps.length.tolist() == [1, 1, 1]
    # A value a sequence stands for each of its samples.
    each = torch.tensor([10.0, 20.0])
    assert language.mean(each).item() == pytest.approx((10 + 10 + 20) / 3)
    assert language.objective(each).item() == (10 + 10 + 20) / 8
    assert language.take(torch.tensor([1])).length.tolist() == [1]


@given(masks(), st.sampled_from(JUNK))
def test_reductions_see_valid_samples_only(valid: Tensor, junk: float) -> None:
    rollout = numbered(valid, longest=7)
    x = torch.arange(valid.numel(), dtype=torch.float64).view(valid.shape).sin()
    spoilt = torch.where(valid, x, junk).requires_grad_()
    assert torch.allclose(rollout.mean(spoilt), x[valid].mean(), rtol=1e-12)
    assert torch.allclose(rollout.objective(spoilt), x[valid].sum() / (7 * valid.shape[1]), rtol=1e-12)
    (gradient,) = torch.autograd.grad(rollout.mean(spoilt), [spoilt])
    assert torch.allclose(gradient, valid.double() / valid.sum(), rtol=1e-12)


@given(masks())
def test_flattening_to_steps_keeps_the_means(valid: Tensor) -> None:
    rollout = numbered(valid)
    steps = rollout.steps()
    assert steps.layout == "steps"
    assert bool(steps.valid.all())
    assert torch.allclose(steps.mean(steps.reward), rollout.mean(rollout.reward))
    assert torch.equal(steps.objective(steps.reward), steps.mean(steps.reward))
    # Each valid row once, with all its fields together.
    assert torch.equal(steps.behaviour_version, rollout.behaviour_version[valid])
    for name in ("observation", "action", "reward", "behaviour_log_prob"):
        assert torch.equal(getattr(steps, name).flatten().long(), steps.behaviour_version)
    assert torch.equal(steps.terminated, steps.behaviour_version % 2 == 0)


def test_a_dropped_sample_stays_in_the_denominator() -> None:
    rollout = numbered(torch.ones(2, 2, dtype=torch.bool))
    x = torch.ones(2, 2)
    x[0, 0] = 0.0
    assert rollout.objective(x).item() == 0.75


@given(masks(), st.integers(0, 99))
def test_taking_columns_keeps_time_order_and_the_row_after_the_last(valid: Tensor, seed: int) -> None:
    length, n = valid.shape
    rollout = numbered(valid).replace(extra={"mine": torch.arange(length * n).view(length, n)})
    index = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    taken = rollout.take(index)
    assert taken.layout == "sequences"
    assert torch.equal(taken.observation, rollout.observation[:, index])
    assert len(taken.observation) == length + 1
    assert torch.equal(taken.valid, valid[:, index])
    assert torch.equal(taken.extra["mine"], rollout.extra["mine"][:, index])


@given(masks(), st.integers(1, 4))
def test_split_is_the_whole_in_order(valid: Tensor, parts: int) -> None:
    rollout = numbered(valid)
    for source, axis in ((rollout.steps(), 0), (rollout, 1)):
        n = source.valid.shape[axis]
        sizes = [n // parts + (i < n % parts) for i in range(parts)]
        pieces = source.split(sizes)
        assert [p.valid.shape[axis] for p in pieces] == sizes
        assert torch.equal(torch.cat([p.behaviour_version for p in pieces], dim=axis), source.behaviour_version)
        assert {p.layout for p in pieces} == {"steps" if axis == 0 else "sequences"}
        # Views: an epoch's minibatches cost no copies.
        assert pieces[0].reward.data_ptr() == source.reward.data_ptr()


def test_language_is_taken_by_completions() -> None:
    world = LanguageWorld()
    rollout = world.collect(world.policy(), 8)
    index = torch.tensor([9, 0, 31])
    taken = rollout.take(index)
    assert torch.equal(taken.observation, rollout.observation[:, index])  # prompts have no row more
    assert torch.equal(taken.group, rollout.group[index])
    assert torch.equal(taken.action, rollout.action[:, index])
    assert [p.group.tolist() for p in taken.split([1, 2])] == [[1], [0, 3]]
    assert taken.longest == world.longest
    assert taken.group_size == rollout.group_size == world.completions


def test_replace_makes_a_new_rollout() -> None:
    rollout = numbered(torch.ones(2, 2, dtype=torch.bool))
    new = rollout.replace(advantage=torch.ones(2, 2), extra={"mine": torch.zeros(2, 2)})
    assert not rollout.has("advantage")
    assert not rollout.extra
    assert new.has("advantage")
    assert new.reward is rollout.reward
    more = new.replace(extra={"yours": torch.ones(2, 2)})
    assert set(more.extra) == {"mine", "yours"}
    assert more.advantage is new.advantage


def test_a_rollout_is_frozen() -> None:
    rollout = numbered(torch.ones(2, 2, dtype=torch.bool))
    with pytest.raises(AlgorithmError, match=r"frozen; use rollout\.replace\(reward=…\)"):
        rollout.reward = torch.zeros(2, 2)
    with pytest.raises(TypeError):
        rollout.extra["mine"] = torch.zeros(2, 2)  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("proximal_log_prob", "the harness sets it before `prepare`"),
        ("log_prob", "the harness sets it before `prepare`"),
        ("value", "for a policy that has a critic"),
        ("next_value", "for a policy that has a critic"),
        ("advantage", "`prepare` sets it"),
        ("value_target", "`prepare` sets it"),
        ("group", "only language has prompt groups"),
    ],
)
def test_reading_a_field_before_it_is_set_says_so(name: str, says: str) -> None:
    rollout = numbered(torch.ones(2, 2, dtype=torch.bool))
    assert not rollout.has(name)
    with pytest.raises(AlgorithmError, match=f"rollout.{name} is not set: .*{says}"):
        getattr(rollout, name)


def test_a_field_that_there_is_not() -> None:
    rollout = numbered(torch.ones(2, 2, dtype=torch.bool))
    assert not hasattr(rollout, "advantages")
    with pytest.raises(AlgorithmError, match=r"no field 'advantages'; put it in extra=\{'advantages': …\}"):
        rollout.replace(advantages=torch.zeros(2, 2))


@pytest.mark.parametrize("fields", [{"advantage": torch.zeros(3, 2)}, {"extra": {"mine": torch.zeros(2)}}])
def test_a_field_of_another_shape_is_refused(fields: dict[str, Any]) -> None:
    rollout = numbered(torch.ones(2, 2, dtype=torch.bool))
    with pytest.raises(AlgorithmError, match=r"rollout.(advantage|mine) must have shape \[2, 2\], not"):
        rollout.replace(**fields)


def test_extra_does_not_hide_a_field() -> None:
    rollout = numbered(torch.ones(2, 2, dtype=torch.bool))
    with pytest.raises(AlgorithmError, match="extra cannot hold 'group', which is a field of its own"):
        rollout.replace(extra={"group": torch.zeros(2, 2)})


def test_what_was_collected_must_be_there() -> None:
    with pytest.raises(ValueError, match="a rollout needs action, reward"):
        Rollout(observation=torch.zeros(3, 2, 1))


def test_moving_keeps_everything() -> None:
    world = ControlWorld()
    rollout = world.collect(world.policy(), 8).replace(extra={"mine": torch.zeros(32, 16)})
    moved = rollout.to("cpu")
    assert all(torch.equal(getattr(moved, k), getattr(rollout, k)) for k in FIELDS if rollout.has(k))
    assert (moved.layout, moved.longest, moved.group_size, set(moved.extra)) == ("phase", None, None, {"mine"})
    assert "advantage" not in repr(moved)
    assert "[32×16]" in repr(moved)


def test_rollouts_of_two_phases_joined_by_hand() -> None:
    """Columns side by side, each in time order with the row after its last; what only one has is left out."""
    valid = torch.tensor([[True, True], [True, False]])
    first = numbered(valid).replace(advantage=torch.ones(2, 2), extra={"a": torch.ones(2, 2), "b": torch.ones(2, 2)})
    second = numbered(valid[:, :1]).replace(extra={"b": torch.zeros(2, 1)})
    joined = first.join(second)
    assert (joined.layout, joined.longest, joined.group_size) == ("phase", None, None)
    assert joined.valid.tolist() == [[True, True, True], [True, False, True]]
    assert joined.reward.tolist() == [[0, 1, 0], [2, 3, 1]]
    assert joined.observation[..., 0].tolist() == [[0, 1, 0], [2, 3, 1], [4, 5, 2]]
    assert not joined.has("advantage")
    assert {k: x.tolist() for k, x in joined.extra.items()} == {"b": [[1, 1, 0], [1, 1, 0]]}
    assert torch.equal(first.join().reward, first.reward)
    # Steps, and columns that were taken from a phase.
    steps = first.steps().join(second.steps())
    assert (steps.layout, steps.reward.tolist()) == ("steps", [0, 1, 2, 0, 1])
    assert first.join(second.take(torch.tensor([0]))).layout == "phase"


def test_completions_of_two_phases_are_padded_and_their_groups_kept_apart() -> None:
    """By hand: prompts of 2 and 1 tokens, completions of at most 1 and 2."""

    def language(prompt: list[list[int]], action: list[list[int]], group: list[int]) -> Rollout:
        token = torch.tensor(action)
        valid = torch.ones_like(token, dtype=torch.bool)
        return Rollout(
            observation=torch.tensor(prompt),
            action=token,
            reward=token.float(),
            terminated=valid,
            truncated=~valid,
            valid=valid,
            behaviour_version=token,
            behaviour_log_prob=-token.float(),
            group=torch.tensor(group),
            longest=4,
            group_size=2,
        )

    joined = language([[5, -1], [6, 7]], [[1, 2]], [0, 1]).join(language([[8]], [[3], [4]], [0]))
    assert joined.observation.tolist() == [[5, -1, -1], [6, 7, 8]]
    assert joined.action.tolist() == [[1, 2, 3], [0, 0, 4]]
    assert joined.valid.tolist() == [[True, True, True], [False, False, True]]
    assert joined.group.tolist() == [0, 1, 2]
    assert joined.length.tolist() == [1, 1, 2]
    assert (joined.longest, joined.group_size) == (4, 2)


def test_what_cannot_be_joined() -> None:
    whole = numbered(torch.ones(3, 2, dtype=torch.bool))
    with pytest.raises(AlgorithmError, match="single steps cannot be joined with sequences; join rollouts before"):
        whole.join(whole.steps())
    with pytest.raises(AlgorithmError, match="sequences of different lengths cannot be joined"):
        whole.join(numbered(torch.ones(2, 2, dtype=torch.bool)))
    twice = torch.cat([whole.reward, whole.reward], dim=1)
    with pytest.raises(
        AlgorithmError, match=r"shape \[3, 2\], not \[3, 4\]; combine rollouts of .* rollout.join\(\*self.stored"
    ):
        whole.replace(reward=twice)
