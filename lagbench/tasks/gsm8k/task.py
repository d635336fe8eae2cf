"""GSM8K as a task: the questions, the model and the prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from gymnasium.spaces import Discrete
from gymnasium.spaces import Sequence as SequenceSpace

from lagbench.domain import LANGUAGE
from lagbench.errors import UsageError, unknown
from lagbench.machine import Outside
from lagbench.policies import pretrained, vllm
from lagbench.policies.causal_lm import CausalLMPolicy
from lagbench.policies.own import built
from lagbench.policies.pretrained import Pretrained
from lagbench.policies.rehearsal import rehearse, rehearse_own
from lagbench.policies.sampling import OwnSampler, Sampler
from lagbench.policies.vllm import VLLMSampler
from lagbench.protocol import DEFAULT_HIDDEN, MOST_ACTORS, Protocol
from lagbench.tasks.gsm8k import data
from lagbench.tasks.gsm8k.data import TRAIN, Question
from lagbench.tasks.gsm8k.prompts import STYLES, encode
from lagbench.tasks.spec import TaskSpec, check_options, load_task

if TYPE_CHECKING:
    import torch

PRECISIONS = ("float32", "bfloat16")
SAMPLERS = ("transformers", "vllm")
_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "data": data.HUB,
        "data_sha256": "",
        "model": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "model_sha256": "",
        "test": "test",
        "prompt": "chat",
        "date": "",
        "max_new_tokens": 160,
        "group_size": 8,
        "precision": "float32",
        "resample_uniform_groups": False,
        "memory": 0.0,
        "sampler": "transformers",
        "sampler_precision": "",
    }
)


@dataclass(frozen=True)
class GSM8kTask(TaskSpec):
    """GSM8K, or questions in its format.

    Attributes:
        data: source of the questions; see ``data.load``.
        data_sha256: expected ``data.digest`` of the training and test sets; empty: not checked.
        model: an id on the Hugging Face hub, a directory, a GGUF file, or ``mini``.
        model_sha256: expected digest of the model; empty: not checked.
        test: the set of evaluations; ``held-out`` is split off the training set.
        prompt: style of prompts; see ``prompts.STYLES``.
        date: today's date, as YYYY-MM-DD, for a chat template that uses it; empty if none does.
        max_new_tokens: maximum length of completions.
        group_size: completions per prompt, whose rewards are compared: 2 or more.
        precision: with ``bfloat16``, the model's body is computed under torch's autocast; head and weights stay in
            float32.
        resample_uniform_groups: replace a group whose completions are all right or all wrong by one of the next
            question; its completions count towards the budget.
        sampler: the sampling engine; see ``SAMPLERS``.
        sampler_precision: the sampler's precision; empty: ``precision``.
        memory: GiB available to sampling and learning in addition to the weights; 0: what the device has.
    """

    data: str
    data_sha256: str
    model: str
    model_sha256: str
    test: str
    prompt: str
    date: str
    max_new_tokens: int
    group_size: int
    precision: str
    resample_uniform_groups: bool
    memory: float
    sampler: str
    sampler_precision: str

    def questions(self, name: str) -> tuple[Question, ...]:
        """Return a set of questions. Raises UsageError if it cannot be loaded or is malformed.

        If evaluations use ``data.HELD_OUT``, the training set does not contain it.
        """
        if data.HELD_OUT in (name, self.test) and name in (data.HELD_OUT, TRAIN):
            rest, held_out = data.split(data.load(self.data, TRAIN))
            return held_out if name == data.HELD_OUT else rest
        return data.load(self.data, name)

    def pretrained(self) -> Pretrained:
        """The model, whose weights are loaded on demand. Raises UsageError."""
        return pretrained.find(str(data.MINI_DIRECTORY) if self.model == data.MINI else self.model)

    def prompts(self, questions: tuple[Question, ...]) -> tuple[list[int], ...]:
        """Each question as prompt tokens. Raises UsageError if one leaves too little room for a completion."""
        day = date.fromisoformat(self.date) if self.date else None
        return encode(self.pretrained(), questions, self.prompt, day, self.max_new_tokens)

    @property
    def group(self) -> int:
        """See ``TaskSpec.group``."""
        return self.group_size

    @property
    def longest_episode(self) -> int:
        """See ``TaskSpec.longest_episode``."""
        return self.max_new_tokens

    def network(
        self,
        hidden: Sequence[int] = DEFAULT_HIDDEN,
        generator: torch.Generator | None = None,
        build: Callable[..., Any] | None = None,
    ) -> CausalLMPolicy:
        """See ``TaskSpec.network``: the pretrained weights for any generator; without one they are not loaded.

        A user's network is a model as in ``CausalLMPolicy``, with the vocabulary of the task's model.
        """
        if build is not None:
            import torch

            tokens = Discrete(self.pretrained().config.get_text_config().vocab_size)
            return self.policy(built(build, (SequenceSpace(tokens), tokens), generator or torch.Generator()))
        return self.policy(self.pretrained().model(weights=generator is not None))

    def policy(self, model: Any) -> CausalLMPolicy:
        """The policy of a model."""
        return CausalLMPolicy(model, precision=self.precision, room=self.memory)

    @property
    def coarsest(self) -> str:
        """The lower of the precisions of sampling and learning."""
        return max((self.precision, self.sampler_precision or self.precision), key=PRECISIONS.index)

    @property
    def packages(self) -> tuple[str, ...]:
        """See ``TaskSpec.packages``: the sampling engine, if it is not transformers."""
        return ("vllm",) if self.sampler == "vllm" else ()

    def make_sampler(self, policy: CausalLMPolicy) -> Sampler:
        """Create the sampler, for a policy whose owner loads each version's weights. Raises UsageError."""
        precision = self.sampler_precision or self.precision
        if self.sampler == "vllm":
            return VLLMSampler(self.pretrained().directory, precision)
        return OwnSampler(CausalLMPolicy(policy.model, precision=precision, room=self.memory))

    @property
    def pins(self) -> tuple[str, ...]:
        """See ``TaskSpec.pins``."""
        return ("data_sha256", "model_sha256")

    def pinned(self) -> Self:
        """See ``TaskSpec.pinned``: digests of data and model from outside this package; the date if used."""
        found = {}
        if self.data not in data.OWN:
            found["data_sha256"] = self._data_digest()
        if self.model != data.MINI:
            found["model_sha256"] = self.pretrained().sha256
        if self.prompt == "chat" and self.pretrained().says_date:
            found["date"] = _today().isoformat()
        # ``check`` compares given digests with those of the files.
        pinned = task(self.task_id, **{**found, **self.options})
        assert isinstance(pinned, type(self))
        return pinned

    def check(self, protocol: Protocol, evaluation_episodes: int) -> None:
        """See ``TaskSpec.check``."""
        if protocol.hidden != DEFAULT_HIDDEN:
            raise UsageError(
                f"--hidden sets the networks of control tasks, but {self.task_id} has its own model; leave it out"
            )
        if protocol.samples % self.group_size:
            raise UsageError(
                f"a phase of {protocol.samples} completions is not a whole number of groups of {self.group_size}; "
                "choose another minibatch, or --task-set group_size=N"
            )
        if protocol.actors > MOST_ACTORS:
            raise UsageError(
                f"a phase of a language model uses at most {MOST_ACTORS} versions, and so at most as many actors, not "
                f"{protocol.actors}; give fewer, or leave --actors out"
            )
        if protocol.actors > protocol.samples // self.group_size:
            raise UsageError(
                f"{protocol.actors} actors cannot share {protocol.samples // self.group_size} prompts per phase; give "
                f"fewer, or leave --actors out"
            )
        test = self.questions(self.test)
        if evaluation_episodes > len(test):
            raise UsageError(
                f"an evaluation of {evaluation_episodes} questions needs as many, but the set {self.test!r} has "
                f"{len(test)}; give --eval-episodes {len(test)} or fewer"
            )
        self._hold("data", self.data_sha256, self._data_digest)
        self._hold("model", self.model_sha256, lambda: self.pretrained().sha256)
        # The larger set first: it usually has the longest question.
        self.prompts(self.questions(TRAIN))
        self.prompts(test[:evaluation_episodes])

    def rehearse(self, device: str, policy: Any = None) -> None:
        """See ``TaskSpec.rehearse``: samples a few tokens and computes their gradients."""
        (prompt,) = self.prompts(self.questions(TRAIN)[:1])
        if self.sampler == "vllm":
            vllm.needed()
            if policy is not None:
                raise UsageError("vLLM cannot run a network of your own; leave --task-set sampler=vllm out")
            self.pretrained().directory  # noqa: B018 - raises
        if policy is not None:
            rehearse_own(policy.to(device), tuple(prompt))
            return
        rehearse(self.pretrained(), self.coarsest, device, tuple(prompt))

    def outside(self) -> Outside:
        """See ``TaskSpec.outside``: the user's or hub's model and the user's questions, but not the hub's."""
        model = Outside() if self.model == data.MINI else pretrained.outside(self.model)
        questions = () if self.data in (data.HUB, *data.OWN) else (Path(self.data),)
        return Outside((*questions, *model.paths), model.environment)

    def about(self) -> Mapping[str, str]:
        """See ``TaskSpec.about``: the tokens that end a completion."""
        model = self.pretrained()
        return {"ends at": " ".join(model.tokenizer.convert_ids_to_tokens(list(model.ends)))}

    def _data_digest(self) -> str:
        return data.digest((*self.questions(TRAIN), *self.questions(self.test)))

    def _hold(self, what: str, wanted: str, find: Any) -> None:
        if wanted and (found := find()) != wanted:
            raise UsageError(
                f"the {what} {getattr(self, what)!r} has changed since this run was specified (SHA-256 "
                f"{wanted[:12]}…, now {found[:12]}…); restore it, or start a new run"
            )


def task(task_id: str, /, **options: Any) -> GSM8kTask:
    """Create the task with this id; ``options`` are fields of ``GSM8kTask``, by name.

    Raises UsageError for unknown options and invalid values. Does not read data or model.
    """
    if "lora" in options:
        raise UsageError(
            f"--task-set lora={options['lora']}: runs train all weights, not adapters; leave it out, or if you "
            f"start from an adapter, {pretrained.merging('ADAPTER')}"
        )
    checked = check_options(task_id, options, _DEFAULTS)
    of_few = {"prompt": STYLES, "precision": PRECISIONS, "sampler": SAMPLERS, "sampler_precision": PRECISIONS}
    for name, choices in of_few.items():
        if checked.get(name, _DEFAULTS[name]) not in (*choices, _DEFAULTS[name]):
            raise unknown(f"task option {name}", checked[name], choices)
    if checked.get("group_size", 2) < 2:
        raise UsageError(f"task option 'group_size' of {task_id} must be at least 2, not 1")
    if checked.get("memory", 0) < 0:
        raise UsageError(
            f"task option 'memory' of {task_id} is in GiB, not {checked['memory']}; give how much, or 0 for as much as "
            "there is"
        )
    if checked.get("date"):
        try:
            checked["date"] = date.fromisoformat(checked["date"]).isoformat()
        except ValueError:
            raise UsageError(
                f"task option 'date' of {task_id} must be a date as YYYY-MM-DD, not {checked['date']!r}"
            ) from None
    for name, own in (("data", (data.HUB, *data.OWN)), ("model", (data.MINI,))):
        path = Path(str(checked.get(name, ""))).expanduser()
        # Absolute: a run can be resumed from any directory. Not resolved: links in the hub cache lead to hashes.
        if name in checked and checked[name] not in own and path.exists():
            checked[name] = str(path.absolute())
    return GSM8kTask(task_id=task_id, domain=LANGUAGE, options=checked, **{**_DEFAULTS, **checked})


def _today() -> date:
    return date.today()


def restored(task_id: str, options: Mapping[str, Any], state: Mapping[str, Any]) -> CausalLMPolicy:
    """The policy with this state; see ``Domain.policy``. Needs the model's configuration, but not its weights."""
    policy: CausalLMPolicy = load_task(task_id, options).network()
    policy.load_state_dict(state)
    return policy
