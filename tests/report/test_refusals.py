"""Everything the runner refuses: before anything runs, one line, exit status 2, naming what exists."""

import json
import subprocess
import sys

import pytest

from stackelberg_lib.report import runner

LEARNING = 'profile = "lab"\nseed = 0\ndata = "pocketdesk"\nmodel = "pocket"\nbudget = 50\nseeds = 5'


@pytest.fixture
def folder(write_lesson):
    write_lesson("01_game", "raise RuntimeError('it ran')")
    write_lesson("04_gate", "raise RuntimeError('it ran')",
                 parameters='profile = "lab"\nseed = 0\nbeta = 0.1\nname = "x"\nfast: bool = False')
    return write_lesson("09_lora", "raise RuntimeError('it ran')", parameters=LEARNING).parent


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "ten rows.jsonl"
    path.write_text("".join(json.dumps({"text": f"text {i}", "label": "ab"[i % 2]}) + "\n" for i in range(10)))
    return path


def refused(capsys, folder, *argv):
    """The one line on stderr; the run must end with status 2 and leave no report."""
    out = folder.parent / "out"
    assert runner.main([f"--notebooks-dir={folder}", f"--out={out}", *argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and captured.err.endswith("\n"), captured.err
    assert not out.exists()
    return captured.err


@pytest.mark.parametrize(("argv", "words"), [
    (["--profile=fast"], ["PROFILE=fast", "smoke, lab, full"]),
    (["--notebooks=04 07"], ["'07'", "01, 04, 09"]),
    (["--notebooks="], ["no lesson", "01, 04, 09"]),
    (["--params=gamma=1"], ["gamma=1", "beta, budget, data, fast, model, name, profile, seed, seeds"]),
    (["--notebooks=01", "--data=pocketdesk"], ["data=pocketdesk", "of 01 are: profile, seed"]),
    (["--params=beta"], ["'beta'", "name=value"]),
    (["--params=beta='0.1"], ["PARAMS", "name=value"]),
    (["--params=beta=0.1 beta=0.2"], ["beta is given twice"]),
    (["--params=seed=1", "--seed=2"], ["seed is given twice"]),
    (["--params=beta=high"], ["beta=high", "a number", "beta=0.1"]),
    (["--params=beta=nan"], ["beta=nan", "a number"]),
    (["--params=beta=1e999"], ["a number"]),
    (["--params=fast=1"], ["True or False"]),
    (["--seed=1.5"], ["seed=1.5", "a whole number"]),
    (["--seed=one"], ["seed=one", "a whole number"]),
    (["--seed=True"], ["seed=True", "a whole number"]),
    (["--seed=-1"], ["seed=-1", "from 0"]),
    (["--seed=4294967296"], ["out of range", "4294967295"]),
    (["--seeds=0"], ["seeds=0", "from 1"]),
    (["--data=nowhere.csv"], ["nowhere.csv", "pocketdesk"]),
    (["--model=./nowhere"], ["./nowhere", "pocket, minilm"]),
])
def test_refused(capsys, folder, argv, words):
    line = refused(capsys, folder, *argv)
    for word in words:
        assert word in line


@pytest.mark.parametrize("budget", ["0", "-3", "nan", "ten", "2.5", "inf", "9"])
def test_bad_budgets(capsys, folder, rows, budget):
    """The pool of ten rows keeps eight for training, so nine labels are too many."""
    assert f"BUDGET={budget}" in refused(capsys, folder, f"--data={rows}", f"--budget={budget}")


def test_unreadable_rows_name_file_and_line(capsys, folder, tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": "fine", "label": "a"}\n{"text": 3}\n')
    assert "bad.jsonl, line 2" in refused(capsys, folder, f"--data={bad}")


def test_model_folder_without_weights(capsys, folder, tmp_path):
    assert "config.json" in refused(capsys, folder, f"--model={tmp_path}")


def test_notebook_without_the_tag(capsys, write_lesson, folder):
    write_lesson("05_untagged", "x = 1", tag="other")
    line = refused(capsys, folder)
    assert "05_untagged.ipynb" in line and "`parameters`" in line
    # lessons that were not asked for do not matter
    assert runner.plan([f"--notebooks-dir={folder}", "--notebooks=04", f"--out={folder.parent / 'o'}"])


@pytest.mark.parametrize(("content", "word"), [("{", "not a notebook"), ("[]", "not a notebook")])
def test_broken_notebook(capsys, folder, content, word):
    (folder / "06_broken.ipynb").write_text(content)
    line = refused(capsys, folder)
    assert "06_broken.ipynb" in line and word in line


def test_folder_without_notebooks(capsys, tmp_path):
    assert "holds no notebook" in refused(capsys, tmp_path / "nowhere")


def test_unwritable_out(capsys, folder, tmp_path):
    """A file where the folder should be: refused for every user, root included."""
    (tmp_path / "file").write_text("")
    assert runner.main([f"--notebooks-dir={folder}", f"--out={tmp_path / 'file' / 'x'}"]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "OUT=" in line and "another folder" in line


def test_unknown_option_is_one_line(capsys):
    with pytest.raises(SystemExit) as stop:
        runner.main(["--colour=red"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_refusal_imports_nothing_heavy(folder):
    """The answer to a typing error must not wait for papermill or torch."""
    code = ("import sys; from stackelberg_lib.report.runner import main; status = main(sys.argv[1:]); "
            "print(status, sorted({'papermill', 'nbconvert', 'torch', 'transformers'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code, f"--notebooks-dir={folder}", "--params=gamma=1"],
                          capture_output=True, text=True, check=True)
    assert done.stdout == "2 []\n"


def test_accepted_values_reach_only_the_lessons_that_have_them(folder, rows):
    checked = runner.plan([f"--notebooks-dir={folder}", f"--out={folder.parent / 'out'}", "--profile=smoke", "--seed=3",
                           "--seeds=2", f"--data={rows}", "--budget=8", "--params=beta=1 name='a b' fast=True"])
    game, gate, lora = checked.given
    assert game == {"profile": "smoke", "seed": 3}
    assert gate == {"profile": "smoke", "seed": 3, "beta": 1, "name": "a b", "fast": True}
    assert lora == {"profile": "smoke", "seed": 3, "seeds": 2, "data": str(rows), "budget": 8}


def test_relative_paths_become_absolute(folder, rows, monkeypatch):
    monkeypatch.chdir(rows.parent)
    (rows.parent / "pocketdesk").mkdir()  # a folder that is named like a known set must not replace it
    argv = [f"--notebooks-dir={folder}", "--out=out"]
    assert runner.plan([*argv, f"--data={rows.name}"]).given[2]["data"] == str(rows)
    assert runner.plan([*argv, "--data=pocketdesk"]).given[2]["data"] == "pocketdesk"
