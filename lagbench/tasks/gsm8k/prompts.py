"""Prompts: questions as tokens."""

from __future__ import annotations

import functools
import operator
from datetime import date

from lagbench.errors import UsageError
from lagbench.policies.pretrained import Pretrained
from lagbench.tasks.gsm8k.data import Question

STYLES = ("chat", "plain")
"""``chat``: the model's chat template, for instruction-tuned models; ``plain``: text to continue."""

INSTRUCTION = '\n\nReason step by step. End with one line: "#### " and the answer as a number.'


def text(question: str, style: str) -> str:
    """The text of a prompt, before any chat template."""
    return question + INSTRUCTION if style == "chat" else f"Question: {question}\nAnswer:"


@functools.lru_cache(maxsize=8)
def encode(
    model: Pretrained, questions: tuple[Question, ...], style: str, day: date | None, max_new_tokens: int
) -> tuple[list[int], ...]:
    """Return the prompt tokens of each question; ``day`` is today's date for the chat template.

    Raises UsageError as ``Pretrained.chat``, if the model lacks a prompt's token, and if a prompt with the longest
    completion does not fit into the model's context.
    """
    asked = [text(q.question, style) for q in questions]
    tokens = model.chat(asked, day) if style == "chat" else model.tokens(asked)
    for q, own in zip(questions, tokens, strict=True):
        if (most := max(own, default=0)) >= model.vocabulary:
            raise UsageError(
                f"question {q.number} has a token that {model.source!r} lacks: number {most} of {model.vocabulary}; "
                "give a model with its original tokenizer"
            )
    lengths = ((q.number, len(own)) for q, own in zip(questions, tokens, strict=True))
    number, longest = max(lengths, key=operator.itemgetter(1), default=(0, 0))
    room = model.context - max_new_tokens
    if longest > room:
        left = model.context - longest
        fewer = f"--task-set max_new_tokens={left} or less, or " if left > 0 else ""
        raise UsageError(
            f"question {number}, the longest, has {longest} tokens, and with completions of up to {max_new_tokens} "
            f"only {max(room, 0)} fit into the {model.context} of {model.source!r}; give {fewer}another model"
        )
    return tuple(tokens)
