"""Try every kind of causal language model in transformers, small and with random weights.

    python -m scripts.language_models [KIND …]

Prints the lists of docs/gsm8k.md: the kinds that run, those that are refused, and those that were not tried because
SIZES and OWN do not make them small. For kinds given as arguments, prints one line each, with the reason.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from lagbench.errors import UsageError
from lagbench.policies import halves
from lagbench.policies.causal_lm import CausalLMPolicy
from lagbench.policies.pretrained import quiet
from lagbench.policies.rehearsal import rehearse_own

SIZES: Mapping[str, Any] = {
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input"), 257),
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "embed_dim", "dim", "model_dim", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "decoder_ffn_dim", "encoder_ffn_dim"), 64),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers", "encoder_layers"), 4),
    **dict.fromkeys(("num_attention_heads", "n_head", "num_heads", "n_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "multi_query_group_num", "linear_num_key_heads"), 2),
    **dict.fromkeys(("head_dim", "attention_head_dim", "linear_key_head_dim", "linear_value_head_dim"), 8),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 32),
    **dict.fromkeys(("num_experts_per_tok", "moe_k", "num_experts_per_token"), 2),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx"), 128),
    **dict.fromkeys(("pad_token_id", "bos_token_id"), 1),
    "eos_token_id": 0,
    "encoder_attention_heads": 4,
    "linear_num_value_heads": 4,
    "state_size": 4,
    "time_step_rank": 2,
    "rotary_dim": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "global_head_dim": 16,
    "hidden_size_per_layer_input": 8,
    "n_group": 1,
    "topk_group": 1,
    "initializer_range": 0.3,
}
OWN: Mapping[str, Mapping[str, Any]] = {
    "bailing_hybrid": {"layer_types": ["linear_attention", "full_attention"] * 2},
    "bamba": {"mamba_n_heads": 4, "mamba_d_head": 16, "attn_layer_indices": [1]},
    "blt": {"encoder_hash_byte_group_vocab": 64},
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4}}},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0},
        "ffn_config": {"ffn_hidden_size": 32, "moe_num_experts": 4, "moe_top_k": 2, "hidden_size": 32},
    },
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "dots3_note_text": {
        "shared_experts_intermediate_size": 32,
        "head_dim": 16,
        "index_head_dim": 16,
        "index_n_heads": 4,
        "per_layer_config": {},
        "layer_types": ["indexed_attention", "sliding_attention"] * 2,
        "mlp_layer_types": ["dense", "sparse"] * 2,
    },
    "gemma3n_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "num_kv_shared_layers": 2,
        "laurel_rank": 8,
        "activation_sparsity_pattern": [0.0] * 4,
    },
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "granitemoehybrid": {"mamba_n_heads": 4, "mamba_d_head": 16, "layer_types": ["mamba", "attention"] * 2},
    "kimi_linear": {"layer_types": ["linear_attention", "full_attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 1},
    "longcat_flash": {
        "ffn_hidden_size": 64,
        "expert_ffn_hidden_size": 32,
        "zero_expert_num": 2,
        "moe_topk": 2,
        "qk_head_dim": 16,
    },
    "mamba2": {"head_dim": 16, "n_groups": 1},
    "qwen4_exp_text": {
        "layer_types": ["linear_attention", "indexed_attention"] * 2,
        "hc_lowrank": 8,
        "ple_embed_dim": 32,
        "ngram_vocab_size_base": 512,
        "split_ngram_parts": 1,
        "heads_per_ngram": 2,
        "indexer_n_heads": 4,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 64,
        "indexer_compress_ratio": 4,
    },
    "reformer": {
        "is_decoder": True,
        "attn_layers": ["local", "local"],
        "axial_pos_shape": [8, 16],
        "axial_pos_embds_dim": [16, 16],
        "attention_head_size": 8,
        "feed_forward_size": 64,
    },
    "xlm": {"emb_dim": 32, "causal": True},
    "zamba": {
        "layers_block_type": ["linear_attention", "hybrid"] * 2,
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
        "mamba_dt_rank": 2,
        "use_mamba_kernels": False,
    },
    "zamba2": {
        "layers_block_type": ["linear_attention", "hybrid"] * 2,
        "hybrid_layer_ids": [1, 3],
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
        "n_mamba_heads": 4,
        "mamba_headdim": 16,
        "use_mamba_kernels": False,
    },
    "zaya": {"layer_types": ["hybrid"] * 4, "router_hidden_size": 16, "num_experts_per_tok": 1},
}
"""Further settings that make a kind small."""
PROMPT = (5, 6, 7, 9, 11, 2, 8)
_MOST = 20_000_000  # weights
_DEPENDS = "its output for a token depends"
_WRAP: Mapping[str, Any] = {"subsequent_indent": "  ", "break_long_words": False, "break_on_hyphens": False}


class Tried(NamedTuple):
    """Outcome of a kind: ``runs``, ``refused`` or ``untried``, the reason, and whether its head is computed apart."""

    outcome: str
    why: str = ""
    apart: bool = False


def kinds() -> list[str]:
    """The kinds, by their names in transformers."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def tried(kind: str) -> Tried:
    """Try a kind, with random weights from a fixed seed."""
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            config = _small(kind)
            size = sum(p.numel() for p in _made(config).parameters())
        if size > _MOST:
            return Tried("untried", f"{size:,} weights")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = _made(config).float()
    except Exception as error:  # the smaller configuration can break it in any way
        return Tried("untried", _said(error))
    try:
        rehearse_own(CausalLMPolicy(model), PROMPT)
    except UsageError as error:
        return Tried("refused", str(error).split(": ", 1)[1].rsplit("; ", 1)[0])
    return Tried("runs", apart=halves.separable(model))


def _small(kind: str) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(kind, **{**_sizes(AutoConfig.for_model(kind).to_dict()), **OWN.get(kind, {})})


def _sizes(known: Mapping[str, Any]) -> dict[str, Any]:
    """Small sizes for a configuration and its nested ones, such as those of text and images."""
    sizes = {name: x for name, x in SIZES.items() if name in known}
    if "kv_lora_rank" in known:
        sizes["num_key_value_heads"] = SIZES["num_attention_heads"]  # all are made of one latent vector
    for name, inner in known.items():
        if isinstance(inner, Mapping) and (kind := inner.get("model_type")):
            sizes[name] = {"model_type": kind, **_sizes(inner), **OWN.get(kind, {})}
    return sizes


def _made(config: Any) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_config(config, attn_implementation="eager")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    with quiet(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def lists(found: Mapping[str, Tried]) -> str:
    """The kinds by outcome, in the format of docs/gsm8k.md."""
    groups = {
        "Runs, head apart from the body": [k for k, x in found.items() if x.apart],
        "Runs, head with the body": [k for k, x in found.items() if x.outcome == "runs" and not x.apart],
        "Refused, depends on padding or later tokens": [k for k, x in found.items() if x.why.startswith(_DEPENDS)],
        "Refused, fails": [k for k, x in found.items() if x.outcome == "refused" and not x.why.startswith(_DEPENDS)],
        "Not tried": [k for k, x in found.items() if x.outcome == "untried"],
    }
    return "\n".join(
        textwrap.fill(f"- {name} ({len(own)}): {', '.join(f'`{k}`' for k in own)}", 140, **_WRAP)
        for name, own in groups.items()
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the lists, or a line per given kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND")
    named = parser.parse_args(arguments).kinds
    found = {}
    for kind in named or kinds():
        with _silent():
            found[kind] = tried(kind)
    print("\n".join(f"{kind}: {x.outcome} {x.why}".strip() for kind, x in found.items()) if named else lists(found))


if __name__ == "__main__":
    main()
