"""The features' cache: same key, same numbers; any change, another key; damage costs time only."""

import json
import os
import shutil
import threading

import numpy as np
import pytest

from stackelberg_lib.lm import cache, features, registry
from stackelberg_lib.lm.features import Readout
from stackelberg_lib.lm.registry import Model

TEXTS = ["My card is lost.", "Where is the parcel?", "Hi."]


@pytest.fixture(scope="module")
def pocket():
    return registry.resolve("pocket")


@pytest.fixture
def loads(monkeypatch):
    """How often a model was loaded, that is, how often features were computed."""
    load, seen = features.load_backbone, []
    monkeypatch.setattr(features, "load_backbone", lambda model: seen.append(model.name) or load(model))
    return seen


def copy_of(pocket, folder):
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(pocket.folder / name, folder / name)
    return Model("copy", folder, "causal", "test")


def test_second_time_from_disk_bit_for_bit(pocket, tmp_path, loads):
    first, second = (cache.embedded(pocket, TEXTS, folder=tmp_path) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    direct = features.embed(features.load_backbone(pocket), features.Tokens(pocket, TEXTS))
    np.testing.assert_array_equal(first, direct)
    assert len(loads) == 2 and first.dtype == second.dtype == np.float32  # once by the cache, once by this test
    assert [p.suffix for p in tmp_path.iterdir()] == [".safetensors"]


@pytest.mark.parametrize("change", [
    dict(texts=TEXTS[::-1]), dict(texts=TEXTS[:2]), dict(texts=["".join(TEXTS)]), dict(texts=[*TEXTS[:2], "Hi"]),
    dict(readout=Readout("last")), dict(readout=Readout(layer=2)), dict(readout=Readout(unit=False)),
    dict(readout=Readout(bf16=True)), dict(keep="end"),
], ids=str)
def test_another_text_or_setting_is_another_key(pocket, change):
    same = dict(texts=TEXTS, readout=Readout(), keep="start")
    assert cache.key(pocket, **same) == cache.key(pocket, **same)
    assert cache.key(pocket, **{**same, **change}) != cache.key(pocket, **same)


def test_another_length_limit_is_another_key(pocket, monkeypatch):
    before = cache.key(pocket, TEXTS, Readout(), "start")
    monkeypatch.setattr(features, "MAX_TOKENS", 64)
    assert cache.key(pocket, TEXTS, Readout(), "start") != before


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_another_model_file_is_another_model(pocket, tmp_path, name):
    model = copy_of(pocket, tmp_path)
    before = cache.model_hash(model)
    assert before == cache.model_hash(pocket)  # by content, not by name or place
    (tmp_path / "README.md").write_text("no part of the model")
    assert cache.model_hash(model) == before
    with (tmp_path / name).open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    assert cache.model_hash(model) != before


def damage_cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def damage_garbage(path):
    path.write_bytes(b"\xff" * 100)


def damage_empty(path):
    path.write_bytes(b"")


def damage_other_key(path):
    from safetensors.numpy import load_file, save_file

    save_file({"features": load_file(path)["features"] + 1}, path, metadata={"key": "another"})


def damage_rows(path):
    from safetensors.numpy import load_file, save_file

    save_file({"features": load_file(path)["features"][:2].copy()}, path, metadata={"key": path.stem})


def damage_nan(path):
    from safetensors.numpy import load_file, save_file

    save_file({"features": load_file(path)["features"] * np.float32("nan")}, path, metadata={"key": path.stem})


DAMAGES = [damage_cut, damage_garbage, damage_empty, damage_other_key, damage_rows, damage_nan]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_computed_anew_and_replaced(pocket, tmp_path, capsys, loads, damage):
    expected = cache.embedded(pocket, TEXTS, folder=tmp_path)
    path, = tmp_path.iterdir()
    damage(path)
    np.testing.assert_array_equal(cache.embedded(pocket, TEXTS, folder=tmp_path), expected)
    note = capsys.readouterr().err
    assert note.startswith("cache: computing features anew: ") and note.count("\n") == 1 and path.name in note
    np.testing.assert_array_equal(cache.embedded(pocket, TEXTS, folder=tmp_path), expected)
    assert len(loads) == 2 and capsys.readouterr().err == ""


def test_an_interrupted_write_leaves_nothing_behind(pocket, tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cache.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.embedded(pocket, TEXTS, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_costs_a_line(pocket, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    found = cache.embedded(pocket, TEXTS, folder=tmp_path / "file" / "below")
    note = capsys.readouterr().err
    assert found.shape == (3, 160) and note.startswith("cache: features are not kept: ") and note.count("\n") == 1


def test_two_at_once(pocket, tmp_path, monkeypatch, capsys):
    both_have_written, replace, found = threading.Barrier(2, timeout=120), os.replace, []
    monkeypatch.setattr(cache.os, "replace", lambda *args: both_have_written.wait() is not None and replace(*args))
    threads = [threading.Thread(target=lambda: found.append(cache.embedded(pocket, TEXTS, folder=tmp_path)))
               for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(found[0], found[1])
    assert len(list(tmp_path.iterdir())) == 1 and capsys.readouterr().err == ""


def test_where_it_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.default_folder() == tmp_path / "stackelberg_lib" / "features"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert cache.default_folder() == tmp_path / "me" / ".cache" / "stackelberg_lib" / "features"


def test_the_key_is_one_line_of_json_away_from_its_parts(pocket):
    """What a key is made of is written out once, so that a change of its parts is a change somebody made on purpose."""
    import hashlib

    texts = hashlib.sha256(b"".join(hashlib.sha256(t.encode()).digest() for t in TEXTS)).hexdigest()
    readout = {"bf16": False, "layer": -1, "pooling": "mean", "unit": True}
    parts = {"format": 1, "keep": "start", "max_tokens": 128, "model": cache.model_hash(pocket), "readout": readout,
             "texts": texts}
    expected = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    assert cache.key(pocket, TEXTS, Readout(), "start") == expected
