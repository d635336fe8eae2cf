"""The policy of language tasks: a causal model over tokens, whatever it is made of."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from lagbench.policies.base import Evaluation, Policy
from lagbench.rollout import Rollout

PADDING = -1


class CausalLMPolicy(Policy):
    """Completions by a causal language model, sampled from softmax(logits / temperature); no critic, no normalizer.

    Args:
        model: called as ``model(input_ids=…, attention_mask=…, position_ids=…)`` with integers [n, length]; returns
            logits [n, length, vocabulary] or an object that has them as ``.logits``. It must not look at masked tokens
            nor at later ones. Put into evaluation mode: dropout would make the learner another policy than the one that
            sampled.
        temperature: of sampling and learning alike; above 0.
    """

    has_critic: ClassVar[bool] = False

    def __init__(self, model: nn.Module, *, temperature: float = 1.0) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, not {temperature}")
        self.model = model.eval()
        self.temperature = temperature

    def evaluate(self, batch: Rollout) -> Evaluation:
        """See ``Policy.evaluate``: [T, n], each token given the prompt and the tokens before it; 0 where not valid.

        Positions count real tokens only, so that left padding shifts nothing. Raises ValueError without prompt tokens.
        """
        if not len(batch.observation):
            raise ValueError("a completion needs a prompt of at least one token")
        # What stands at masked tokens is not looked at, but must be in the vocabulary.
        tokens = torch.cat([batch.observation, batch.action])
        mask = torch.cat([batch.observation != PADDING, batch.valid])
        tokens = tokens.masked_fill(~mask, 0)
        # The logits that predict a token stand one row before it.
        logits = self.logits(tokens.T, mask.T)[:, len(batch.observation) - 1 : -1].transpose(0, 1)
        log_p = torch.log_softmax(logits.float() / self.temperature, dim=-1)
        chosen = log_p.gather(-1, tokens[len(batch.observation) :].unsqueeze(-1)).squeeze(-1)
        entropy = -(log_p.exp() * log_p).sum(-1)
        return Evaluation(chosen.masked_fill(~batch.valid, 0.0), entropy.masked_fill(~batch.valid, 0.0), None, None)

    def logits(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """The model's logits [n, length, vocabulary] for tokens [n, length]; those count where ``mask`` is true."""
        attention = mask.long()
        positions = (attention.cumsum(1) - 1).clamp(min=0)
        output = self.model(input_ids=tokens, attention_mask=attention, position_ids=positions)
        logits: Tensor = output if isinstance(output, Tensor) else output.logits
        return logits

    def acting_state(self) -> dict[str, Tensor]:
        """See ``Policy.acting_state``: the model's weights and buffers."""
        return {k: v.detach().to("cpu", copy=True) for k, v in self.model.state_dict().items()}
