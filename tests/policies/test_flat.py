"""Tensors that lie one after the other: what is one vector, and what only looks like it."""

import torch

from lagbench.policies.flat import pieces, whole


def test_pieces_are_views_that_make_up_the_whole() -> None:
    vector = torch.arange(9.0)
    parts = pieces(vector, [torch.empty(2), torch.empty(2, 3), torch.empty(1, 1)])
    assert [x.tolist() for x in parts] == [[0, 1], [[2, 3, 4], [5, 6, 7]], [[8]]]
    joined = whole(parts)
    assert joined is not None
    joined.add_(1)
    assert vector.tolist() == [*range(1, 10)]


def test_what_is_no_vector() -> None:
    a, b, c = pieces(torch.arange(8.0), [torch.empty(2, 2), torch.empty(2), torch.empty(2)])
    part = whole([b, c])
    assert part is not None
    assert part.tolist() == [4, 5, 6, 7]
    assert whole([a, c]) is None  # a gap
    assert whole([b, a]) is None
    assert whole([a.t(), b, c]) is None  # in another order than it would be read
    assert whole([a, b.clone()]) is None
    assert whole([a, b.view(torch.int32), c]) is None


def test_weights_give_no_graph() -> None:
    parts = pieces(torch.zeros(4), [torch.empty(2), torch.empty(2)])
    joined = whole([torch.nn.Parameter(x) for x in parts])
    assert joined is not None
    assert not joined.requires_grad
