"""Models as they lie around: what they must have, and one sentence where they have not."""

from __future__ import annotations

import builtins
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import torch

from lagbench.errors import UsageError
from lagbench.policies import pretrained
from tests.tasks.gsm8k.tiny import CHAT, END, make_gguf, make_model, make_tokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("tiny") / "model", chat=CHAT)


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "copy"))


def change(file: Path, **values: Any) -> None:
    data = {**json.loads(file.read_text()), **values}
    file.write_text(json.dumps({k: v for k, v in data.items() if v != "gone"}))


def test_a_directory(model: Path) -> None:
    found = pretrained.find(str(model))
    assert found.context == 256
    (tokens,) = found.tokens(["figs"])
    assert len(tokens) == 4
    assert found.text([*tokens, *found.ends]) == "figs"
    assert found.tokenizer.decode(found.ends) == END
    assert found.chat(["figs"]) == found.tokens(["<|user|>figs<|assistant|>"])
    loaded, again = found.model(), found.model()
    assert loaded is not again
    assert all(torch.equal(x, y) for x, y in zip(loaded.parameters(), again.parameters(), strict=True))
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


def test_without_weights_the_global_generator_is_as_it_was(model: Path) -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    found = pretrained.find(str(model))
    bare = found.model(weights=False)
    assert [p.shape for p in bare.parameters()] == [p.shape for p in found.model().parameters()]
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_digest_is_of_the_files(model: Path, copy: Path) -> None:
    digest = pretrained.find(str(model)).sha256
    assert pretrained.find(str(copy)).sha256 == digest
    (copy / "README.md").write_text("A model.")
    assert pretrained.find(str(copy)).sha256 == digest
    # Tokenizers of old keep their vocabulary or merges so.
    (copy / "merges.txt").write_text("a b")
    merged = pretrained.find(str(copy)).sha256
    assert merged != digest
    change(copy / "config.json", rope_theta=1.0)
    assert pretrained.find(str(copy)).sha256 not in (digest, merged)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("/nowhere/model", "there is no model '/nowhere/model'; give a directory, a .gguf file or an id on the hub"),
        ("./model", "there is no model './model'"),
        ("a/b/c", "there is no model 'a/b/c'"),
    ],
)
def test_no_such_path(source: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        pretrained.find(source)
    assert said in str(caught.value)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"")
    with pytest.raises(UsageError, match=r"model\.pt' is not a model: give a directory, a \.gguf file or an id"):
        pretrained.find(str(tmp_path / "model.pt"))


# By file: what is written there, None for nothing; or what is changed in it.
DAMAGE: Sequence[tuple[Mapping[str, Any], str]] = [
    ({"model.safetensors": None}, r"contains no weights \(\*\.safetensors, \*\.gguf\); restore them, or give"),
    ({"model.safetensors": "x" * 100}, r"the weights of '.*copy' cannot be loaded .*; restore it"),
    ({"config.json": None}, r"the config\.json of '.*copy' cannot be loaded .*; restore it"),
    (
        {"config.json": '{"model_type": "t5"}'},
        r"is a model of the kind 't5', which is not a causal language model; give",
    ),
    ({"config.json": {"num_hidden_layers": 3}}, r"lacks weights of its model: model\.layers\.2\..* is missing"),
    (
        {"config.json": {"vocab_size": 100}},
        r"uses an end token outside the model's vocabulary: number 256 of 100; give",
    ),
    (
        {"tokenizer.json": None, "tokenizer_config.json": None},
        r"the tokenizer of '.*copy' cannot be loaded .*; restore it",
    ),
    (
        {
            "tokenizer_config.json": {"eos_token": "gone"},
            "config.json": {"eos_token_id": None},
            "generation_config.json": {"eos_token_id": "gone"},
        },
        r"has no end-of-sequence token; set eos_token in its",
    ),
]


@pytest.mark.parametrize(("files", "said"), DAMAGE)
def test_a_damaged_directory(copy: Path, files: Mapping[str, Any], said: str) -> None:
    for name, content in files.items():
        if content is None:
            (copy / name).unlink()
        elif isinstance(content, str):
            (copy / name).write_text(content)
        else:
            change(copy / name, **content)
    with pytest.raises(UsageError, match=said):
        pretrained.find(str(copy)).model()


def test_what_else_ends_a_completion(copy: Path) -> None:
    """A chat model ends its turn, or the text; that its configuration names an ordinary token is a class's default."""
    tokenizer: Any = pretrained.find(str(copy)).tokenizer
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|end_of_text|>"]})
    tokenizer.save_pretrained(copy)
    own, more = tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|end_of_text|>")
    change(copy / "config.json", vocab_size=len(tokenizer), eos_token_id=None)
    named = {"list": [more, own], "one": own, "other": more, "default": 2, "gone": "gone"}
    ends = {"list": (own, more), "one": (own,), "other": (own, more), "default": (own,), "gone": (own,)}
    for case, value in named.items():
        change(copy / "generation_config.json", eos_token_id=value)
        found = pretrained.find(str(copy))
        assert found.ends == ends[case], case
        assert found.text(found.ends) == ""
    (copy / "generation_config.json").write_text("{")
    with pytest.raises(
        UsageError, match=r"the generation_config.json of '.*' cannot be loaded \(Expecting property name"
    ):
        pretrained.find(str(copy))
    # Without one it is the model's own configuration that counts, that of the text where it is one of several parts.
    (copy / "generation_config.json").unlink()
    assert pretrained.find(str(copy)).ends == (own,)
    change(copy / "config.json", eos_token_id=[own, more])
    assert pretrained.find(str(copy)).ends == (own, more)
    change(copy / "config.json", eos_token_id="gone", text_config={"eos_token_id": [more, 2]})
    assert pretrained._named_ends(str(copy), copy) == {more, 2}
    # One beyond the model can never be chosen.
    change(copy / "config.json", eos_token_id=[own, more], text_config="gone", vocab_size=more)
    assert pretrained.find(str(copy)).ends == (own,)


def test_what_a_tokenizer_puts_after_a_text_is_no_part_of_a_prompt(copy: Path) -> None:
    from tokenizers import Tokenizer, processors

    (plain,) = pretrained.find(str(copy)).tokens(["figs"])
    own = Tokenizer.from_file(str(copy / "tokenizer.json"))
    first, last = own.token_to_id("B"), own.token_to_id(END)
    own.post_processor = processors.TemplateProcessing(
        single=f"B $A {END} {END}", special_tokens=[("B", first), (END, last)]
    )
    own.save(str(copy / "tokenizer.json"))
    assert pretrained.find(str(copy)).tokenizer("figs")["input_ids"] == [first, *plain, last, last]
    assert pretrained.find(str(copy)).tokens(["figs", "f"]) == [[first, *plain], [first, plain[0]]]


@pytest.mark.parametrize("place", ["directory", "hub"])
def test_an_adapter(copy: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """As peft keeps one: its own weights, perhaps the tokenizer, and no model."""
    import huggingface_hub

    for file in ("config.json", "generation_config.json"):
        (copy / file).unlink()
    (copy / "model.safetensors").rename(copy / "adapter_model.bin")
    (copy / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "me/base"}')
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(copy))
    source = str(copy) if place == "directory" else "me/adapter"
    with pytest.raises(
        UsageError,
        match=rf"'{source}' is an adapter of 'me/base', not a complete model: merge it first, in Python with "
        rf"peft\.AutoPeftModelForCausalLM\.from_pretrained\('{source}'\)\.merge_and_unload\(\)\.save_pretrained\(DIR\)",
    ):
        pretrained.find(source)


DATED = CHAT + "{{ strftime_now('%d %b %Y, %-d.%m.') }}"


def test_a_chat_template_that_says_the_date(tmp_path: Path, model: Path) -> None:
    """As of 2026 transformers gives a template no function but its own, which says today's."""
    march, may = date(2026, 3, 4), date(2026, 5, 6)
    found = pretrained.find(str(make_model(tmp_path / "dated", chat=DATED)))
    assert found.says_date
    (tokens,) = found.chat(["figs"], march)
    assert found.text(tokens) == "<|user|>figs<|assistant|>04 Mar 2026, 4.03."
    assert found.chat(["figs"], march) == [tokens] != found.chat(["figs"], may)
    with pytest.raises(UsageError, match=r"uses the date, but the specification has none; give --task-set date=YYYY-M"):
        found.chat(["figs"])
    plain = pretrained.find(str(model))
    assert not plain.says_date
    assert plain.chat(["figs"], march) == plain.chat(["figs"])


def test_the_template_is_as_it_was_but_for_the_date(tmp_path: Path, model: Path) -> None:
    """White space at its beginning too, which a statement before it may take."""
    chat = "\n \n{% if true %} {% endif %} {{ strftime_now('%A') }}" + CHAT
    found = pretrained.find(str(make_model(tmp_path / "model", chat=chat)))
    (text,) = found._formatted(["figs"], date(2026, 3, 4))
    (today,) = found._formatted(["figs"], None)
    assert text.replace("Wednesday", "") == re.sub(r"[A-Z][a-z]+day", "", today)


def test_a_chat_template_that_fails(tmp_path: Path) -> None:
    found = pretrained.find(str(make_model(tmp_path / "model", chat="{{ raise_exception('no user turns') }}")))
    with pytest.raises(UsageError, match=r"the chat template of '.*' cannot be used \(no user turns\); correct it, or"):
        found.chat(["figs"])


def test_no_chat_template(tmp_path: Path) -> None:
    found = pretrained.find(str(make_model(tmp_path / "model")))
    with pytest.raises(UsageError, match=r"has no chat template, so prompt=chat is impossible; give --task-set"):
        found.chat(["figs"])


def test_a_gguf_file_is_the_same_model(tmp_path: Path) -> None:
    # One row more than the tokenizer has: transformers gives every such file GPT-2's end of text.
    model = make_model(tmp_path / "model", chat=CHAT, vocab_size=len(make_tokenizer()) + 1)
    (tmp_path / "file").mkdir()
    found = pretrained.find(str(make_gguf(model, tmp_path / "file/tiny.gguf")))
    kept = pretrained.find(str(model))
    assert (found.ends, found.context, found.vocabulary) == (kept.ends, kept.context, kept.vocabulary)
    (tokens,) = found.chat(["figs"])
    assert [tokens] == kept.chat(["figs"])
    ids = torch.tensor([tokens])
    with torch.no_grad():
        torch.testing.assert_close(found.model()(ids).logits, kept.model()(ids).logits, rtol=1e-4, atol=1e-4)
    weights = found.model()
    assert {p.dtype for p in weights.parameters()} == {torch.float32}
    assert all(p.requires_grad for p in weights.parameters())
    assert pretrained.find(str(tmp_path / "file")).sha256 == found.sha256  # a directory of nothing else


def test_a_model_of_the_hub_is_of_one_commit(
    model: Path, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the cache that the hub's library keeps, as it is laid out there."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    place = tmp_path / "hub/models--me--tiny"
    (place / "refs").mkdir(parents=True)
    change(copy / "config.json", rope_theta=1.0)
    digests = []
    for commit, files in (("a" * 40, model), ("b" * 40, copy)):
        shutil.copytree(files, place / "snapshots" / commit)
        (place / "refs/main").write_text(commit)
        pretrained._find.cache_clear()
        found = pretrained.find("me/tiny")
        digests.append(found.sha256)
        # What is loaded later is of the same commit, whatever the hub has by then.
        (place / "refs/main").write_text("c" * 40)
        loaded: Any = found.model()
        assert loaded.config.rope_parameters["rope_theta"] == found.config.rope_parameters["rope_theta"]
    assert len(set(digests)) == 2


def test_without_network_the_file_is_named_and_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError("We couldn't connect to 'https://huggingface.co'\nto load the files")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(UsageError) as caught:
        pretrained.find("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert str(caught.value) == (
        "the config.json of 'HuggingFaceTB/SmolLM2-135M-Instruct' from the Hugging Face hub cannot be loaded (We "
        "couldn't connect to 'https://huggingface.co'); without network, give a local directory or .gguf file: "
        "--task-set model=DIR"
    )


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "transformers":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UsageError, match=r"language models need an extra: pip install 'lagbench\[gsm8k\]'"):
        pretrained.find("a/b")
