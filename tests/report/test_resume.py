"""What a run leaves when it is killed, when the disk is full, when another runs beside it; and how the next goes on."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.report import files, records, runner
from stackelberg_lib.report.lessons import read_lesson

COUNT = "import os\nwith open('ran_{}', 'a') as file: print(os.getpid(), file=file)"
RUNNER = [sys.executable, "-m", "stackelberg_lib.report.runner"]


@pytest.fixture
def counted(write_lesson, tmp_path):
    """A function that writes a lesson which counts its runs, and one that returns the process of each run."""

    def write(name, *cells):
        write_lesson(name, COUNT.format(name), *cells)

    def runs(name):
        file = tmp_path / "notebooks" / f"ran_{name}"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    return write, runs


@pytest.fixture
def argv(tmp_path):
    return [f"--notebooks-dir={tmp_path / 'notebooks'}", f"--out={tmp_path / 'out'}"]


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def gone(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return ") Z " in file.read()
    except FileNotFoundError:
        return True


def test_killed_then_resumed(counted, argv, tmp_path, capsys):
    """kill -9 in the middle of a lesson: its kernel ends, no half file has a page's name, and only it runs again."""
    write, runs = counted
    write("01_first", "print('done')")
    write("04_slow", "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.05)")
    out = tmp_path / "out"
    job = subprocess.Popen([*RUNNER, *argv, "--workers=2"], stderr=subprocess.DEVNULL)
    until(lambda: runs("04_slow") and (out / "01_first.json").exists())
    job.kill()
    job.wait()
    until(lambda: gone(runs("04_slow")[0]))
    assert {p.name for p in out.glob("0*")} == {"01_first.ipynb", "01_first.html", "01_first.json"}
    (tmp_path / "notebooks/go").touch()
    before = (out / "01_first.html").stat().st_mtime_ns, (out / "01_first.ipynb").read_text()
    assert runner.main([*argv, "--resume=1"]) == 0
    captured = capsys.readouterr()
    assert "kept, finished before: 01" in captured.err and "2 passed, 0 failed" in captured.out
    assert len(runs("01_first")) == 1 and len(runs("04_slow")) == 2
    assert (out / "01_first.ipynb").read_text() == before[1]
    index = (out / "index.html").read_text()
    assert "2 passed, 0 failed, 0 missing" in index and index.count("by an earlier run") == 1
    assert 'href="04_slow.html"' in (out / "01_first.html").read_text()  # it had no page when the first was written


def change_lesson(folder):
    file = folder / "01_first.ipynb"
    file.write_text(file.read_text().replace("print('same')", "print('other')"))


def cut(folder):
    (folder.parent / "out/01_first.html").unlink()


def cut_record(folder):
    record = folder.parent / "out/01_first.json"
    record.write_text(record.read_text()[:-20])


def failed(folder):
    record = folder.parent / "out/01_first.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"trace": "ValueError"}))


@pytest.mark.parametrize(("spoil", "more", "again"), [
    (None, [], 1), (None, ["--workers=2"], 1), (change_lesson, [], 2), (cut, [], 2), (cut_record, [], 2),
    (failed, [], 2), (None, ["--seed=3"], 2),
])
def test_what_counts_as_finished(counted, argv, tmp_path, spoil, more, again):
    write, runs = counted
    write("01_first", "print('same')")
    assert runner.main(argv) == 0
    if spoil:
        spoil(tmp_path / "notebooks")
    assert runner.main([*argv, "--resume=1", *more]) == 0
    assert len(runs("01_first")) == again


def test_without_resume_everything_runs(counted, argv):
    write, runs = counted
    write("01_first")
    assert runner.main(argv) == runner.main([*argv, "--resume=0"]) == 0
    assert len(runs("01_first")) == 2


def test_another_commit_or_another_result_is_another_source(tmp_path):
    def git(*words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True,
                       capture_output=True)

    (tmp_path / "results").mkdir()
    (tmp_path / "results/a.json").write_text("1")
    git("init")
    git("add", ".")
    git("commit", "-m", "a")
    first = records.source_key(tmp_path)
    assert records.source_key(tmp_path) == first
    git("commit", "--allow-empty", "-m", "b")
    second = records.source_key(tmp_path)
    (tmp_path / "results/a.json").write_text("2")
    third = records.source_key(tmp_path)
    (tmp_path / "results/a.json").write_text("3")  # as dirty as before, with other contents
    assert len({first, second, third, records.source_key(tmp_path)}) == 4


def test_a_users_data_are_part_of_the_key(write_lesson, tmp_path):
    lesson, data = read_lesson(write_lesson("01_a")), tmp_path / "rows.csv"
    data.write_text("text,label\n")
    given = {"data": str(data)}
    first = records.key(lesson, given, "")
    data.write_text("text,label\na,b\n")
    assert first != records.key(lesson, given, "") != records.key(lesson, {}, "")


# --- a folder that cannot be written

def limited(bytes_):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, bytes_))


def test_no_room_for_a_page(counted, argv, tmp_path):
    """The system refuses the file, as a full disk does: one line, status 2, and what was finished stays finished."""
    write, runs = counted
    write("01_first")
    write("04_large", "print('x' * 2_400_000)")
    done = subprocess.run([*RUNNER, *argv], preexec_fn=limited(2_300_000), capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    line = done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr and done.stderr.count("report: ") == 1
    assert line.startswith(f"report: OUT={tmp_path / 'out'} cannot be written (File too large)") and "RESUME=1" in line
    assert {p.name for p in (tmp_path / "out").glob("*0*")} == {"01_first.ipynb", "01_first.html", "01_first.json"}
    done = subprocess.run([*RUNNER, *argv, "--resume=1"], capture_output=True, text=True)
    assert done.returncode == 0 and len(runs("01_first")) == 1


def test_a_full_disk_at_the_first_file(counted, argv, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    counted[0]("01_first")
    monkeypatch.setattr("shutil.copy", full)
    assert runner.main(argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "(No space left on device)" in err and counted[1]("01_first") == []


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_read_only_folder(counted, argv, monkeypatch, capsys, number):
    """Root may write anywhere, so the system's answer is put in its mouth."""
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    counted[0]("01_first")
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert runner.main(argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and os.strerror(number) in err and "another folder" in err


def test_a_file_is_whole_or_as_it_was(tmp_path, monkeypatch):
    files.write(tmp_path / "a.html", "old")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        files.write(tmp_path / "a.html", "new" * 1000)
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"] and (tmp_path / "a.html").read_text() == "old"


# --- two runs at once, and several lessons at once

def test_two_runs_into_one_folder(counted, argv, tmp_path, capsys):
    write, runs = counted
    write("01_first", "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.05)")
    job = subprocess.Popen([*RUNNER, *argv], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until(lambda: runs("01_first"))
    assert runner.main(argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "is being written by another run" in err
    (tmp_path / "notebooks/go").touch()
    assert job.wait(timeout=60) == 0 and len(runs("01_first")) == 1
    assert runner.main(argv) == 0  # the lock is gone with the run that held it


WAIT = "import pathlib, time\nwhile not pathlib.Path({!r}).exists(): time.sleep(0.05)"


@pytest.mark.parametrize("given", [None, "3"])
def test_two_workers_run_two_lessons_at_once(counted, argv, tmp_path, capsys, monkeypatch, given):
    """Each waits until the other has started; one after the other they would wait for ever."""
    monkeypatch.setenv("OMP_NUM_THREADS", given) if given else monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    write, runs = counted
    threads = "import os\nprint('threads', os.environ['OMP_NUM_THREADS'])"
    for name, other in (("01_a", "ran_02_b"), ("02_b", "ran_01_a")):
        write(name, WAIT.format(other), threads)
    assert runner.main([*argv, "--workers=2"]) == 0
    err = capsys.readouterr().err.splitlines()
    assert sorted(line.partition("]")[2].split(" in ")[0] for line in err) == [
        " 01_a: passed", " 01_a: started", " 02_b: passed", " 02_b: started"]
    assert all(line.startswith("[") and "/2]" in line for line in err)
    assert f"threads {given or max(1, os.cpu_count() // 2)}" in (tmp_path / "out/01_a.html").read_text()


def test_interrupting_several_stops_all_kernels(counted, argv, tmp_path):
    write, runs = counted
    for name in ("01_a", "02_b", "03_c"):
        write(name, "import time\ntime.sleep(120)")
    job = subprocess.Popen([*RUNNER, *argv, "--workers=2"], stderr=subprocess.PIPE, text=True)
    until(lambda: runs("02_b") and runs("03_c"))  # the last ones first
    job.send_signal(signal.SIGTERM)
    err = job.communicate(timeout=60)[1]
    assert job.returncode == 130 and "interrupted after 0 of 3 lessons" in err and "Traceback" not in err
    until(lambda: gone(runs("02_b")[0]) and gone(runs("03_c")[0]), seconds=5)
    assert not runs("01_a") and "01_a: started" not in err  # it waited for a worker
    assert not list((tmp_path / "out").glob("0*"))


@pytest.mark.parametrize(("option", "word"), [("--workers=0", "WORKERS=0"), ("--workers=65", "1 to 64"),
                                              ("--workers=two", "WORKERS=two"), ("--resume=yes", "RESUME=yes")])
def test_refused_words(counted, argv, capsys, tmp_path, option, word):
    counted[0]("01_first")
    assert runner.main([*argv, option]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and word in err and not (tmp_path / "out").exists()
