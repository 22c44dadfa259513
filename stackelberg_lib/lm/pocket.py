"""Pocket: the embedded language model, trained from scratch on text of the generated world.

    python -m stackelberg_lib.lm.pocket            (or `make pocket`) retrains it into models/pocket

A Llama of 1.7 M parameters with a byte-level BPE tokenizer. Its text is a stream of dialogues (message, answer of the
desk, message on the same topic) about topics that PocketDesk does not contain. It reads as English and means little.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from pathlib import Path

import numpy as np

from stackelberg_lib.data import pocketdesk, world

FOLDER = Path(__file__).resolve().parents[2] / "models" / "pocket"
VOCABULARY, CONTEXT = 1024, 128
SHAPE = dict(hidden_size=160, intermediate_size=432, num_hidden_layers=5, num_attention_heads=5, num_key_value_heads=5)


def dialogue(rng: np.random.Generator) -> str:
    """One pretraining document: a message, the answer, and a second message on the same topic."""
    topics = pocketdesk.pretraining_topics()
    topic = topics[rng.integers(len(topics))]
    first, second = world.message(rng, *topic)[0], world.message(rng, *topic)[0]
    return f"{first}\n> {world.reply(rng, *topic)}\n{second}\n"


def train_tokenizer(rng: np.random.Generator, documents: int = 20_000):
    """Byte-level BPE on `documents` dialogues, as a transformers tokenizer; <pad> 0, <s> 1, </s> 2."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator((dialogue(rng) for _ in range(documents)), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
                                   model_max_length=CONTEXT, clean_up_tokenization_spaces=False)


def batches(tokenizer, rng: np.random.Generator, rows: int):
    """Endless blocks (rows, CONTEXT) of token ids: fresh dialogues packed one behind the other, </s> between them."""
    import torch

    ids: list[int] = []
    while True:
        while len(ids) < rows * CONTEXT:
            documents = [dialogue(rng) for _ in range(64)]
            for encoded in tokenizer(documents)["input_ids"]:
                ids += [*encoded, tokenizer.eos_token_id]
        yield torch.tensor(ids[:rows * CONTEXT]).view(rows, CONTEXT)
        ids = ids[rows * CONTEXT:]


def build(seed: int, vocabulary: int):
    """A freshly initialised Pocket; `seed` fixes its weights without touching the caller's generators."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(vocab_size=vocabulary, max_position_embeddings=CONTEXT, tie_word_embeddings=True,
                         pad_token_id=0, bos_token_id=1, eos_token_id=2, **SHAPE)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def train(folder: Path, steps: int, rows: int = 32, peak: float = 2e-3, seed: int = 0) -> dict:
    """Train Pocket for `steps` blocks of (rows, CONTEXT) tokens and write model, tokenizer and log into `folder`."""
    import torch
    from tqdm import tqdm
    from transformers import get_cosine_schedule_with_warmup

    text, held_out = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
    tokenizer = train_tokenizer(text)
    model = build(seed, len(tokenizer))
    optimiser = torch.optim.AdamW(model.parameters(), lr=peak, betas=(0.9, 0.95), weight_decay=0.05)
    schedule = get_cosine_schedule_with_warmup(optimiser, steps // 20, steps)
    stream, losses, start = batches(tokenizer, text, rows), [], time.perf_counter()
    for step in tqdm(range(steps), desc="pocket", mininterval=5):
        block = next(stream)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=block, labels=block).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
        if not math.isfinite(loss.item()):
            raise FloatingPointError(f"loss is {loss.item()} at step {step}; nothing was written to {folder}")
        if step % 100 == 0 or step == steps - 1:
            losses.append([step, round(loss.item(), 4)])
    with torch.no_grad():
        block = next(batches(tokenizer, held_out, 128))
        validation = model(input_ids=block, labels=block).loss.item()
    log = {"steps": steps, "tokens": steps * rows * CONTEXT, "parameters": model.num_parameters(), "peak_lr": peak,
           "seed": seed, "precision": "bfloat16 autocast, float32 weights", "held_out_loss": round(validation, 4),
           "minutes": round((time.perf_counter() - start) / 60, 1), "threads": torch.get_num_threads(),
           "machine": platform.machine(), "python": platform.python_version(), "torch": torch.__version__,
           "date": time.strftime("%Y-%m-%d"), "loss": losses}
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "training_log.json").write_text(json.dumps(log, indent=1) + "\n")
    return log


def main() -> None:
    """Command line of `make pocket`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    log = train(arguments.out, arguments.steps)
    print(f"Pocket: {log['parameters']:,} parameters, held-out loss {log['held_out_loss']} nats per token, "
          f"{log['minutes']} minutes, written to {arguments.out}")


if __name__ == "__main__":
    main()
