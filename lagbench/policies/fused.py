"""Actor and critic in one fused pass: one batched product per layer, and an explicit gradient in one vector."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from lagbench.policies.flat import pieces

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_MINUS_ONE = torch.tensor(-1.0, dtype=torch.float32, device="cpu")  # independent of the host's defaults

Outputs = tuple[Tensor, Tensor, Tensor]
"""Log-probabilities and entropies, one per action, and values, one per observation."""


class Views(NamedTuple):
    """Views of a vector of weights, or of their gradient, for the products; a dimension of 2 is (actor, critic).

    Attributes:
        vector: ``log_std``, then weight and bias of each layer of the actor, then of the critic.
        hidden: for each hidden layer the weights [2, out, in], their transpose, and the biases [2, 1, out].
        actor: weight [act, in] and bias [act, 1] of the actor's last layer.
        critic: weight [1, in] and bias [1] of the critic's last layer.
        log_std: [act, 1].
    """

    vector: Tensor
    hidden: Sequence[tuple[Tensor, Tensor, Tensor]]
    actor: tuple[Tensor, Tensor]
    critic: tuple[Tensor, Tensor]
    log_std: Tensor

    @classmethod
    def of(cls, vector: Tensor, parameters: Sequence[Tensor]) -> Self:
        """The views of a vector in which these parameters are stored contiguously."""
        log_std, *layers = pieces(vector, parameters)
        actor, critic = layers[: len(layers) // 2], layers[len(layers) // 2 :]
        apart = critic[0].storage_offset() - actor[0].storage_offset()
        pairs = [vector.as_strided((2, *x.shape), (apart, *x.stride()), x.storage_offset()) for x in actor[:-2]]
        return cls(
            vector,
            [(weight, weight.mT, bias.unsqueeze(1)) for weight, bias in zip(pairs[::2], pairs[1::2], strict=True)],
            (actor[-2], actor[-1].unsqueeze(1)),
            (critic[-2], critic[-1]),
            log_std.unsqueeze(1),
        )


class ActorCritic(torch.autograd.Function):
    """log N(action; actor(x), exp(log_std)²), its entropy, and critic(x), for rows x.

    There may be fewer actions than rows; they belong to the first rows. Second derivatives are computed through
    ``plain``, which returns the same outputs by torch's own operations.
    """

    @staticmethod
    def forward(
        ctx: Any,
        plain: Callable[[], Outputs],
        weights: Views,
        gradient: Views,
        x: Tensor,
        action: Tensor,
        *parameters: Tensor,
    ) -> Outputs:
        """Rows x [n, obs], actions [m, act]; ``weights`` share memory with ``parameters``, ``gradient`` does not."""
        layers = [x.expand(2, *x.shape)]
        for _, transposed, bias in weights.hidden:
            # tanh(u) = 2σ(2u) − 1, as in policies/mlp.py.
            y = torch.baddbmm(bias, layers[-1], transposed, beta=2, alpha=2).sigmoid_()
            layers.append(torch.add(_MINUS_ONE, y, alpha=2, out=y))
        for_actor, for_critic = layers[-1].unbind()
        (n, size), rows = action.shape, len(x)
        for_actor = for_actor if n == rows else for_actor[:n]
        weight, bias = weights.actor
        std = weights.log_std.exp()
        # [act, m], the faster layout of narrow products.
        mean = torch.addmm(bias, weight, for_actor.t())
        z = torch.sub(action.t(), mean, out=mean).div_(std)
        squares, scale = z.square(), weights.log_std.sum()
        log_prob = squares.sum(0).mul_(-0.5).sub_(scale + size * HALF_LOG_2PI)
        entropy = (scale + size * (HALF_LOG_2PI + 0.5)).expand(n)
        weight, bias = weights.critic
        value = torch.addmv(bias, for_critic, weight[0])
        ctx.set_materialize_grads(False)
        ctx.plain, ctx.weights, ctx.gradient = plain, weights, gradient
        ctx.work = z, squares, std, layers, for_actor, for_critic
        ctx.parameters, ctx.versions = parameters, [x._version for x in _used(parameters)]
        return log_prob, entropy, value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        """See ``torch.autograd.Function``. Raises RuntimeError if a weight has changed since ``forward``."""
        parameters = ctx.parameters
        if ctx.versions != [x._version for x in _used(parameters)]:
            raise RuntimeError("a weight was changed between `evaluate` and `backward`; evaluate again")
        needed = ctx.needs_input_grad[-len(parameters) :]
        if torch.is_grad_enabled():
            found = _by_autograd(ctx.plain(), gradients, parameters, needed)
        else:
            _fill(ctx.gradient, ctx.weights, *ctx.work, *gradients)
            found = _reached(pieces(ctx.gradient.vector.clone(), parameters), *gradients)
        if not all(needed):
            found = [g if need else None for g, need in zip(found, needed, strict=True)]
        return None, None, None, None, None, *found


def _used(parameters: Sequence[Tensor]) -> Sequence[Tensor]:
    """The parameters that the gradient depends on: in both networks, the weights of all layers but the first."""
    half = len(parameters) // 2
    return *parameters[3 : half + 1 : 2], *parameters[half + 3 :: 2]


def _fill(
    gradient: Views,
    weights: Views,
    z: Tensor,
    squares: Tensor,
    std: Tensor,
    layers: Sequence[Tensor],
    for_actor: Tensor,
    for_critic: Tensor,
    by_log_prob: Tensor | None,
    by_entropy: Tensor | None,
    by_value: Tensor | None,
) -> None:
    """Write the gradient of each weight; arbitrary finite values for weights that no output gradient reaches."""
    n, rows = z.shape[1], len(for_critic)
    d = torch.empty_like(layers[-1])
    by_actor, by_critic = d.unbind()
    if by_log_prob is None:
        by_actor.zero_()
        gradient.log_std.zero_()
    else:
        if n < rows:
            by_actor[n:].zero_()
            by_actor = by_actor[:n]
        torch.mm(squares, by_log_prob.unsqueeze(1), out=gradient.log_std).sub_(by_log_prob.sum())
        by_mean = (z * by_log_prob).div_(std)
        torch.mm(by_mean, for_actor, out=gradient.actor[0])
        torch.sum(by_mean, 1, keepdim=True, out=gradient.actor[1])
        torch.mm(by_mean.t(), weights.actor[0], out=by_actor)
    if by_entropy is not None:
        gradient.log_std.add_(by_entropy.sum())
    if by_value is None:
        by_critic.zero_()
    else:
        torch.mm(by_value.unsqueeze(0), for_critic, out=gradient.critic[0])
        torch.sum(by_value, 0, keepdim=True, out=gradient.critic[1])
        torch.mul(by_value.unsqueeze(1), weights.critic[0], out=by_critic)
    for i in reversed(range(len(weights.hidden))):
        weight, transposed, bias = gradient.hidden[i]
        d = torch.ops.aten.tanh_backward(d, layers[i + 1])
        torch.sum(d, 1, keepdim=True, out=bias)
        if i:
            torch.bmm(d.mT, layers[i], out=weight)
            d = torch.bmm(d, weights.hidden[i][0])
        else:
            # Observations are narrow, and slow as the right side of a product.
            transposed.copy_(torch.bmm(layers[0].mT, d))


def _reached(
    parts: list[Tensor], by_log_prob: Tensor | None, by_entropy: Tensor | None, by_value: Tensor | None
) -> list[Tensor | None]:
    """The gradients, None for weights that no output gradient reaches."""
    found: list[Tensor | None] = [*parts]
    half = len(parts) // 2
    if by_log_prob is None:
        found[1 : 1 + half] = [None] * half
        if by_entropy is None:
            found[0] = None
    if by_value is None:
        found[1 + half :] = [None] * half
    return found


def _by_autograd(
    outputs: Outputs, gradients: Sequence[Tensor | None], parameters: Sequence[Tensor], needed: Sequence[bool]
) -> list[Tensor | None]:
    """The gradient of each parameter, differentiable again."""
    of, by = zip(*((o, g) for o, g in zip(outputs, gradients, strict=True) if g is not None), strict=True)
    wanted = [p for p, need in zip(parameters, needed, strict=True) if need]
    found = iter(torch.autograd.grad(of, wanted, by, create_graph=True, allow_unused=True))
    return [next(found) if need else None for need in needed]
