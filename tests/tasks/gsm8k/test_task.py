"""The task: its options, what pins them, and what cannot be run."""

from __future__ import annotations

import copy
import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lagbench.errors import UsageError
from lagbench.protocol import Protocol
from lagbench.spec import resolve
from lagbench.tasks.gsm8k.task import GSM8kTask
from lagbench.tasks.spec import load_task
from tests.policies import engine
from tests.tasks.gsm8k.tiny import CHAT, make_data, make_gguf, make_model, make_questions, make_tokenizer, write_lines


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("tiny") / "model", chat=CHAT)


def make(data: Path, model: Path, **options: Any) -> GSM8kTask:
    given = {"data": str(data), "model": str(model), "prompt": "plain", "max_new_tokens": 16, **options}
    task = load_task("GSM8k-v0", given)
    assert isinstance(task, GSM8kTask)
    return task


def protocol(**changes: Any) -> Protocol:
    return Protocol.resolve(**{"forward": "split", "minibatch": 32, "group": 8, **changes})


def test_nothing_is_looked_at_until_it_is_needed() -> None:
    task = load_task("GSM8k-v0", {"data": "/nowhere", "model": "no/such"})
    assert isinstance(task, GSM8kTask)
    assert (task.data, task.model, task.prompt, task.group) == ("/nowhere", "no/such", "chat", 8)
    mini = load_task("GSM8kMini-v0")
    assert isinstance(mini, GSM8kTask)
    assert (mini.data, mini.model, mini.prompt) == ("mini", "mini", "plain")
    assert mini.domain.name == "language"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prompt": "chatty"}, "unknown task option prompt 'chatty'; did you mean 'chat'?"),
        ({"precision": "half"}, "unknown task option precision 'half'"),
        ({"precision": ""}, "unknown task option precision ''"),
        ({"sampler": "vlm"}, "unknown task option sampler 'vlm'; did you mean 'vllm'?"),
        ({"sampler_precision": "half"}, "unknown task option sampler_precision 'half'"),
        ({"memory": -1}, "task option 'memory' of GSM8k-v0 is in GiB, not -1.0; give how much, or 0 for as much as th"),
        ({"max_new_tokens": 0}, "'max_new_tokens' of GSM8k-v0 must be in [1, 2147483647], not 0; its default is 160"),
        ({"group_size": 1}, "'group_size' of GSM8k-v0 must be at least 2, not 1"),
        ({"group_size": "many"}, "'group_size' of GSM8k-v0 must be a whole number in [1, 2147483647], not 'many'"),
        ({"date": "today"}, "'date' of GSM8k-v0 must be a date as YYYY-MM-DD, not 'today'"),
        (
            {"lora": 16},
            "--task-set lora=16: runs train all weights, not adapters; leave it out, or",
        ),
        (
            {"lora": 16},
            "merge it first, in Python with peft.AutoPeftModelForCausalLM.from_pretrained('ADAPTER').merge_a",
        ),
        ({"modle": "x"}, "unknown task option 'modle'; did you mean 'model'?"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_task("GSM8k-v0", options)
    assert said in str(caught.value)


def test_prompts(data: Path, model: Path) -> None:
    plain, chat = (make(data, model, prompt=style) for style in ("plain", "chat"))
    questions = plain.questions("test")[:1]
    (tokens,) = plain.prompts(questions)
    tokenizer = plain.pretrained().tokenizer
    assert tokenizer.decode(tokens) == "Question: Ann has 13 figs and eats 1. How many are left?\nAnswer:"
    (tokens,) = chat.prompts(questions)
    text = tokenizer.decode(tokens)
    assert text.startswith("<|user|>Ann has 13 figs")
    assert text.endswith('"#### " and the answer as a number.<|assistant|>')


def test_what_vllm_cannot_sample_from(data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before a run is begun."""
    monkeypatch.setitem(sys.modules, "vllm", None)
    task = make(data, model, sampler="vllm")
    with pytest.raises(UsageError, match="needs vLLM, which is not installed"):
        task.rehearse("cpu")
    monkeypatch.setitem(sys.modules, "vllm", engine)
    with pytest.raises(UsageError, match="vLLM cannot run a network of your own"):
        task.rehearse("cpu", task.policy(task.pretrained().model()))
    quantized = make(data, make_gguf(model, tmp_path / "model.gguf"), sampler="vllm")
    with pytest.raises(UsageError, match=r"model\.gguf' is a GGUF file, which sampler=vllm does not support"):
        quantized.rehearse("cpu")


def test_pins_hold_what_was_there(tmp_path: Path, model: Path) -> None:
    data = make_data(tmp_path / "data")
    pinned = make(data, model).pinned()
    assert len(pinned.data_sha256) == len(pinned.model_sha256) == 64
    assert make(data, model).pinned() == pinned
    pinned.check(protocol(), 6)
    write_lines(data / "train.jsonl", make_questions(13))
    with pytest.raises(UsageError, match=r"the data .* has changed since this run was specified \(SHA-256 .* start a"):
        pinned.check(protocol(), 6)


def test_pins_that_were_given_are_held(data: Path, model: Path) -> None:
    for name, what in (("data_sha256", "data"), ("model_sha256", "model")):
        pinned = make(data, model, **{name: "0" * 64}).pinned()
        assert getattr(pinned, name) == "0" * 64
        with pytest.raises(UsageError, match=rf"the {what} .* has changed since this run was specified"):
            pinned.check(protocol(), 6)


def test_the_date_is_pinned_where_the_prompt_says_it(data: Path, model: Path, tmp_path: Path) -> None:
    dated = make_model(tmp_path / "model", chat="{{ strftime_now('%d.%m.%Y') }}" + CHAT, context=512)
    today, task = date.today(), make(data, dated, prompt="chat").pinned()
    assert task.date in (today.isoformat(), date.today().isoformat())
    assert make(data, dated, prompt="chat", date="20260304").pinned().date == "2026-03-04"
    assert {make(data, m, prompt=p).pinned().date for m, p in ((dated, "plain"), (model, "chat"))} == {""}
    questions = task.questions("test")[:1]
    (tokens,) = make(data, dated, prompt="chat", date="2026-03-04").prompts(questions)
    assert task.pretrained().text(tokens).startswith("04.03.2026<|user|>Ann has 13 figs")


def test_a_changed_model_is_refused(tmp_path: Path, data: Path) -> None:
    pinned = make(data, make_model(tmp_path / "model")).pinned()
    make_model(tmp_path / "model", seed=1)
    with pytest.raises(UsageError, match=r"the model .* has changed since this run was specified"):
        pinned.check(protocol(), 6)


def test_a_path_is_kept_whole(data: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.parent)
    assert make(Path("data"), model).data == str(data)


@pytest.mark.parametrize(
    ("changes", "episodes", "said"),
    [
        ({"minibatch": 20}, 6, "a phase of 20 completions is not a whole number of groups of 8"),
        ({"actors": 8}, 6, "8 actors cannot share 4 prompts per phase"),
        ({"actors": 16, "updates": 4}, 6, "at most 8 versions, and so at most as many actors, not 16"),
        ({}, 7, "an evaluation of 7 questions needs as many, but the set 'test' has 6; give --eval-episodes 6"),
    ],
)
def test_sizes_that_cannot_be(data: Path, model: Path, changes: dict[str, Any], episodes: int, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        make(data, model).check(protocol(**changes), episodes)
    assert said in str(caught.value)


def test_a_prompt_longer_than_the_context(data: Path, model: Path) -> None:
    with pytest.raises(
        UsageError,
        match=r"question 9, the longest, has 64 tokens, and with completions of up to 200 only 56 fit into the 256 "
        r"of .*; give --task-set max_new_tokens=192 or less, or another model",
    ):
        make(data, model, max_new_tokens=200).check(protocol(), 6)


def test_a_context_that_no_completion_fits_into(data: Path, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model", context=64)
    with pytest.raises(UsageError, match=r"only 63 fit into the 64 of '.*'; give another model"):
        make(data, model, max_new_tokens=1).check(protocol(), 6)


def test_only_tokens_that_are_asked_with_must_be_in_the_model(data: Path, tmp_path: Path) -> None:
    """Many a tokenizer has one or two more than its model."""
    tokenizer = copy.deepcopy(make_tokenizer())
    tokenizer.add_tokens(["<|image|>", "figs"])
    path = make_model(tmp_path / "model", vocab_size=len(tokenizer) - 2)
    tokenizer.save_pretrained(path)
    with pytest.raises(UsageError, match=r"question 0 has a token that '.*' lacks: number 258 of 257; give a model"):
        make(data, path).check(protocol(), 6)
    lines = [{**line, "question": line["question"].replace("figs", "plums")} for line in make_questions(12)]
    for name in ("train", "test"):
        write_lines(tmp_path / "data" / f"{name}.jsonl", lines)
    make(tmp_path / "data", path).check(protocol(), 6)


def test_what_is_shown_of_it(data: Path, model: Path) -> None:
    assert make(data, model).about() == {"ends at": "<|end|>"}


def test_a_model_without_a_chat_template(tmp_path: Path, data: Path) -> None:
    model = make_model(tmp_path / "model")
    with pytest.raises(UsageError, match=r"has no chat template, .* give --task-set prompt=plain"):
        make(data, model, prompt="chat").check(protocol(), 6)


@pytest.mark.parametrize(
    ("group", "minibatch", "updates", "actors", "steps"),
    [(8, 32, 1, 4, 8), (8, 32, 2, 8, 8), (8, 32, 3, 8, 12), (8, 32, 16, 8, 64), (8, 32, 64, 8, 256), (6, 54, 1, 6, 9)],
)
def test_actors_are_as_many_as_prompts_up_to_eight(
    data: Path, model: Path, group: int, minibatch: int, updates: int, actors: int, steps: int
) -> None:
    options = {"data": str(data), "model": str(model), "prompt": "plain", "max_new_tokens": 16, "group_size": group}
    spec = resolve(task="GSM8k-v0", task_options=options, minibatch=minibatch, updates=updates, eval_episodes=6)
    assert (spec.protocol.actors, spec.protocol.phase_steps, spec.protocol.forward) == (actors, steps, "split")
    assert spec.protocol.samples == minibatch * updates
    assert type(spec).from_json(spec.to_json()) == spec


def test_a_link_to_a_model_is_taken_as_it_is_named(data: Path, tmp_path: Path) -> None:
    """In the hub's cache a file is a link to one whose name is its digest."""
    model = make_model(tmp_path / "model", vocab_size=len(make_tokenizer()) + 1)
    (tmp_path / "blobs").mkdir()
    make_gguf(model, tmp_path / "tiny.gguf").rename(tmp_path / "blobs/0123abcd")
    (tmp_path / "linked.gguf").symlink_to("blobs/0123abcd")
    task = make(data, tmp_path / "linked.gguf")
    assert task.model == str(tmp_path / "linked.gguf")
    assert task.pretrained().vocabulary > 0


def test_held_out_questions_are_not_trained_on() -> None:
    """Mini's 4,800: the last 600 of them, in their order, with their numbers."""
    usual, split = load_task("GSM8kMini-v0"), load_task("GSM8kMini-v0", {"test": "held-out"})
    assert isinstance(usual, GSM8kTask)
    assert isinstance(split, GSM8kTask)
    whole, rest, held = usual.questions("train"), split.questions("train"), split.questions("held-out")
    assert (len(rest), len(held)) == (4_200, 600)
    assert rest + held == whole
    assert [q.number for q in held] == list(range(4_200, 4_800))
    assert split.questions("test") == usual.questions("test")


def test_of_seven_questions_none_can_be_held_out(tmp_path: Path) -> None:
    line = json.dumps({"question": "1 + 1?", "answer": "#### 2"}) + "\n"
    (tmp_path / "train.jsonl").write_text(line * 7)
    made = load_task("GSM8k-v0", {"data": str(tmp_path), "test": "held-out"})
    assert isinstance(made, GSM8kTask)
    with pytest.raises(UsageError, match="7 questions are too few to hold out an eighth; give more"):
        made.questions("train")
