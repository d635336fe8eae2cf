"""Random models of some thousand weights with a tokenizer of single bytes, and questions in GSM8K's format."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

END = "<|end|>"
CHAT = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}<|assistant|>"


KINDS: dict[str, dict[str, Any]] = {
    "llama": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    # Without heads: states that recur, and nothing else.
    "mamba": {"hidden_size": 16, "state_size": 4, "num_hidden_layers": 2, "time_step_rank": 2},
    # States that recur in one layer, keys and values in the other.
    "qwen3_5_text": {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "layer_types": ["linear_attention", "full_attention"],
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
    },
    # Heads of another size in each layer, one of which uses the keys of another, one a window.
    "gemma4_text": {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 3,
        "layer_types": ["sliding_attention", "full_attention", "full_attention"],
        "num_kv_shared_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "global_head_dim": 16,
        "sliding_window": 4,
        "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": 257,
    },
    # It looks at later tokens.
    "bert": {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4},
    # Its positions count padding.
    "bart": {"d_model": 32, "decoder_ffn_dim": 32, "decoder_layers": 1, "decoder_attention_heads": 4},
    # Its states are kept in no cache.
    "rwkv": {"hidden_size": 16, "num_hidden_layers": 2},
}


def make_model(
    directory: Path, *, kind: str = "llama", context: int = 256, chat: str | None = None, seed: int = 0, **config: Any
) -> Path:
    """Save it as transformers does."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = make_tokenizer(chat=chat)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(
                kind,
                **{
                    "vocab_size": len(tokenizer),
                    "max_position_embeddings": context,
                    "bos_token_id": None,
                    "eos_token_id": tokenizer.eos_token_id,
                    "pad_token_id": None,
                    "initializer_range": 0.3,
                    **KINDS[kind],
                    **config,
                },
            )
        )
    model.generation_config.temperature = 0.1  # what no sampler of ours may look at
    model.generation_config.top_k = 1
    model.generation_config.do_sample = True
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def make_gguf(model: Path, file: Path) -> Path:
    """The same model as llama.cpp keeps one: a single file, in float32."""
    import gguf
    from transformers import AutoModelForCausalLM, AutoTokenizer

    llama, tokenizer = AutoModelForCausalLM.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    config = llama.config
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if t == END else gguf.TokenType.NORMAL for t in tokens])
    writer.add_token_scores([0.0] * len(tokens))  # from which transformers finds the merges: none
    writer.add_eos_token_id(tokenizer.eos_token_id)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, weight in llama.state_dict().items():
        array = weight.numpy()
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
        if heads:  # llama.cpp has the two halves of a rotation side by side
            array = array.reshape(heads, 2, -1, array.shape[-1]).swapaxes(1, 2).reshape(array.shape)
        place = names.get_name(name, try_suffixes=(".weight",))
        assert place is not None
        writer.add_tensor(place, array.copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@functools.cache
def make_tokenizer(chat: str | None = None) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    own = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=own, eos_token=END)
    tokenizer.chat_template = chat
    return tokenizer


def make_questions(n: int, first: int = 0) -> list[dict[str, str]]:
    return [
        {
            "question": f"Ann has {a} figs and eats 1. How many are left?",
            "answer": f"{a}-1=<<{a}-1={a - 1}>>\n#### {a - 1}",
        }
        for a in range(first + 1, first + n + 1)
    ]


def write_lines(file: Path, rows: Sequence[Any]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def make_data(directory: Path, train: int = 12, test: int = 6) -> Path:
    write_lines(directory / "train.jsonl", make_questions(train))
    write_lines(directory / "test.jsonl", make_questions(test, train))
    return directory
