"""Running moments are those of all rows at once, and the normalizer is one formula on both sides."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lagbench.policies.normalizer import CLIP, Normalizer, RunningMoments, normalize, normalize_into


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=8), st.floats(-1e6, 1e6), st.floats(1e-3, 1e3), st.integers(0, 99)
)
def test_batches_merge_to_the_moments_of_all_rows(sizes: list[int], centre: float, spread: float, seed: int) -> None:
    rows = centre + spread * np.random.default_rng(seed).standard_normal((sum(sizes), 3))
    moments = RunningMoments(3)
    for batch in np.split(rows, np.cumsum(sizes)[:-1]):
        moments.update(torch.from_numpy(batch))
    assert float(moments.count) == len(rows)
    if not len(rows):
        assert moments.mean.tolist() == [0, 0, 0]
        assert moments.variance.tolist() == [1, 1, 1]
        return
    # In the units of the data: a naive sum of squares would lose all digits of a small spread around a large centre.
    np.testing.assert_allclose(moments.mean, rows.mean(0), rtol=1e-12, atol=1e-9 * spread)
    np.testing.assert_allclose(moments.variance, rows.var(0), rtol=1e-6, atol=1e-6 * spread**2)


def test_a_scalar_has_moments_too() -> None:
    moments = RunningMoments()
    moments.update(torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64))
    assert float(moments.mean) == 3.0
    assert float(moments.variance) == pytest.approx(14 / 3, rel=1e-14)
    assert float(moments.inverse_std) == pytest.approx((14 / 3 + 1e-8) ** -0.5, rel=1e-14)


def test_float32_rows_are_summed_in_float64() -> None:
    rows = torch.full((1000, 1), 0.1, dtype=torch.float32)
    moments = RunningMoments(1)
    for _ in range(100):
        moments.update(rows)
    assert moments.mean.dtype == torch.float64
    assert abs(float(moments.mean) - float(np.float32(0.1))) < 1e-15
    assert float(moments.variance) < 1e-15


def test_nothing_seen_leaves_observations_as_they_are() -> None:
    x = torch.tensor([[0.5, -2.0]], dtype=torch.float64)
    torch.testing.assert_close(Normalizer(2)(x), x.float())


def test_observations_come_out_centred_scaled_clipped_and_in_float32() -> None:
    rows = np.random.default_rng(0).normal([5.0, -3.0], [2.0, 0.1], (500, 2))
    normalizer = Normalizer(2)
    normalizer.update(torch.from_numpy(rows))
    out = normalizer(torch.from_numpy(rows))
    assert out.dtype == torch.float32
    expected = (rows - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-8)
    np.testing.assert_allclose(out, expected, atol=1e-6)
    far = torch.tensor([[1e9, -1e9]], dtype=torch.float64)
    assert normalizer(far).tolist() == [[CLIP, -CLIP]]


def test_a_constant_observation_is_zero_and_not_nan() -> None:
    normalizer = Normalizer(1)
    normalizer.update(torch.full((10, 1), 3.0, dtype=torch.float64))
    assert normalizer(torch.tensor([[3.0]], dtype=torch.float64)).tolist() == [[0.0]]


def test_the_input_is_left_alone_and_the_shape_kept() -> None:
    x = torch.randn(4, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 100
    before = x.clone()
    out = Normalizer(2)(x)
    assert out.shape == x.shape
    assert torch.equal(x, before)


def test_rows_of_several_normalizers_take_the_same_formula() -> None:
    # Stacked actors normalize row by row with moments of their own: the bits must be the learner's.
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 5, dtype=torch.float64, generator=generator)
    several = [Normalizer(5) for _ in range(6)]
    for n in several:
        n.update(torch.randn(20, 5, dtype=torch.float64, generator=generator))
    stacked = normalize(x, torch.stack([n.mean for n in several]), torch.stack([n.inverse_std for n in several]))
    assert torch.equal(stacked, torch.stack([n(row) for n, row in zip(several, x, strict=True)]))


def test_actors_normalize_to_the_very_bits_of_the_learner() -> None:
    generator = torch.Generator().manual_seed(0)
    x = 10 ** torch.linspace(-9, 9, 400, dtype=torch.float64) * torch.randn(400, generator=generator).double()
    x = torch.cat([x, torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan], dtype=torch.float64)])[:, None]
    mean, inverse_std = torch.randn(2, 405, 1, dtype=torch.float64, generator=generator).abs()
    out = np.empty((405, 1), np.float32)
    normalize_into(out, x.numpy(), mean.numpy(), inverse_std.numpy(), np.empty((405, 1)))
    np.testing.assert_array_equal(out, normalize(x, mean, inverse_std))


def test_moments_are_saved_with_a_policy_and_learn_nothing() -> None:
    normalizer = Normalizer(2)
    normalizer.update(torch.randn(9, 2, generator=torch.Generator().manual_seed(0)))
    assert not list(normalizer.parameters())
    other = Normalizer(2)
    other.load_state_dict(normalizer.state_dict())
    for name in ("count", "mean", "variance"):
        assert torch.equal(getattr(other, name), getattr(normalizer, name))
