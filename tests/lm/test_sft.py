"""The command that fine-tunes on answers: two processes do what one does, and only the first of them writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from stackelberg_lib.data import sets
from stackelberg_lib.lm import finetune, objectives, registry, sft

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = ["-m", "stackelberg_lib.lm.sft", "--labels", "24", "--steps", "6", "--batch", "6", "--rank", "4"]
# A process that is not the first one and writes anything leaves a file of its own rank.
WATCH = """
import os, pathlib, runpy, sys
real = pathlib.Path.write_text
def noting(self, *args, **more):
    (pathlib.Path(os.environ["NOTES"]) / os.environ.get("RANK", "0")).touch()
    return real(self, *args, **more)
pathlib.Path.write_text = noting
sys.argv = ["sft", *sys.argv[1:]]
runpy.run_module("stackelberg_lib.lm.sft", run_name="__main__")
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders written by one process, started here, and by two."""
    folder = tmp_path_factory.mktemp("sft")
    (folder / "watch.py").write_text(WATCH)
    (folder / "notes").mkdir()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "NOTES": str(folder / "notes")}
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "watch.py",
           *ARGUMENTS[2:], "--out", str(folder / "two")]
    child = subprocess.Popen(two, cwd=folder, env=env, stderr=subprocess.PIPE, text=True)
    data, model = sets.load("pocketdesk", 0), registry.resolve("pocket")
    rows = np.random.default_rng([0, 5]).permutation(len(data.train_texts))[:24]
    sft.run(model, data, rows, finetune.Recipe(steps=6, batch=6, rank=4), 0, folder / "one")
    assert child.wait(timeout=600) == 0, child.stderr.read()
    return folder


def test_two_processes_train_as_one(runs):
    one, two = (json.loads((runs / name / "run.json").read_text()) for name in ("one", "two"))
    assert (one["processes"], two["processes"]) == (1, 2)
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-4)
    assert len(one["losses"]) == 6 and one["losses"][-1] < one["losses"][0]
    mine, theirs = (load_file(runs / name / "adapter_model.safetensors") for name in ("one", "two"))
    assert mine.keys() == theirs.keys()
    for name, weight in mine.items():  # sums in another order, which AdamW's first steps blow up where g is near 0
        np.testing.assert_allclose(theirs[name], weight, atol=2e-4, rtol=1e-3, err_msg=name)


def test_only_the_first_process_writes(runs):
    assert [p.name for p in (runs / "notes").iterdir()] == ["0"]
    written = sorted(p.name for p in (runs / "two").iterdir())
    assert written == sorted(p.name for p in (runs / "one").iterdir())
    assert {"adapter_config.json", "adapter_model.safetensors", "run.json"} <= set(written)


def test_what_was_written_answers(runs):
    model, data = registry.resolve("pocket"), sets.load("pocketdesk", 0)
    generator = finetune.load_generator(model, runs / "two")
    answers = sft.tokenise(model, data.test_texts[:8], data)
    said = objectives.decode(generator, answers)
    assert said.shape == (8,) and set(said) <= set(range(32))
    assert not np.allclose(objectives.score(generator, answers),
                           objectives.score(finetune.lora_generator(model, 4, 0), answers))


@pytest.mark.parametrize(("name", "said"), [("card_arrival", " card arrival"), ("Refund_not_showing_up",
                                            " Refund not showing up"), ("A", " A"), (" a  b_", " a b")])
def test_a_labels_name_as_an_answer(name, said):
    assert sft.words(name) == said


def test_the_command_refuses_in_one_line(tmp_path):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", *ARGUMENTS, "--labels", "99999", "--out", str(tmp_path / "x")]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 2 and "BUDGET=99999 is larger than the pool of 3000 texts" in done.stderr
    assert not (tmp_path / "x").exists()
