"""`make predict`: what an adapted model says to new texts, how sure it is, and whether it is sure enough.

    python -m stackelberg_lib.report.predictions --adapter adapters/mine --data new_texts.csv --out answers.csv

An answer is settled when its confidence reaches the threshold in the adapter's card, else doubtful. How often settled
answers were wrong on test texts, with the interval, is said with every run; it is no promise for other texts.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

from stackelberg_lib.errors import InputError


def run(adapter: Path, data: str, model: str | None, out: Path) -> dict:
    """Write one CSV row (text, label, confidence, flag) per text to `out`; returns the card's facts, and how many.

    model: the base model, None for the one that the card names. Raises InputError, also for another base model.
    """
    from stackelberg_lib.data import sets
    from stackelberg_lib.lm import cache, card, features, finetune, registry

    facts, texts = card.read(adapter), sets.texts(data)
    try:
        base = registry.resolve(model or facts["base"]["name"])
    except InputError as error:
        raise InputError(f"{error}; the base model is {facts['base']['name']!r} ({facts['base']['source']}): "
                         "name its folder with MODEL=") from None
    if cache.model_hash(base) != facts["base"]["sha256"]:
        raise InputError(f"MODEL={base.name} is not the model that {adapter} was trained on ({facts['base']['name']}, "
                         f"SHA-256 {facts['base']['sha256'][:16]}...); give that one")
    classifier, names = finetune.load_adapter(base, adapter)
    p = finetune.predict(classifier, features.Tokens(base, texts))
    threshold = facts["settled"]["threshold"]
    sure = p.max(1) >= (2 if threshold is None else threshold)
    try:
        with out.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["text", "label", "confidence", "flag"])
            for text, row, settled in zip(texts, p, sure, strict=True):
                rows.writerow([text, names[row.argmax()], f"{row.max():.4f}", "settled" if settled else "doubtful"])
    except OSError as error:
        raise InputError(f"OUT={out} cannot be written ({error.strerror}); give another file") from None
    return {**facts["settled"], "texts": len(texts), "sure": int(sure.sum())}


def main() -> int:
    """Command line of `make predict`."""
    parser = argparse.ArgumentParser("predict", description=main.__doc__, allow_abbrev=False)
    parser.add_argument("--adapter", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model")
    parser.add_argument("--out", type=Path, default=Path("predictions.csv"))
    a = parser.parse_args()
    try:
        found = run(a.adapter, a.data, a.model, a.out)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{found['texts']} texts, {found['sure']} settled, {found['texts'] - found['sure']} doubtful: {a.out}")
    if found["threshold"] is not None:
        print(f"settled answers: {found['wrong']} of {found['settled']} were wrong on test texts that did not choose "
              f"the threshold, 95 % interval of the share {found['low']:.3f} to {found['high']:.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
