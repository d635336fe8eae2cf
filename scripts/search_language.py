"""Hyperparameter search for the baselines' presets on language, the same for each, as in ``scripts/search.py``.

    python -m scripts.search_language -o runs/search-language-v1 -j 1

Four configurations per algorithm: two learning rates × two values of its own parameter, on GSM8kMini at lags 0 and 64
with the protocol of gsm8k-mini-v1, 5,120 completions, on seeds that no score uses. All four run on one seed, the best
two on two more. The score is the final accuracy of sampled answers to questions held out of training; both lags have
equal weight. Finished runs are kept in results/search-language-v1.arrow; when started again, it runs the missing ones.
It prints the table of docs/gsm8k.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import lagbench
from scripts.search import Search, command

SUITE = lagbench.load_suite("gsm8k-mini-v1")
PLAN: Mapping[str, Any] = {
    "budget": 5_120,
    "eval_episodes": 300,
    "eval_mode_episodes": 1,
    "eval_intervals": 1,
    "record": "episodes",
}
"""At lag 64 a fifth of the phases is warm-up; 300 is the number of held-out questions."""
OWN: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "ppo": ({"clip": 0.1}, {"clip": 0.2}),
    "ppo-kl": ({"target_kl": 0.001}, {"target_kl": 0.01}),
    "decoupled-ppo": ({"clip": 0.1}, {"clip": 0.2}),
    # A phase is one update: in updates, the average and the target are as old as on control.
    "ppo-ewma": ({"decay": 0.889}, {"decay": 0.964}),
    "impact": ({"target_every": 4}, {"target_every": 16}),
    "spo": ({"epsilon": 0.2}, {"epsilon": 0.4}),
    "impala": ({"rho_bar": 1.0}, {"rho_bar": 2.0}),
    "vaco": ({"delta": 0.003}, {"delta": 0.01}),
    "geppo": ({"clip": 0.1}, {"clip": 0.2}),
    "grpo": ({"clip": 0.2, "clip_high": 0.28}, {"clip": 0.1, "clip_high": 0.14}),
    "tis": ({"cap": 2.0}, {"cap": 5.0}),
    "cispo": ({"clip_high": 0.28}, {"clip_high": 4.0}),
    "gspo": ({"clip": 3e-4, "clip_high": 4e-4}, {"clip": 3e-3, "clip_high": 4e-3}),
    "m2po": ({"budget": 0.04}, {"budget": 0.01}),
    "dppo": ({"delta": 0.2}, {"delta": 0.05}),
    "topr": ({"standardize": "none"}, {"standardize": "group"}),
}
"""Two values of an algorithm's own parameters, including the paper's or the authors' if there are any."""


def _options(lag: int) -> dict[str, Any]:
    """The suite's protocol, evaluated on questions held out of training."""
    fixed = SUITE.options(lag)
    return {**fixed, **PLAN, "task_options": {**fixed["task_options"], "test": "held-out"}}


LANGUAGE = Search(
    tasks=SUITE.tasks,
    lags=(0, 64),
    configs={
        algorithm: [{"learning_rate": rate, **own} for rate, own in product((1e-4, 3e-4), values)]
        for algorithm, values in OWN.items()
    },
    options=_options,
    heads=("lag {lag}", "both"),
    forms=("{:.1%}", "{:.1%}"),
)
main = command(LANGUAGE, "search-language-v1")

if __name__ == "__main__":
    main()
