"""Export of a run's language model as a Hugging Face model directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lagbench.errors import UsageError
from lagbench.policies.pretrained import quiet
from lagbench.records.export import Export, Progress, appearing, refuse_what_is_there
from lagbench.records.reader import Run
from lagbench.tasks.gsm8k.task import GSM8kTask
from lagbench.tasks.spec import load_task


def write(run: Run, out: Path, progress: Progress) -> Export:
    """Write the weights after the last phase, with configuration, tokenizer and generation settings.

    See ``export``. Raises RecordError if the run has no policy.
    """
    task = load_task(run.spec.task, run.spec.task_options)
    if not isinstance(task, GSM8kTask):
        raise UsageError(
            f"Hugging Face's format is for language models, which the policy of {run.spec.task} is not; it is in "
            f"{run.path / 'policy.safetensors'}"
        )
    refuse_what_is_there(out)
    from transformers import GenerationConfig

    policy: Any = run.policy()
    source = task.pretrained()
    model = policy.model
    with quiet(), appearing(out) as directory:
        # The run sampled from the whole vocabulary, whatever the pretrained model's settings are.
        model.generation_config = GenerationConfig(
            do_sample=True,
            temperature=policy.temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=task.max_new_tokens,
            eos_token_id=list(source.ends),
            bos_token_id=source.tokenizer.bos_token_id,
            pad_token_id=source.ends[0] if source.tokenizer.pad_token_id is None else source.tokenizer.pad_token_id,
        )
        model.save_pretrained(directory)
        source.tokenizer.save_pretrained(directory)
    weights = sum(p.numel() for p in policy.parameters())
    progress(weights, weights)
    return Export(out, {"weights": weights})
