"""Clipping and Adam on weights that lie joined (``policies/flat.py``): each operation once for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from lagbench.policies.flat import pieces, whole


def clip_gradient_norm(parameters: Sequence[nn.Parameter], most: float) -> Tensor:
    """``torch.nn.utils.clip_grad_norm_``: scale all gradients to a norm of at most ``most``; the norm before."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    gradient = whole(gradients) if gradients else None
    if gradient is None:
        return nn.utils.clip_grad_norm_(parameters, most)
    norm: Tensor = torch.linalg.vector_norm(gradient)
    scale = most / (norm.item() + 1e-6)
    if not scale >= 1:  # nor where it is NaN
        gradient.mul_(scale)
    return norm


class _Joint(NamedTuple):
    """The moments of all of a group's parameters together; ``first`` is the first parameter's state, views of these."""

    first: Mapping[str, Tensor]
    steps: Tensor
    mean: Tensor
    square: Tensor


class Adam(torch.optim.Optimizer):
    """Adam (Kingma & Ba 2015, arXiv 1412.6980) by torch's fused kernel, with the state that ``torch.optim.Adam`` has.

    The parameters of a group are updated as one where all have gradients and these, and they themselves, lie joined.
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})
        self._joints: dict[int, _Joint] = {}  # by the group's number

    def zero_grad(self, set_to_none: bool = True) -> None:
        """See ``torch.optim.Optimizer.zero_grad``."""
        if not set_to_none:
            super().zero_grad(set_to_none)
            return
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def __setstate__(self, state: Any) -> None:
        """What a copy and ``load_state_dict`` end with: the state's tensors are others now."""
        super().__setstate__(state)
        self._joints = {}

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for number, group in enumerate(self.param_groups):
            parameters = [p for p in group["params"] if p.grad is not None]
            gradients = [p.grad for p in parameters]
            joint = None
            if len(parameters) == len(group["params"]) and (gradient := whole(gradients)) is not None:
                weight = whole(parameters)
                joint = None if weight is None else self._joint(number, parameters)
            if joint is not None:
                step = joint.steps[0]
                _adam(group, [weight], [gradient], [joint.mean], [joint.square], [step])
                joint.steps.fill_(step)
                torch.autograd.graph.increment_version(parameters)  # they have changed, and were not named
            elif parameters:
                self._joints.pop(number, None)
                states = [self._state(p) for p in parameters]
                _adam(
                    group, parameters, gradients, *([s[k] for s in states] for k in ("exp_avg", "exp_avg_sq", "step"))
                )

    def _state(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        return state

    def _joint(self, number: int, parameters: Sequence[Tensor]) -> _Joint | None:
        """The moments of a group, joined if they are not; None where its parameters have made different steps."""
        found = self._joints.get(number)
        if found and found.first is self.state.get(parameters[0]):
            return found
        states = [self._state(p) for p in parameters]
        steps, mean, square = (torch.cat([s[k].flatten() for s in states]) for k in ("step", "exp_avg", "exp_avg_sq"))
        if (steps != steps[0]).any():
            return None
        parts = zip(steps, pieces(mean, parameters), pieces(square, parameters), strict=True)
        for state, values in zip(states, parts, strict=True):
            state.update(zip(("step", "exp_avg", "exp_avg_sq"), values, strict=True))
        self._joints[number] = _Joint(states[0], steps, mean, square)
        return self._joints[number]


def _adam(group: Mapping[str, Any], *lists: Any) -> None:
    weights, gradients, means, squares, steps = lists
    beta1, beta2 = group["betas"]
    adam(
        weights,
        gradients,
        means,
        squares,
        [],
        steps,
        fused=True,
        amsgrad=False,
        beta1=beta1,
        beta2=beta2,
        lr=group["lr"],
        weight_decay=0.0,
        eps=group["eps"],
        maximize=False,
    )
