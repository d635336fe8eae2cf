"""Estimators against numbers worked out by hand, sums written out in full, and what must hold for any data.

The hand-worked rollouts use gamma = lam = 1/2 and short binary fractions, so that every expected number is exact.
"""

import math
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lagbench.estimators import VTrace, gae, group_relative, standardize, vtrace

GAMMA, LAM = 0.9, 0.8
JUNK = [0.0, 1e30, float("nan"), float("inf"), float("-inf")]

searched = settings(max_examples=60, deadline=None, derandomize=True)


class Data(NamedTuple):
    """The arguments of `vtrace` that are rows; `gae` takes all but the last."""

    reward: Tensor
    value: Tensor
    next_value: Tensor
    terminated: Tensor
    truncated: Tensor
    log_ratio: Tensor

    def each(self, function: Callable[[Tensor], Tensor]) -> "Data":
        """The same change to every column."""
        return Data._make(function(x) for x in self)


def column(*numbers: float) -> Tensor:
    """One actor's numbers over time, `[T, 1]`."""
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


def flags(length: int, *where: int) -> Tensor:
    """One actor's flags, set at the given rows, `[T, 1]`."""
    return torch.tensor([t in where for t in range(length)])[:, None]


def make(kinds: list[list[int]], seed: int, dtype: torch.dtype = torch.float64) -> Data:
    """Random rows with the given ends (0 none, 1 terminated, 2 truncated, 3 both): `kinds[t][n]`.

    As in a real rollout, the value of the next observation is the next row's value wherever the episode continues and
    a number of its own elsewhere.
    """
    kind = torch.tensor(kinds)
    draw = torch.Generator().manual_seed(seed)
    reward, value, final, log_ratio = torch.randn(4, *kind.shape, generator=draw, dtype=torch.float64)
    next_value = final.clone()
    next_value[:-1] = torch.where(kind[:-1] == 0, value[1:], final[:-1])
    data = Data(reward, value, next_value, (kind == 1) | (kind == 3), kind >= 2, log_ratio)
    return data.each(lambda x: x.to(dtype) if x.is_floating_point() else x)


@st.composite
def rollouts(draw: st.DrawFn, ends: tuple[int, ...] = (0, 0, 0, 1, 2, 3)) -> Data:
    """Rollouts of up to 8 rows of up to 3 actors."""
    length, actors = draw(st.integers(1, 8)), draw(st.integers(1, 3))
    row = st.lists(st.sampled_from(ends), min_size=actors, max_size=actors)
    kinds = draw(st.lists(row, min_size=length, max_size=length))
    return make(kinds, seed=draw(st.integers(0, 2**32 - 1)))


def assert_near(actual: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    """Equal up to rounding, measured by the largest number: single entries may cancel to nearly 0."""
    assert actual.shape == expected.shape
    assert actual.isfinite().all()
    scale = max(1.0, float(expected.abs().max()))
    assert float((actual - expected).abs().max()) <= tolerance * scale


def call_gae(data: Data, gamma: float = GAMMA, lam: float = LAM) -> Tensor:
    """`gae` of these rows."""
    return gae(*data[:5], gamma, lam)


def call_vtrace(data: Data, gamma: float = GAMMA, lam: float = LAM, rho_bar: float = 1.0, c_bar: float = 1.0) -> VTrace:
    """`vtrace` of these rows."""
    return vtrace(*data[:5], gamma, lam, data.log_ratio, rho_bar, c_bar)


# Sums written out in full: plain Python numbers, one actor at a time, from each row to the end of its episode.


def to_end(data: Data, t: int, n: int) -> range:
    """The rows from t to the end of its episode or of the rollout."""
    length = data.reward.shape[0]
    last = next((k for k in range(t, length) if data.terminated[k, n] or data.truncated[k, n]), length - 1)
    return range(t, last + 1)


def bootstrap(data: Data, t: int, n: int) -> float:
    """What follows row t by the critic: nothing after termination."""
    return 0.0 if data.terminated[t, n] else data.next_value[t, n].item()


def table(data: Data, function: Callable[[int, int], float]) -> Tensor:
    """The function's numbers at every row and actor."""
    length, actors = data.reward.shape
    return torch.tensor([[function(t, n) for n in range(actors)] for t in range(length)], dtype=torch.float64)


def gae_by_differences(data: Data, gamma: float, lam: float) -> Tensor:
    """Σ_k (γλ)^k δ_{t+k} (Schulman et al. 2016, equation 16)."""

    def at(t: int, n: int) -> float:
        total = 0.0
        for k in to_end(data, t, n):
            delta = data.reward[k, n].item() + gamma * bootstrap(data, k, n) - data.value[k, n].item()
            total += (gamma * lam) ** (k - t) * delta
        return total

    return table(data, at)


def vtrace_by_products(data: Data, gamma: float, lam: float, rho_bar: float, c_bar: float) -> VTrace:
    """V-trace: v = V + Σ_k gamma^(k-t) (c_t ⋯ c_{k-1}) δ_k (Espeholt et al. 2018), and q from λ v + (1 - λ)V."""
    w = data.log_ratio.exp()

    def v(t: int, n: int) -> float:
        total = data.value[t, n].item()
        for k in to_end(data, t, n):
            product = 1.0
            for i in range(t, k):
                product *= lam * min(c_bar, w[i, n].item())
            difference = data.reward[k, n].item() + gamma * bootstrap(data, k, n) - data.value[k, n].item()
            total += gamma ** (k - t) * product * min(rho_bar, w[k, n].item()) * difference
        return total

    def q(t: int, n: int) -> float:
        if len(to_end(data, t, n)) == 1:
            return data.reward[t, n].item() + gamma * bootstrap(data, t, n)
        return data.reward[t, n].item() + gamma * (lam * v(t + 1, n) + (1 - lam) * data.value[t + 1, n].item())

    return VTrace(table(data, v), table(data, q))


def geppo_by_products(data: Data, gamma: float, lam: float) -> Tensor:
    """Σ_k (γλ)^k (Π_{i=1..k} min(1, w_{t+i})) δ_{t+k} (Queeney et al. 2021)."""
    w = data.log_ratio.exp()

    def at(t: int, n: int) -> float:
        total = 0.0
        for k in to_end(data, t, n):
            product = 1.0
            for i in range(t + 1, k + 1):
                product *= min(1.0, w[i, n].item())
            delta = data.reward[k, n].item() + gamma * bootstrap(data, k, n) - data.value[k, n].item()
            total += (gamma * lam) ** (k - t) * product * delta
        return total

    return table(data, at)


# Hand-worked numbers.
#
# One actor, three rows; row 1 ends in one of several ways, and V' there is 8, the value of the true final observation.
# R + V'/2 is 1 + 3/2 = 5/2 at row 0 and 4 + 6/2 = 7 at row 2; at row 1 it is 4 + 8/2 = 8, or 4 where it terminated.
# R + V'/2 - V is then 3/2, (5 or 1), 5. The weights are 4, 1/2, 2.

REWARD = column(1, 4, 4)
VALUE = column(1, 3, 2)
NEXT_VALUE = column(3, 8, 6)
LOG_RATIO = column(4, 0.5, 2).log()
NONE, ROW_1 = flags(3), flags(3, 1)

ENDS = {"none": (NONE, NONE), "termination": (ROW_1, NONE), "truncation": (NONE, ROW_1), "both": (ROW_1, ROW_1)}

# A_2 = 5. γλ = 1/4.
# none:         A_1 = 5 + 5/4 = 6.25    A_0 = 1.5 + 6.25/4 = 3.0625
# termination:  A_1 = 1                 A_0 = 1.5 + 1/4 = 1.75
# truncation:   A_1 = 5                 A_0 = 1.5 + 5/4 = 2.75
GAE_BY_HAND = {
    "none": column(3.0625, 6.25, 5),
    "termination": column(1.75, 1, 5),
    "truncation": column(2.75, 5, 5),
    "both": column(1.75, 1, 5),
}

# rho_bar = 2, c_bar = 1: rho = 2, 1/2, 2 and c = 1/2·(1, 1/2, 1) = 1/2, 1/4, 1/2. delta_0 = 2·1.5 = 3, e_2 = 2·5 = 10.
# none:         delta_1 = 2.5   e_1 = 2.5 + 1/2·1/4·10 = 3.75   e_0 = 3 + 1/2·1/2·3.75 = 3.9375
#               q_1 = 8 + 1/4·10 = 10.5                         q_0 = 2.5 + 1/4·3.75 = 3.4375
# termination:  delta_1 = 0.5   e_1 = 0.5                       e_0 = 3 + 1/4·0.5 = 3.125
#               q_1 = 4                                         q_0 = 2.5 + 1/4·0.5 = 2.625
# truncation:   delta_1 = 2.5   e_1 = 2.5                       e_0 = 3 + 1/4·2.5 = 3.625
#               q_1 = 8                                         q_0 = 2.5 + 1/4·2.5 = 3.125
VTRACE_BY_HAND = {
    "none": VTrace(column(4.9375, 6.75, 12), column(3.4375, 10.5, 7)),
    "termination": VTrace(column(4.125, 3.5, 12), column(2.625, 4, 7)),
    "truncation": VTrace(column(4.625, 5.5, 12), column(3.125, 8, 7)),
    "both": VTrace(column(4.125, 3.5, 12), column(2.625, 4, 7)),
}


def hand(end: str) -> Data:
    """The rows of the hand-worked rollout."""
    return Data(REWARD, VALUE, NEXT_VALUE, *ENDS[end], LOG_RATIO)


def estimates(data: Data) -> tuple[Tensor, Tensor, Tensor]:
    """The three estimates, with the numbers of the hand-worked rollout."""
    return call_gae(data, 0.5, 0.5), *call_vtrace(data, 0.5, 0.5, rho_bar=2.0, c_bar=1.0)


def by_hand(end: str) -> tuple[Tensor, Tensor, Tensor]:
    """The three estimates worked out by hand."""
    return GAE_BY_HAND[end], *VTRACE_BY_HAND[end]


@pytest.mark.parametrize("end", ENDS)
def test_by_hand(end: str) -> None:
    """Both functions give the numbers above."""
    for actual, expected in zip(estimates(hand(end)), by_hand(end), strict=True):
        assert_near(actual, expected, 1e-14)


def spent(junk: float, length: int = 1, terminated: bool = False, truncated: bool = False) -> Data:
    """Rows that are not valid."""
    x, no = column(*[junk] * length), flags(length)
    return Data(x, x, x, no | terminated, no | truncated, x)


def join(*parts: Data) -> Data:
    """One after the other in time."""
    return Data._make(torch.cat(columns) for columns in zip(*parts, strict=True))


def with_reset_row(data: Data, junk: float, terminated: bool = False, truncated: bool = False) -> Data:
    """The rollout as EnvPool gives it: the step spent on the reset, row 2, comes after the row that ended."""
    reset = spent(junk, 1, terminated, truncated)
    return join(data.each(lambda x: x[:2]), reset, data.each(lambda x: x[2:]))


@pytest.mark.parametrize("end", ["termination", "truncation", "both"])
def test_reset_row_enters_nothing(end: str) -> None:
    """The valid rows have the numbers by hand, whatever the reset row holds."""
    rows = with_reset_row(hand(end), float("nan"), terminated=True)
    for actual, expected in zip(estimates(rows), by_hand(end), strict=True):
        assert_near(actual[[0, 1, 3]], expected, 1e-14)


def test_reset_row_first() -> None:
    """A rollout may begin with the reset that the last phase's end left over."""
    rows = join(spent(float("nan")), hand("truncation"))
    for actual, expected in zip(estimates(rows), by_hand("truncation"), strict=True):
        assert_near(actual[1:], expected)


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("end", ["termination", "both"])
def test_terminated_row_does_not_read_the_next_value(end: str, junk: float) -> None:
    """Nothing follows termination, so that what the critic says there does not matter."""
    next_value = NEXT_VALUE.clone()
    next_value[1] = junk
    for actual, expected in zip(estimates(hand(end)._replace(next_value=next_value)), by_hand(end), strict=True):
        assert_near(actual, expected)


def test_nan_in_a_valid_row_is_not_hidden() -> None:
    """A critic that diverged shows in its own row and in those before it in the episode, and nowhere else."""
    value = VALUE.clone()
    value[1] = float("nan")
    advantage, v, q = (x.isnan().flatten().tolist() for x in estimates(hand("truncation")._replace(value=value)))
    assert advantage == [True, True, False]
    assert v == [True, True, False]
    assert q == [True, False, False]  # q_1 is a reward and V' alone


# Against the sums, and against one another.


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_vtrace_on_policy_is_gae(dtype: torch.dtype, tolerance: float) -> None:
    """With w = 1 everywhere the advantage is GAE's and the value target GAE's."""
    draw = torch.Generator().manual_seed(0)
    kinds = (torch.rand(64, 16, generator=draw) < 0.1) * torch.randint(1, 4, (64, 16), generator=draw)
    data = make(kinds.tolist(), seed=4, dtype=dtype)
    data = data._replace(log_ratio=torch.zeros_like(data.log_ratio))
    v, q = call_vtrace(data, 0.99, 0.95)
    advantage = call_gae(data, 0.99, 0.95)
    assert v.dtype == q.dtype == advantage.dtype == dtype
    assert_near(q - data.value, advantage, tolerance)
    assert_near(v, advantage + data.value, tolerance)


@searched
@given(rollouts())
def test_vtrace_with_bounds_of_one_is_geppo(data: Data) -> None:
    """With rho_bar = c_bar = 1 the advantage is GePPO's."""
    assert_near(call_vtrace(data).q - data.value, geppo_by_products(data, GAMMA, LAM))


@searched
@given(rollouts(), st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 3.0), st.floats(0.1, 3.0) | st.just(math.inf))
def test_both_are_their_sums(data: Data, gamma: float, lam: float, rho_bar: float, c_bar: float) -> None:
    """Wherever the ends are, GAE and V-trace are what the papers say, and q the next target mixed with the value."""
    v, q = call_vtrace(data, gamma, lam, rho_bar, c_bar)
    expected = vtrace_by_products(data, gamma, lam, rho_bar, c_bar)
    assert_near(v, expected.value_target)
    assert_near(q, expected.q)
    assert_near(call_gae(data, gamma, lam), gae_by_differences(data, gamma, lam))


# What must hold for any data.


def all_three(data: Data) -> list[Tensor]:
    """Every estimate of these rows, with bounds that tell rho from c."""
    return [call_gae(data), *call_vtrace(data, rho_bar=1.5, c_bar=0.7)]


@searched
@given(rollouts())
def test_further_shape(data: Data) -> None:
    """Time first, then anything: `[T]` and `[T, N, 1, 2]` are the same rows."""
    further = all_three(data.each(lambda x: torch.stack([x, x], dim=-1)[:, :, None]))
    flat = all_three(data.each(lambda x: x[:, 0]))
    for before, after, one in zip(all_three(data), further, flat, strict=True):
        assert_near(after[:, :, 0, 1], before)
        assert_near(one, before[:, 0])


@searched
@given(rollouts(), st.sampled_from(JUNK), st.integers(0, 3))
def test_junk_in_reset_rows_changes_nothing(data: Data, junk: float, kind: int) -> None:
    """With a reset row of junk after every row that ended an episode, the valid rows are what they were."""
    one = data.each(lambda x: x[:, :1])
    parts: list[Data] = []
    valid: list[int] = []
    for t, ended in enumerate((one.terminated | one.truncated)[:, 0].tolist()):
        valid.append(len(parts))
        parts.append(Data._make(x[t : t + 1] for x in one))
        if ended:
            parts.append(spent(junk, 1, terminated=kind in (1, 3), truncated=kind >= 2))
    for before, after in zip(all_three(one), all_three(join(*parts)), strict=True):
        assert_near(after[valid], before)


def test_inputs_are_left_alone_and_no_gradient_flows() -> None:
    """Estimates are constants of the loss, made in memory of their own."""
    data = make([[0, 1, 2], [1, 0, 0], [0, 3, 0], [2, 0, 0]], seed=1)
    copies = data.each(torch.clone)
    value = data.value.clone().requires_grad_()
    v, q = call_vtrace(data._replace(value=value))
    advantage = call_gae(data._replace(value=value))
    assert not any(x.requires_grad for x in (v, q, advantage))
    assert all(torch.equal(a, b) for a, b in zip(data, copies, strict=True))
    x = data.value.clone().requires_grad_()
    assert not standardize(x, torch.ones_like(x, dtype=torch.bool)).requires_grad
    assert not group_relative(x[:, 0], torch.zeros(len(x), dtype=torch.int64)).requires_grad


def test_ratio_far_out_is_clipped() -> None:
    """A ratio beyond the range of floats is the bound above and 0 below."""
    _, v, q = estimates(hand("none")._replace(log_ratio=column(1e4, -1e4, 1e4)))
    # rho = 2, 0, 2; c = 1/2, 0, 1/2: e = 3, 0, 10 and q_1 = 8 + 1/4·10.
    assert v.flatten().tolist() == [4.0, 3.0, 12.0]
    assert q.flatten().tolist() == [2.5, 10.5, 7.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": VALUE[:2]}, r"one shape, time first; got reward \[3, 1\], value \[2, 1\]"),
        ({"next_value": NEXT_VALUE[:, 0]}, r"next_value \[3\]"),
        ({"terminated": NONE.T}, r"terminated \[1, 3\]"),
        ({"truncated": NONE[:1]}, r"truncated \[1, 1\]"),
        ({"value": VALUE.float()}, "one floating dtype; got reward torch.float64, value torch.float32"),
        ({"reward": REWARD.long()}, "one floating dtype; got reward torch.int64"),
        ({"terminated": NONE.double()}, "flags must be bool; got terminated torch.float64"),
        ({"truncated": NONE.to(torch.uint8)}, "truncated torch.uint8"),
        ({"gamma": 1.5}, r"gamma must be in \[0, 1\]; got 1.5"),
        ({"lam": -0.1}, r"lam must be in \[0, 1\]; got -0.1"),
        ({"lam": float("nan")}, r"lam must be in \[0, 1\]; got nan"),
    ],
)
def test_bad_rows(change: dict[str, Tensor | float], message: str) -> None:
    """What does not fit is named with what it is."""
    arguments = {
        "reward": REWARD,
        "value": VALUE,
        "next_value": NEXT_VALUE,
        "terminated": NONE,
        "truncated": NONE,
        "gamma": 0.5,
        "lam": 0.5,
    } | change
    with pytest.raises(ValueError, match=message):
        gae(**arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        vtrace(**arguments, log_ratio=LOG_RATIO)  # type: ignore[arg-type]


@pytest.mark.parametrize(("rho_bar", "c_bar"), [(0.0, 1.0), (1.0, -1.0), (float("nan"), 1.0)])
def test_bad_bounds(rho_bar: float, c_bar: float) -> None:
    """A bound is a positive number."""
    with pytest.raises(ValueError, match="must be positive"):
        vtrace(REWARD, VALUE, NEXT_VALUE, NONE, NONE, 0.5, 0.5, LOG_RATIO, rho_bar, c_bar)


def test_bad_log_ratio() -> None:
    """The log ratio has the rows' shape, a scalar included."""
    with pytest.raises(ValueError, match=r"log_ratio \[\]"):
        vtrace(REWARD, VALUE, NEXT_VALUE, NONE, NONE, 0.5, 0.5, torch.zeros((), dtype=torch.float64))


# Outcomes relative to their group.


def test_group_relative_by_hand() -> None:
    """Groups 7 and -2, interleaved: means 2 and 1/2."""
    outcome = torch.tensor([1.0, 0.0, 3.0, 1.0, 2.0, 0.0, 1.0])
    group = torch.tensor([7, -2, 7, -2, 7, -2, -2])
    assert group_relative(outcome, group).tolist() == [-1.0, -0.5, 1.0, 0.5, 0.0, -0.5, 0.5]
    # Variances of the population: (1 + 1 + 0)/3 and 1/4.
    root = (3 / 2) ** 0.5
    expected = [-root, -1.0, root, 1.0, 0.0, -1.0, 1.0]
    assert group_relative(outcome, group, scale=True).tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("outcome", [0.1, 1.0, -1e7 / 3, 1e-9])
def test_group_of_equal_outcomes_is_exactly_zero(scale: bool, outcome: float) -> None:
    """Nothing is learned where all completions fare alike; rounding of the mean must not be scaled up."""
    n = 7
    outcomes = torch.cat([torch.full((n,), outcome), torch.tensor([0.0, 1.0])])
    group = torch.tensor([3] * n + [1] * 2)
    advantage = group_relative(outcomes, group, scale=scale)
    assert advantage[:n].tolist() == [0.0] * n
    assert advantage[n:].tolist() == pytest.approx([-1.0, 1.0] if scale else [-0.5, 0.5])


@pytest.mark.parametrize("scale", [False, True])
def test_group_of_one_is_zero(scale: bool) -> None:
    """One completion has no baseline but itself."""
    assert group_relative(torch.tensor([2.5, 1.5]), torch.tensor([0, 1]), scale=scale).tolist() == [0.0, 0.0]


@searched
@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(-50, 50)), min_size=1, max_size=20),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_group_relative_on_any_groups(
    pairs: list[tuple[int, int]],
    scale: bool,
    random: Random,
) -> None:
    """Each group against its own plain mean, in any order, whatever the level of the outcomes."""
    group = torch.tensor([g for g, _ in pairs], dtype=torch.int32)
    outcome = torch.tensor([x / 10 for _, x in pairs], dtype=torch.float64)
    advantage = group_relative(outcome, group, scale=scale)
    for name in group.unique():
        own = outcome[group == name]
        expected = own - own.mean()
        if scale:
            expected = expected / (own.std(correction=0) + 1e-8) * (own.max() > own.min())
        assert_near(advantage[group == name], expected, 1e-9)
    order = list(range(len(pairs)))
    random.shuffle(order)
    assert_near(group_relative(outcome[order], group[order], scale=scale), advantage[order], 1e-9)
    assert_near(group_relative(outcome + 3.0, group, scale=scale), advantage, 1e-9)


@pytest.mark.parametrize(
    ("outcome", "group", "message"),
    [
        (torch.zeros(3), torch.zeros(2, dtype=torch.int64), r"outcome \[3\], group \[2\]"),
        (torch.zeros(2, 2), torch.zeros(2, 2, dtype=torch.int64), r"one shape \[n\]; got outcome \[2, 2\]"),
        (torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.int64), "outcome must be floating"),
        (torch.zeros(2), torch.zeros(2), "group must be integer; got torch.float32"),
        (torch.zeros(2), torch.zeros(2, dtype=torch.bool), "group must be integer; got torch.bool"),
    ],
)
def test_bad_groups(outcome: Tensor, group: Tensor, message: str) -> None:
    """What does not fit is named with what it is."""
    with pytest.raises(ValueError, match=message):
        group_relative(outcome, group)


# Standardized advantages.


@pytest.mark.parametrize("junk", JUNK)
def test_standardize_by_hand(junk: float) -> None:
    """Valid are 1, 2, 6: mean 3, sum of squares 4 + 1 + 9 = 14, sample variance 14/2 = 7."""
    x = torch.tensor([[1.0, junk], [2.0, 6.0]], dtype=torch.float64)
    valid = torch.tensor([[True, False], [True, True]])
    root = 7**0.5
    full, scale, none = (standardize(x, valid, mode=mode).flatten().tolist() for mode in ("full", "scale", "none"))
    assert full == pytest.approx([-2 / root, 0.0, -1 / root, 3 / root], rel=1e-7)
    assert scale == pytest.approx([1 / root, 0.0, 2 / root, 6 / root], rel=1e-7)
    assert none == [1.0, 0.0, 2.0, 6.0]
    assert standardize(x, valid).flatten().tolist() == full
    # The reset row counted as valid, or the population's variance of 14/3, would be seen.
    if junk == 0.0:
        assert standardize(x, torch.ones_like(valid)).flatten().tolist() != pytest.approx(full, rel=1e-2)
    assert full[0] != pytest.approx(-2 / (14 / 3) ** 0.5, rel=1e-2)


def test_standardize_one_entry() -> None:
    """One entry has no deviation: it is centred or kept, never NaN or huge."""
    x, valid = torch.tensor([float("nan"), 3.0]), torch.tensor([False, True])
    assert standardize(x, valid, mode="full").tolist() == [0.0, 0.0]
    assert standardize(x, valid, mode="scale").tolist() == [0.0, 3.0]
    assert standardize(x, valid, mode="none").tolist() == [0.0, 3.0]


@pytest.mark.parametrize("number", [0.1, 1e7 / 3, -0.7])
def test_standardize_equal_entries(number: float) -> None:
    """Equal advantages say nothing: exactly 0, not rounding scaled up."""
    x = torch.full((7,), number)
    assert standardize(x, torch.ones(7, dtype=torch.bool)).tolist() == [0.0] * 7


@searched
@given(
    st.lists(st.tuples(st.integers(-100, 100), st.booleans()), min_size=2, max_size=20),
    st.sampled_from(JUNK),
    st.floats(0.5, 4.0),
)
def test_standardize_on_any_entries(pairs: list[tuple[int, bool]], junk: float, factor: float) -> None:
    """Mean 0 and deviation 1 over the valid; the same in any units; signs kept by `scale`."""
    x = torch.tensor([a / 10 for a, _ in pairs], dtype=torch.float64)
    valid = torch.tensor([b for _, b in pairs])
    own = x[valid]
    if len(own) < 2 or own.max() == own.min():
        return
    dirty = torch.where(valid, x, junk)
    full, scale = standardize(dirty, valid), standardize(dirty, valid, mode="scale")
    assert torch.equal(full, standardize(x, valid))
    assert full[~valid].tolist() == scale[~valid].tolist() == [0.0] * int((~valid).sum())
    assert abs(float(full[valid].mean())) < 1e-9
    assert float(full[valid].std()) == pytest.approx(1.0, rel=1e-6)
    assert torch.equal(scale.sign()[valid], own.sign())
    assert float(scale[valid].std()) == pytest.approx(1.0, rel=1e-6)
    assert_near(standardize(factor * x + 1.0, valid), full, 1e-5)


@pytest.mark.parametrize(
    ("x", "valid", "mode", "message"),
    [
        (torch.zeros(3), torch.ones(2, dtype=torch.bool), "full", r"x \[3\], valid \[2\]"),
        (torch.zeros(3, dtype=torch.int64), torch.ones(3, dtype=torch.bool), "full", "x must be floating"),
        (torch.zeros(3), torch.ones(3), "full", "valid must be bool"),
        (torch.zeros(3), torch.ones(3, dtype=torch.bool), "half", "'full', 'scale' or 'none'; got 'half'"),
        (torch.zeros(3), torch.zeros(3, dtype=torch.bool), "full", "at least one valid entry; got none of 3"),
        (torch.zeros(3), torch.zeros(3, dtype=torch.bool), "scale", "at least one valid entry; got none of 3"),
    ],
)
def test_bad_standardize(x: Tensor, valid: Tensor, mode: str, message: str) -> None:
    """What does not fit is named with what it is; a mean over nothing is an error."""
    with pytest.raises(ValueError, match=message):
        standardize(x, valid, mode=mode)  # type: ignore[arg-type]
