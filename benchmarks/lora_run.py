"""One run of one contender of `make bench-lora`, in a process of its own; its last line is one JSON object.

FLOPs of a step, T tokens of which A are answers: 4 T for every frozen weight on the way (forward 2, gradient of the
activations 2; frozen matrices get no weight gradient), 4 A for the output matrix, 6 T for every adapter weight, and
12 d l^2 per layer and text of l tokens for attention at width d (QK and AV, 2 each forward, twice that backward).
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from stackelberg_lib.data import sets
from stackelberg_lib.lm import features, finetune, objectives, registry, training
from stackelberg_lib.report import memory

QWEN = dict(model_type="qwen2", architectures=["Qwen2ForCausalLM"], vocab_size=151936, hidden_size=896,
            intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2,
            max_position_embeddings=32768, rope_theta=1e6, rms_norm_eps=1e-6, tie_word_embeddings=True)


def job(case: dict, scratch: Path):
    """The module with its adapter, the objective, and the visited rows (steps, batch)."""
    data, model = sets.load("pocketdesk", case["seed"]), registry.resolve(case["model"])
    texts, labels, rows = data.train_texts[:case["rows"]], data.train_labels[:case["rows"]], np.arange(case["rows"])
    if case["shape"] == "qwen":  # random weights in memory; texts by Pocket's tokenizer, sixteen to a prompt
        model = registry.Model("qwen", qwen_folder(model.folder, scratch), "causal", "random weights")
        texts = [" ".join(np.roll(texts, i)[:16]) for i in range(case["rows"])]
        finetune.load_causal = random_weights
    if case["objective"] == "head":
        module = finetune.lora_classifier(model, len(data.label_names), case["rank"], case["seed"])
        objective = objectives.ClassObjective(features.Tokens(model, texts), rows, torch.as_tensor(labels))
    else:
        answers = objectives.Answers(model, [t + "\n>" for t in texts], [" " + n for n in data.label_names])
        module = finetune.lora_generator(model, case["rank"], case["seed"])
        objective = objectives.AnswerObjective(answers, rows, labels)
    for part in module.modules():  # the contenders draw different numbers
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    visits = training.order(case["rows"], case["batch"], np.random.default_rng([case["seed"], 1]))
    return module, objective, [next(visits) for _ in range(case["steps"])]


def qwen_folder(pocket: Path, scratch: Path) -> Path:
    """A folder with the configuration of Qwen2.5-0.5B and Pocket's tokenizer."""
    for file in pocket.glob("tokenizer*"):
        (scratch / file.name).write_bytes(file.read_bytes())
    (scratch / "config.json").write_text(json.dumps(QWEN))
    return scratch


def random_weights(model, dtype="float32"):
    """A causal model of the folder's configuration; every contender draws the same weights."""
    from transformers import AutoConfig, AutoModelForCausalLM
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model.folder), dtype=getattr(torch, dtype))


class Clock:
    """Seconds between the forward passes `first` and `last` of a module, counted from 0."""

    def __init__(self, module, first: int, last: int):
        self.cuda, self.calls, self.marks = torch.cuda.is_available(), 0, {first: 0.0, last: 0.0}
        module.register_forward_pre_hook(self.forward)

    def forward(self, *_):
        if self.calls in self.marks:
            if self.cuda:
                torch.cuda.synchronize()
            self.marks[self.calls] = time.perf_counter() if self.cuda else time.process_time()
        self.calls += 1

    @property
    def seconds(self) -> float:
        first, last = self.marks.values()
        return last - first


def ours(module, objective, visits, case: dict) -> list[float]:
    """The losses of this repository's loop."""
    recipe = training.Recipe(steps=len(visits), batch=case["batch"], rank=case["rank"], bf16=case["bf16"])
    return training.train(module, objective, recipe, case["seed"])


def arguments(case: dict, kind, folder: Path, **more):
    """What `training.train` does, in the words of TrainingArguments."""
    return kind(output_dir=str(folder), per_device_train_batch_size=case["batch"], max_steps=case["steps"],
                learning_rate=3e-3, weight_decay=0.01, lr_scheduler_type="linear",
                warmup_steps=max(1, case["steps"] // 10),
                max_grad_norm=1.0, logging_strategy="no", save_strategy="no", report_to="none", disable_tqdm=True,
                bf16=case["bf16"], seed=case["seed"], remove_unused_columns=False, gradient_checkpointing=False,
                train_sampling_strategy="sequential", use_cpu=not case["gpu"], **more)


def noting(kind, losses: list):
    """A Trainer of this kind that notes the loss of every step; logging would cost it time."""

    class Noting(kind):
        def training_step(self, *args, **more):
            loss = super().training_step(*args, **more)
            losses.append(loss.detach())
            return loss

    return Noting


def sequences(objective, visits) -> list[tuple[list[int], int]]:
    """Token ids and number of answer tokens of all visited rows, in order."""
    answers = objective.answers
    pairs = [(answers.prompts[i], answers.answers[objective.labels[i]]) for rows in visits for i in rows]
    return [(prompt + answer, len(answer)) for prompt, answer in pairs]


def trainer(module, objective, visits, case: dict) -> list[float]:
    """The losses of transformers.Trainer."""
    from transformers import AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments
    losses: list = []
    if case["objective"] == "head":
        module = head_with_loss(module)
        rows = [{"row": int(i)} for batch in visits for i in batch]

        def collate(batch):
            chosen = [b["row"] for b in batch]
            ids, mask = objective.tokens.batch(chosen)
            return {"ids": ids, "mask": mask, "labels": objective.labels[torch.tensor(chosen)]}
    else:
        rows = [{"input_ids": ids, "labels": [-100] * (len(ids) - n) + ids[-n:]}
                for ids, n in sequences(objective, visits)]
        collate = DataCollatorForSeq2Seq(AutoTokenizer.from_pretrained(case["tokenizer"]))
    with tempfile.TemporaryDirectory() as folder:
        run = noting(Trainer, losses)(module, arguments(case, TrainingArguments, Path(folder)), train_dataset=rows,
                                      data_collator=collate)
        run.train()
    return torch.stack(losses).tolist()


def head_with_loss(classifier):
    """The classifier as Trainer wants it: it returns its loss."""

    class WithLoss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.classifier = classifier

        def forward(self, ids, mask, labels):
            return {"loss": torch.nn.functional.cross_entropy(self.classifier(ids, mask), labels)}

    return WithLoss()


def sfttrainer(module, objective, visits, case: dict) -> list[float]:
    """The losses of trl.SFTTrainer."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer
    losses: list = []
    rows = Dataset.from_list([{"input_ids": ids, "completion_mask": [0] * (len(ids) - n) + [1] * n}
                              for ids, n in sequences(objective, visits)])
    with tempfile.TemporaryDirectory() as folder:
        settings = arguments(case, SFTConfig, Path(folder), completion_only_loss=True, max_length=None)
        run = noting(SFTTrainer, losses)(module, settings, train_dataset=rows,
                                         processing_class=AutoTokenizer.from_pretrained(case["tokenizer"]))
        run.train()
    return torch.stack(losses).tolist()


def contend(name: str, case: dict) -> dict:
    """One run, in a process of its own: seconds, tokens, losses, peak memory in bytes, FLOPs of the timed steps."""
    with tempfile.TemporaryDirectory() as scratch:
        module, objective, visits = job(case, Path(scratch))
        case["tokenizer"] = scratch if case["shape"] == "qwen" else case["model"]
        clock = Clock(module, case["warm"], case["steps"] - 1)
        losses = globals()[name](module, objective, visits, case)
    timed = visits[case["warm"]:-1]
    lengths = ([len(objective.tokens.ids[i]) for rows in timed for i in rows] if case["objective"] == "head"
               else [len(ids) for ids, _ in sequences(objective, timed)])
    gpu = torch.cuda.is_available()
    peak = torch.cuda.max_memory_allocated() if gpu else memory.resident()[1]
    out = {"seconds": clock.seconds, "tokens": sum(lengths), "losses": losses, "memory": peak,
           "device": torch.cuda.get_device_name() if gpu else "cpu"}
    if case["objective"] == "sft":
        out["flops"] = flops(module, lengths, sum(n for _, n in sequences(objective, timed)))
    return out


def flops(module, lengths: list[int], answer_tokens: int) -> float:
    """Operations that the job needs, by the formula above; norms and softmax are left out."""
    config, tokens = module.config, sum(lengths)
    adapter = sum(p.numel() for n, p in module.named_parameters() if "lora_" in n)
    layers = [p for n, p in module.named_parameters() if ".layers." in n and "lora_" not in n and p.ndim == 2]
    attention = 12 * config.hidden_size * config.num_hidden_layers * sum(length**2 for length in lengths)
    output = 4 * answer_tokens * config.hidden_size * config.vocab_size
    return 4 * tokens * sum(p.numel() for p in layers) + output + 6 * tokens * adapter + attention


if __name__ == "__main__":
    print(json.dumps(contend(sys.argv[1], json.loads(sys.argv[2]))))
