"""A causal language model as Hugging Face's tools keep it: a hub id, a local directory or a GGUF file."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from lagbench.errors import UsageError

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "*.gguf")
_IDLE_FILES = {".md", ".py", ".tmp", ""}
_Part = TypeVar("_Part")


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A tokenizer, a configuration, and where the weights are.

    Attributes:
        source: as it was asked for.
        sha256: of the files, by name; of a hub id, of its commit.
        tokenizer: of transformers.
        config: of transformers.
        ends: the tokens that end a completion: the tokenizer's own first, then those that the model's generation
            configuration names beside it, as far as the tokenizer has them for special.
    """

    source: str
    sha256: str
    tokenizer: Any
    config: Any
    ends: tuple[int, ...]
    _where: tuple[str, dict[str, Any]]

    @property
    def vocabulary(self) -> int:
        """How many tokens the model knows."""
        return int(self.config.get_text_config().vocab_size)

    @property
    def context(self) -> int:
        """The most tokens that the model can see."""
        return int(getattr(self.config, "max_position_embeddings", None) or sys.maxsize)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Texts as tokens, with what the tokenizer puts before any text."""
        return [list(ids) for ids in self.tokenizer(list(texts), verbose=False)["input_ids"]]

    def chat(self, texts: Sequence[str]) -> list[list[int]]:
        """Texts as the user's turn of a chat, up to where the answer begins. Raises UsageError without a template."""
        if not self.tokenizer.chat_template:
            raise UsageError(
                f"{self.source!r} has no chat template, so it cannot be asked as in a chat; give --task-set "
                "prompt=plain, or a model that was tuned to follow instructions"
            )
        turns = [[{"role": "user", "content": text}] for text in texts]
        formatted = self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        return [list(ids) for ids in self.tokenizer(formatted, add_special_tokens=False, verbose=False)["input_ids"]]

    def text(self, tokens: Sequence[int]) -> str:
        """Tokens as text: all of it but the end token."""
        kept = [t for t in tokens if t not in self.ends]
        return str(self.tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def model(self, *, weights: bool = True) -> nn.Module:
        """The model in float32, newly made; without ``weights`` they are arbitrary. Raises UsageError."""
        from transformers import AutoModelForCausalLM

        # What initialises weights that are read afterwards must leave the global generator as it was.
        with _quiet(), torch.random.fork_rng(devices=[]):
            if not weights:
                bare: nn.Module = AutoModelForCausalLM.from_config(self.config, dtype=torch.float32)
                return bare
            name, options = self._where
            loaded, found = _had(
                lambda: AutoModelForCausalLM.from_pretrained(
                    name, dtype=torch.float32, output_loading_info=True, **_dequantized(options)
                ),
                self.source,
                "weights",
            )
        if missing := sorted(found["missing_keys"]):
            raise UsageError(
                f"{self.source!r} has weights, but not all of its model: {missing[0]} is missing; give a complete one"
            )
        made: nn.Module = loaded
        return made


def find(source: str) -> Pretrained:
    """The model that ``source`` names: a directory, a GGUF file, or else an id on the Hugging Face hub.

    Its weights are not loaded yet. Raises UsageError where there is none, it cannot be reached, files are missing, or
    it has no token to end with.
    """
    try:
        import transformers  # noqa: F401
    except ImportError:
        raise UsageError("language models need an extra: pip install 'lagbench[gsm8k]'") from None
    path = Path(source).expanduser()
    changed = max((f.stat().st_mtime_ns for f in _files(path)), default=0) if path.exists() else 0
    return _find(source, changed)


@functools.lru_cache(maxsize=4)
def _find(source: str, changed: int) -> Pretrained:
    from transformers import AutoConfig, AutoTokenizer

    name, options = _where(source)
    with _quiet():
        if not Path(name).exists():
            options = {"revision": _had(lambda: _commit(name), source, "config.json")}
        config = _had(lambda: AutoConfig.from_pretrained(name, **options), source, "config.json")
        tokenizer = _had(lambda: AutoTokenizer.from_pretrained(name, **options), source, "tokenizer")
    if tokenizer.eos_token_id is None:
        raise UsageError(
            f"the tokenizer of {source!r} has no end token, by which a completion ends; set eos_token in its "
            "tokenizer_config.json"
        )
    size = int(config.get_text_config().vocab_size)
    if (most := max(tokenizer.get_vocab().values())) >= size:
        raise UsageError(
            f"the tokenizer of {source!r} has tokens that its model lacks: number {most} of {size}; give a model with "
            "the tokenizer that it was made with"
        )
    ends = (int(tokenizer.eos_token_id), *_more_ends(source, name, options, tokenizer))
    return Pretrained(source, _sha256(source, options), tokenizer, config, ends, (name, options))


def _where(source: str) -> tuple[str, dict[str, Any]]:
    """What transformers is to be given for ``source``. Raises UsageError for a directory that is no model's."""
    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix != ".gguf":
            raise UsageError(f"{source!r} is no model: give a directory, a .gguf file or an id on the Hugging Face hub")
        return str(path.parent), {"gguf_file": path.name}
    if not path.is_dir():
        if path.is_absolute() or source.startswith((".", "~")) or source.count("/") > 1:
            raise UsageError(f"there is no model {source!r}; give a directory, a .gguf file or an id on the hub")
        return source, {}
    if not any(file for pattern in _WEIGHTS for file in path.glob(pattern)):
        raise UsageError(f"{source!r} holds no weights (*.safetensors, *.gguf); restore them, or give another model")
    quantized = sorted(path.glob("*.gguf"))
    if quantized and not (path / "config.json").is_file():
        return str(path), {"gguf_file": quantized[0].name}
    return str(path), {}


def _more_ends(source: str, name: str, options: Mapping[str, Any], tokenizer: Any) -> list[int]:
    """The end tokens beside the tokenizer's own: a chat model may end its turn or the text."""
    from transformers.utils.hub import cached_file

    if "gguf_file" in options:
        return []
    kept = "generation_config.json"
    file = _had(lambda: cached_file(name, kept, _raise_exceptions_for_missing_entries=False, **options), source, kept)
    found = _had(lambda: json.loads(Path(file).read_bytes()), source, kept).get("eos_token_id") if file else None
    named = found if isinstance(found, list) else [found]
    # A configuration that was never set has a class's defaults, which are ordinary tokens of another tokenizer.
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return sorted(special.intersection(named) - {tokenizer.eos_token_id})


def _commit(name: str) -> str:
    """The commit of what the hub, or its cache on this machine, has under that id now."""
    from transformers.utils.hub import cached_file, extract_commit_hash

    found = extract_commit_hash(cached_file(name, "config.json"), None)
    if found is None:
        raise UsageError(f"which version of {name!r} this is cannot be told; give a local directory instead")
    return str(found)


def _had(load: Callable[[], _Part], source: str, part: str) -> _Part:
    """What ``load`` gives. Raises UsageError where it raises, of whatever kind: that depends on what is missing."""
    try:
        return load()
    except UsageError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        local = Path(source).expanduser().exists()
        then = "restore it" if local else "without network, give a local directory or .gguf file: --task-set model=DIR"
        place = repr(source) if local else f"{source!r} from the Hugging Face hub"
        raise UsageError(f"the {part} of {place} cannot be had ({reason}); {then}") from error


def _dequantized(options: dict[str, Any]) -> dict[str, Any]:
    if "gguf_file" not in options:
        return options
    from transformers import GgufConfig

    # In blocks it can be run but not trained.
    return {**options, "quantization_config": GgufConfig(dequantize=True)}


def _files(path: Path) -> list[Path]:
    """The files of a local model that can change what it does."""
    if path.is_file():
        return [path]
    return sorted(f for f in path.iterdir() if f.is_file() and f.suffix not in _IDLE_FILES)


def _sha256(source: str, options: dict[str, Any]) -> str:
    path = Path(source).expanduser()
    total = hashlib.sha256()
    if not path.exists():
        total.update(f"{source} {options['revision']}".encode())
        return total.hexdigest()
    for file in _files(path):
        with file.open("rb") as content:
            total.update(f"{file.name} {hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and advice of transformers' own on the terminal."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        # The bar over a GGUF's tensors heeds none of that.
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
