"""Causal language models in Hugging Face formats: a hub id, a local directory or a GGUF file."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from lagbench.errors import UsageError
from lagbench.machine import Outside

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "*.gguf")
_IDLE_FILES = {".md", ".py", ".tmp", ""}
_CONFIG, _GENERATION, _ADAPTER = "config.json", "generation_config.json", "adapter_config.json"
# Two dates that differ in every part.
_DAYS = date(2001, 2, 3), date(2022, 11, 15)
_DIRECTIVES = (*"aAbBcdDeFGhHIjmMpSuUVwWxXyYZ", *(f"-{x}" for x in "dHIjmMSy"))
_Part = TypeVar("_Part")


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A tokenizer, a configuration, and the location of the weights.

    Attributes:
        source: the model's name as the user gave it.
        sha256: of the files with their names; for a hub id, of its commit.
        tokenizer: a transformers tokenizer.
        config: a transformers configuration.
        ends: the tokens that end a completion: the tokenizer's first, then those of the generation configuration, or
            else of the model's configuration, that are special tokens of the tokenizer.
    """

    source: str
    sha256: str
    tokenizer: Any
    config: Any
    ends: tuple[int, ...]
    _where: tuple[str, dict[str, Any]]

    @property
    def vocabulary(self) -> int:
        """Size of the model's vocabulary."""
        return int(self.config.get_text_config().vocab_size)

    @property
    def context(self) -> int:
        """Maximum number of tokens in the model's context."""
        return int(getattr(self.config.get_text_config(), "max_position_embeddings", None) or sys.maxsize)

    @property
    def directory(self) -> str:
        """The model's directory or hub id, for other libraries. Raises UsageError for a GGUF file."""
        name, options = self._where
        if "gguf_file" in options:
            raise UsageError(f"{self.source!r} is a GGUF file, which sampler=vllm does not support; give another")
        return name

    @functools.cached_property
    def says_date(self) -> bool:
        """Whether the chat template uses the date."""
        if not self.tokenizer.chat_template:
            return False
        one, other = (self._formatted(["?"], day) for day in _DAYS)
        return one != other

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokenize texts, with the special tokens that the tokenizer adds in front and without those at the end."""
        encoded = self.tokenizer(list(texts), return_special_tokens_mask=True, verbose=False)
        return [
            list(ids[: len(ids) - _trailing(added)])
            for ids, added in zip(encoded["input_ids"], encoded["special_tokens_mask"], strict=True)
        ]

    def chat(self, texts: Sequence[str], day: date | None = None) -> list[list[int]]:
        """Tokenize each text as the user's turn of a chat, up to the start of the answer.

        ``day`` is today's date for the chat template. Raises UsageError if there is no template, if it cannot be used,
        and if it uses the date but ``day`` is None.
        """
        if not self.tokenizer.chat_template:
            raise UsageError(
                f"{self.source!r} has no chat template, so prompt=chat is impossible; give --task-set prompt=plain, "
                f"or an instruction-tuned model"
            )
        if self.says_date and day is None:
            raise UsageError(
                f"the chat template of {self.source!r} uses the date, but the specification has none; give --task-set "
                f"date=YYYY-MM-DD"
            )
        formatted = self._formatted(texts, day if self.says_date else None)
        return [list(ids) for ids in self.tokenizer(formatted, add_special_tokens=False, verbose=False)["input_ids"]]

    def _formatted(self, texts: Sequence[str], day: date | None) -> list[str]:
        turns = [[{"role": "user", "content": text}] for text in texts]
        try:
            template = self.tokenizer.get_chat_template()
            formatted: list[str] = self.tokenizer.apply_chat_template(
                turns,
                chat_template=template if day is None else _clock(day) + template,
                add_generation_prompt=True,
                tokenize=False,
            )
        except Exception as error:  # templates can raise anything
            raise UsageError(
                f"the chat template of {self.source!r} cannot be used ({_reason(error)}); correct it, or give "
                f"--task-set prompt=plain"
            ) from error
        return formatted

    def text(self, tokens: Sequence[int]) -> str:
        """Decode tokens to text, without the end token."""
        kept = [t for t in tokens if t not in self.ends]
        return str(self.tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def model(self, *, weights: bool = True) -> nn.Module:
        """Create the model in float32; without ``weights``, its weights are arbitrary. Raises UsageError."""
        from transformers import AutoModelForCausalLM

        # Initialization before loading must not change the global generator.
        with quiet(), torch.random.fork_rng(devices=[]):
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
                f"{self.source!r} lacks weights of its model: {missing[0]} is missing; give a complete model"
            )
        made: nn.Module = loaded
        return made


def find(source: str) -> Pretrained:
    """Find the model ``source``: a directory, a GGUF file, or else an id on the Hugging Face hub.

    Weights are not loaded. Raises UsageError if the model does not exist or cannot be reached, if files are missing, or
    if it has no end token.
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
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoTokenizer

    name, options = _where(source)
    with quiet():
        folder = Path(name)
        if not folder.exists():
            folder = _had(lambda: _snapshot(name), source, _CONFIG)
            options = {"revision": folder.name}
            _refuse_adapter(source, folder)
        config = _had(lambda: AutoConfig.from_pretrained(name, trust_remote_code=False, **options), source, _CONFIG)
        if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
            raise UsageError(
                f"{source!r} is a model of the kind {config.model_type!r}, which is not a causal language model; give "
                f"one that is"
            )
        tokenizer = _had(
            lambda: AutoTokenizer.from_pretrained(name, trust_remote_code=False, **options), source, "tokenizer"
        )
    size = int(config.get_text_config().vocab_size)
    own = tokenizer.eos_token_id
    named = set() if "gguf_file" in options else _named_ends(source, folder)
    # Unset configurations have their class's defaults, which may be ordinary tokens of this tokenizer.
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    ends = tuple(int(x) for x in (own, *sorted(special & named - {own})) if x is not None and x < size)
    if own is None and not ends:
        raise UsageError(
            f"the tokenizer of {source!r} has no end-of-sequence token; set eos_token in its tokenizer_config.json"
        )
    if not ends:
        raise UsageError(
            f"the tokenizer of {source!r} uses an end token outside the model's vocabulary: number {own} of {size}; "
            f"give a model with its original tokenizer"
        )
    return Pretrained(source, _sha256(source, options), tokenizer, config, ends, (name, options))


def _where(source: str) -> tuple[str, dict[str, Any]]:
    """The arguments of ``from_pretrained`` for ``source``. Raises UsageError for a directory without a model."""
    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix != ".gguf":
            raise UsageError(
                f"{source!r} is not a model: give a directory, a .gguf file or an id on the Hugging Face hub"
            )
        return str(path.parent), {"gguf_file": path.name}
    if not path.is_dir():
        if path.is_absolute() or source.startswith((".", "~")) or source.count("/") > 1:
            raise UsageError(f"there is no model {source!r}; give a directory, a .gguf file or an id on the hub")
        return source, {}
    _refuse_adapter(source, path)
    if not any(file for pattern in _WEIGHTS for file in path.glob(pattern)):
        raise UsageError(f"{source!r} contains no weights (*.safetensors, *.gguf); restore them, or give another model")
    quantized = sorted(path.glob("*.gguf"))
    if quantized and not (path / _CONFIG).is_file():
        return str(path), {"gguf_file": quantized[0].name}
    return str(path), {}


def outside(source: str) -> Outside:
    """The paths of a model's files; for a hub id, only its part of the hub's cache.

    Includes the targets of links in a directory, which may point into that cache.
    """
    path = Path(source).expanduser()
    if path.exists():
        files = path.rglob("*") if path.is_dir() else [path]
        return Outside((path.absolute(), *(file.resolve() for file in files if file.is_symlink())))
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    cache = Path(constants.HF_HUB_CACHE).absolute()
    kept = cache / repo_folder_name(repo_id=source, repo_type="model")
    return Outside((kept,), {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"})


def _snapshot(name: str) -> Path:
    """Download the current configuration, or find it in the cache; return its directory, named after the commit."""
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(name, allow_patterns=[_CONFIG, _GENERATION, _ADAPTER]))


def _refuse_adapter(source: str, folder: Path) -> None:
    """Raise UsageError for an adapter of another model."""
    if not (folder / _ADAPTER).is_file():
        return
    base = _json(source, folder / _ADAPTER).get("base_model_name_or_path")
    raise UsageError(f"{source!r} is an adapter of {base!r}, not a complete model: {merging(source)}")


def merging(adapter: str) -> str:
    """Instructions for merging an adapter into its model."""
    return (
        f"merge it first, in Python with "
        f"peft.AutoPeftModelForCausalLM.from_pretrained({adapter!r}).merge_and_unload().save_pretrained(DIR), add the "
        f"tokenizer's files, and give --task-set model=DIR"
    )


def _named_ends(source: str, folder: Path) -> set[int]:
    """The end tokens in the model's configuration files; chat models have one for the turn and one for the text."""
    for name in (_GENERATION, _CONFIG):
        found = _json(source, folder / name)
        named = found.get("eos_token_id", found.get("text_config", {}).get("eos_token_id"))
        if named is not None:
            return set(named) if isinstance(named, list) else {named}
    return set()


def _json(source: str, file: Path) -> dict[str, Any]:
    """Read a JSON object from a file; empty if there is no file."""
    return _had(lambda: dict(json.loads(file.read_bytes())), source, file.name) if file.is_file() else {}


def _had(load: Callable[[], _Part], source: str, part: str) -> _Part:
    """Return ``load()``. Raises UsageError for any exception: the type depends on what is missing."""
    try:
        return load()
    except UsageError:
        raise
    except Exception as error:
        local = Path(source).expanduser().exists()
        then = "without network, give a local directory or .gguf file: --task-set model=DIR"
        then = "restore it, or give another model" if local else then
        place = repr(source) if local else f"{source!r} from the Hugging Face hub"
        raise UsageError(f"the {part} of {place} cannot be loaded ({_reason(error)}); {then}") from error


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _trailing(flags: Sequence[int]) -> int:
    """The number of set flags at the end."""
    return next((i for i, flag in enumerate(reversed(flags)) if not flag), len(flags))


def _clock(day: date) -> str:
    """A Jinja macro that replaces transformers' ``strftime_now`` in chat templates: the time is 0:00 of ``day``."""
    now = datetime.combine(day, time())
    said = "".join(f"|replace({f'%{x}'!r}, {now.strftime(f'%{x}')!r})" for x in _DIRECTIVES)
    # Jinja removes the newline after the block.
    return f"{{%- macro strftime_now(format) -%}}{{{{ format{said} }}}}{{%- endmacro %}}\n"


def _dequantized(options: dict[str, Any]) -> dict[str, Any]:
    if "gguf_file" not in options:
        return options
    from transformers import GgufConfig

    # Quantized weights can be evaluated but not trained.
    return {**options, "quantization_config": GgufConfig(dequantize=True)}


def _files(path: Path) -> list[Path]:
    """The files of a local model that can affect its outputs."""
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
def quiet() -> Iterator[None]:
    """Suppress the progress bars and warnings of transformers."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        # The progress bar of GGUF files ignores these settings.
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
