"""Exchange with the outside: PEFT folders both ways, hub ids from a local mirror, and the one line without a hub."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from stackelberg_lib.data import sets
from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import finetune, objectives, registry
from stackelberg_lib.lm.finetune import Recipe

POCKET = registry.resolve("pocket")
NAMES = (" late", " lost", " wrong")


@pytest.fixture(scope="module")
def prompts():
    return [text + "\n>" for text in sets.load("pocketdesk", 0).train_texts[:8]]


@pytest.fixture(scope="module")
def trained(prompts):
    generator = finetune.lora_generator(POCKET, 4, 0)
    answers = objectives.Answers(POCKET, prompts, NAMES)
    finetune.fit_answers(generator, answers, np.arange(8), np.arange(8) % 3, Recipe(12, 8, 4, 2e-2), 0)
    return generator


def plain_model():
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(POCKET.folder, dtype=torch.float32)


def said(generator, prompts):
    ids, mask = objectives.Answers(POCKET, prompts, NAMES).left(objectives.Answers(POCKET, prompts, NAMES).prompts)
    generator.eval()
    return generator.generate(input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=8).tolist()


def test_our_folder_generates_the_same_tokens_in_plain_peft(trained, prompts, tmp_path):
    from peft import PeftModel

    trained.save_pretrained(tmp_path)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".md", ".safetensors"]
    expected = said(trained, prompts)
    assert said(PeftModel.from_pretrained(plain_model(), tmp_path), prompts) == expected
    assert said(finetune.load_generator(POCKET, tmp_path), prompts) == expected
    assert said(plain_model(), prompts) != expected


def test_a_folder_of_plain_peft_opens_here(prompts, tmp_path):
    from peft import LoraConfig, get_peft_model

    theirs = get_peft_model(plain_model(), LoraConfig(r=3, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM",
                                                      init_lora_weights=False))
    theirs.save_pretrained(tmp_path)
    ours = finetune.load_generator(POCKET, tmp_path)
    assert said(ours, prompts) == said(theirs, prompts) != said(plain_model(), prompts)


def test_folders_that_hold_no_adapter(tmp_path, trained):
    with pytest.raises(InputError, match="holds no adapter_config.json; it is no PEFT folder"):
        finetune.load_generator(POCKET, tmp_path)
    trained.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="holds no head.safetensors; .* opened by load_generator"):
        finetune.load_adapter(POCKET, tmp_path)
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    with pytest.raises(InputError, match="holds no adapter_model.safetensors; it is no PEFT folder in safetensors"):
        finetune.load_generator(POCKET, tmp_path)


HUB = """
import json, numpy as np
from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import finetune, objectives, registry
model = registry.resolve("owner/tiny")
answers = objectives.Answers(model, ["my parcel is", "hello"], [" late", " wrong"])
generator = finetune.lora_generator(model, 2, 0)
losses = finetune.fit_answers(generator, answers, np.arange(2), np.arange(2), finetune.Recipe(2, 2, 2), 0)
print(json.dumps([model.name, model.kind, model.source, losses, objectives.score(generator, answers).tolist()]))
try:
    registry.resolve("owner/absent")
except InputError as error:
    print(error)
"""


def test_a_hub_id_is_trained_from_a_local_mirror_without_a_hub(tmp_path):
    repo = tmp_path / "hub" / "models--owner--tiny"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("abc123")
    shutil.copytree(POCKET.folder, repo / "snapshots" / "abc123")
    # In a process of its own: the hub library reads its environment when it is imported.
    env = {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", HUB], env=env, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trained, missing = done.stdout.splitlines()
    name, kind, source, losses, scores = json.loads(trained)
    assert (name, kind, source) == ("owner/tiny", "causal", "hub id") and len(losses) == 2
    answers = objectives.Answers(POCKET, ["my parcel is", "hello"], [" late", " wrong"])
    generator = finetune.lora_generator(POCKET, 2, 0)
    finetune.fit_answers(generator, answers, np.arange(2), np.arange(2), Recipe(2, 2, 2), 0)
    np.testing.assert_allclose(scores, objectives.score(generator, answers), rtol=1e-4)
    assert missing.startswith("MODEL=owner/absent is not on this disk and the hub did not give it (")
    assert "use pocket, minilm, or a local folder" in missing


def test_a_hub_that_does_not_answer_is_one_line(tmp_path):
    """Not told to stay offline: the hub is asked, at an address where nothing listens."""
    code = ("from stackelberg_lib.errors import InputError\nfrom stackelberg_lib.lm.registry import resolve\n"
            "try:\n    resolve('owner/absent')\nexcept InputError as error:\n    print(error)\n")
    env = {"HF_HUB_CACHE": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    line, = done.stdout.splitlines()
    assert line.startswith("MODEL=owner/absent is not on this disk and the hub did not give it (")
    assert line.endswith("use pocket, minilm, or a local folder in Hugging Face format") and done.stderr == ""
