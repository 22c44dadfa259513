"""`make data`: fetched over HTTP from a server on this machine, converted, and checked against the pinned sums."""

import csv
import hashlib
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from stackelberg_lib.data import download, sets
from stackelberg_lib.errors import InputError


@pytest.fixture
def server():
    files: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = files.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}", files
    http.shutdown()


def original(name: str, rows: list[dict]) -> bytes:
    """The source file that a converted set came from, written back from its rows."""
    if name == "banking77":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerows([["text", "category"], *([r["text"], r["label"]] for r in rows)])
        return out.getvalue().encode()
    if name == "stackoverflow20":
        return ("text\tlabel\n" + "".join(f"{r['text']}\t{r['label']}\n" for r in rows)).encode()
    return "".join(json.dumps({**r, "metadata": []}, ensure_ascii=False) + "\n" for r in rows).encode()


@pytest.mark.parametrize("name", ["banking77", "chemprot", "stackoverflow20"])
def test_real_sources_convert_to_the_real_sets(name, server, tmp_path, real_set):
    real_set(name)
    host, files = server
    source = download.SOURCES[name]
    for written, (path, sha, _) in source.files.items():
        content = (sets.find(name) / written).read_text(encoding="utf-8")
        rows = [json.loads(line) for line in content.split("\n") if line]
        raw = original(name, rows)
        assert hashlib.sha256(raw).hexdigest() == sha  # so the server sends what the real source sends, byte for byte
        files[f"/{source.repository}/raw/{source.commit}/{path}"] = raw
    folder = download.download(name, tmp_path, host)
    for written in source.files:
        assert (folder / written).read_bytes() == (sets.find(name) / written).read_bytes()
    assert source.commit in (folder / "PROVENANCE.md").read_text()


def tiny(monkeypatch, raw: bytes, converted: bytes):
    files = {"dev.jsonl": ("d.json", hashlib.sha256(raw).hexdigest(), hashlib.sha256(converted).hexdigest())}
    source = download.Source("o/r", "c0ffee", "none", download._medmcqa, files)
    monkeypatch.setitem(download.SOURCES, "tiny", source)


RAW = json.dumps({"question": "q", "exp": None, "cop": 3, "opa": "1", "opb": "2", "opc": "3", "opd": "4",
                  "subject_name": "s", "topic_name": None, "id": "i", "choice_type": "single"}).encode() + b"\n"
ROW = {"id": "i", "question": "q", "options": ["1", "2", "3", "4"], "answer": "C", "subject": "s", "topic": None,
       "exp": None}


def test_multiple_choice_conversion(server, tmp_path, monkeypatch):
    host, files = server
    tiny(monkeypatch, RAW, json.dumps(ROW).encode() + b"\n")
    files["/o/r/raw/c0ffee/d.json"] = RAW
    assert json.loads((download.download("tiny", tmp_path, host) / "dev.jsonl").read_text()) == ROW


def test_a_changed_source_is_refused_and_the_old_copy_stays(server, tmp_path, monkeypatch):
    host, files = server
    tiny(monkeypatch, RAW, json.dumps(ROW).encode() + b"\n")
    files["/o/r/raw/c0ffee/d.json"] = RAW.replace(b'"cop": 3', b'"cop": 2')
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "mine").write_text("kept")
    with pytest.raises(InputError, match="sha256 .* nothing was written"):
        download.download("tiny", tmp_path, host)
    assert [p.name for p in tmp_path.iterdir()] == ["tiny"] and (tmp_path / "tiny" / "mine").read_text() == "kept"


@pytest.mark.parametrize("what", ["source", "conversion"])
def test_each_sum_is_checked_on_its_own(server, tmp_path, monkeypatch, what):
    host, files = server
    converted = json.dumps(ROW).encode() + b"\n"
    tiny(monkeypatch, RAW, converted if what == "source" else converted + b"\n")
    # a field that the conversion drops: only the source's own sum can tell
    files["/o/r/raw/c0ffee/d.json"] = RAW.replace(b"single", b"multi") if what == "source" else RAW
    with pytest.raises(InputError, match="d.json: sha256" if what == "source" else "converted.*sha256"):
        download.download("tiny", tmp_path, host)
    assert not list(tmp_path.iterdir())


def test_unreachable_or_unknown(server, tmp_path):
    host, _ = server
    with pytest.raises(InputError, match="404.*nothing was written"):
        download.download("banking77", tmp_path, host)
    with pytest.raises(InputError, match="SET=nope is not a known set; known: banking77"):
        download.download("nope", tmp_path, host)
