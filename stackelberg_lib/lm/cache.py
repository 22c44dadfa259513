"""Features kept on disk, so that a text is read by the same model once.

One safetensors file per key. The key is a hash of everything the features depend on: the model's files, the texts in
their order, the readout and the length limit. The key is stored in the file too, with the shape it must have.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stackelberg_lib.lm import features
from stackelberg_lib.lm.features import PLAIN, Readout
from stackelberg_lib.lm.registry import Model

FORMAT = 1  # raise it when the way features are computed changes: old files are then not found
MODEL_FILES = ("config.json", "*.safetensors", "tokenizer*", "*.model", "vocab.*", "merges.txt",
               "special_tokens_map.json", "added_tokens.json", "*.jinja")


def default_folder() -> Path:
    """Where features are kept unless told otherwise: $XDG_CACHE_HOME or ~/.cache, then stackelberg_lib/features."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stackelberg_lib" / "features"


def model_hash(model: Model) -> str:
    """SHA-256 over names and contents of the model's config, weights and tokenizer files."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in MODEL_FILES for path in model.folder.glob(pattern)}):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name} {content}\n".encode())
    return digest.hexdigest()


def key(model: Model, texts: list[str], readout: Readout, keep: str) -> str:
    """Hash of all that the features depend on. Each text is hashed by itself: ["ab"] and ["a", "b"] differ."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    settings = {"format": FORMAT, "model": model_hash(model), "texts": digest.hexdigest(), "readout": asdict(readout),
                "keep": keep, "max_tokens": features.MAX_TOKENS}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def embedded(model: Model, texts: list[str], readout: Readout = PLAIN, keep: str = "start",
             folder: Path | str | None = None) -> np.ndarray:
    """Features (N, m) float32 of the texts under the base model, from disk if they are there, else computed and kept.

    folder: where to keep them, `default_folder()` if None. A file that cannot be read, or a folder that cannot be
    written, costs one line on stderr and the time to compute, never the result. Errors as `features.embed`.
    """
    texts = list(texts)
    name = key(model, texts, readout, keep)
    path = Path(folder or default_folder()) / f"{name}.safetensors"
    kept = _read(path, name, len(texts))
    if kept is not None:
        return kept
    tokens = features.Tokens(model, texts, keep)
    computed = features.embed(features.load_backbone(model), tokens, readout=readout)
    try:
        _write(path, name, computed)
    except OSError as error:
        _note(f"features are not kept: {path.parent}: {error.strerror or error}")
    return computed


def _read(path: Path, name: str, rows: int) -> np.ndarray | None:
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            if (file.metadata() or {}).get("key") != name:
                raise ValueError("it holds another key")
            found = file.get_tensor("features")
        if found.ndim != 2 or len(found) != rows or not np.isfinite(found).all():
            raise ValueError(f"it does not hold {rows} rows of finite numbers")
        return found
    except (OSError, SafetensorError, ValueError) as error:
        _note(f"computing features anew: {path} is unusable: {str(error).splitlines()[0]}")
        return None


def _write(path: Path, name: str, computed: np.ndarray) -> None:
    """Write beside, then rename: another process, or this one interrupted, never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(save({"features": np.ascontiguousarray(computed)}, metadata={"key": name}))
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def _note(text: str) -> None:
    print(f"cache: {text}", file=sys.stderr)
