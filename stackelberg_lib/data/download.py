"""`make data SET=name`: fetch a known set from its source, convert it, check it, write it to data/.

    python -m stackelberg_lib.data.download banking77

Each source is pinned to a commit; the downloaded file and the converted rows are both checked against a sha256.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stackelberg_lib.data.sets import KNOWN
from stackelberg_lib.errors import InputError

HOST = "https://github.com"


@dataclass(frozen=True)
class Source:
    """Where a set comes from.

    files: written name -> (path in the repository, sha256 of that file or its beginning, sha256 of the converted rows).
    """

    repository: str
    commit: str
    licence: str
    convert: Callable[[str], list[dict]]
    files: dict[str, tuple[str, str, str]]


def _banking(content: str) -> list[dict]:
    rows = csv.DictReader(io.StringIO(content, newline=""))
    return [{"text": r["text"], "label": r["category"]} for r in rows]


def _chemprot(content: str) -> list[dict]:
    rows = (json.loads(line) for line in content.split("\n") if line)
    return [{"text": r["text"], "label": r["label"]} for r in rows]


def _stackoverflow(content: str) -> list[dict]:
    # The file's quotes are part of the text: its own readers split at the tab and unquote nothing.
    rows = (line.split("\t") for line in content.split("\n")[1:] if line)
    return [{"text": text, "label": label} for text, label in rows]


def _medmcqa(content: str) -> list[dict]:
    rows = (json.loads(line) for line in content.split("\n") if line)
    return [{"id": r["id"], "question": r["question"], "options": [r["opa"], r["opb"], r["opc"], r["opd"]],
             "answer": "ABCD"[r["cop"] - 1], "subject": r["subject_name"], "topic": r["topic_name"], "exp": r["exp"]}
            for r in rows]


SOURCES = {
    "banking77": Source(
        "PolyAI-LDN/task-specific-datasets", "57ec275d8078af65b7731c2a98be812d844a6d6b", "CC BY 4.0", _banking,
        {"train.jsonl": ("banking_data/train.csv", "b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b",
                         "0ab0549d42996788cdb10e11fb975d0ad2527497c8594b776a030198e10274a9"),
         "test.jsonl": ("banking_data/test.csv", "d12d6e3bc4c3103966ae786dc435913c0c563dfa328f5a3646d0e62cfeeb474d",
                        "649607fa7b124293c80b455d2effe5e41da713e1836ee936073fe34ab9dc6fba")}),
    "chemprot": Source(
        "allenai/scibert", "06793f77d7278898159ed50da30d173cdc8fdea9",
        "Apache-2.0 (repository); ChemProt: BioCreative VI", _chemprot,
        {"train.jsonl": ("data/text_classification/chemprot/train.txt",
                         "ab17b85c4fb869b2338d7c9617414e63f3c7225e5005920b18d9cd996f1049d8",
                         "08b1b999500408ac5beffb1688bfb74a95e1b7b09ee57c733813f7f717f21308"),
         "dev.jsonl": ("data/text_classification/chemprot/dev.txt",
                       "bfe8f39e5146ad4bb16b23707dade850546a305047bc666f6f6824c6a7e3df2f",
                       "34cdc9473e00149badb76d43eadcda5f1e090fc88ba6536492052928fdebc823"),
         "test.jsonl": ("data/text_classification/chemprot/test.txt",
                        "372249c85ffea6d9a18dc5168cf45841b3d79b03412d6c620381cfc0dd3d6d49",
                        "09d1550e0cfc93ee474e972e4785599bc83a6a0319d1d864ea1dc73370f69146")}),
    "stackoverflow20": Source(
        "thuiar/TEXTOIR", "82212b003c8703c3eb7c293afde7e924240f819f",
        "MIT (repository); titles from Stack Overflow, CC BY-SA", _stackoverflow,
        {"train.jsonl": ("data/stackoverflow/train.tsv",
                         "b3e51761676a93b71bd4572c6f5789693a885d2ea001601c014fdf3f3d85800b",
                         "368d641050c4662243a58db96107bae8011d90a333021feb53f200ad336b5c55"),
         "dev.jsonl": ("data/stackoverflow/dev.tsv",
                       "5d254ef1e451ca1800002e9c8b6bcd5934346830f74a52f661c76d26ae84ede5",
                       "a595248b781235a01c0bd8c7773e8d1f1b219d4cbfdb41515aa625805bc12765"),
         "test.jsonl": ("data/stackoverflow/test.tsv",
                        "cb32a79f7aa316c67742d3df534a45775961446eda09627081baa06099095a74",
                        "f294f5d38d29306252d69e528629cb5b5cfa4b21b3af5d9364b41d01bcc34c51")}),
    "medmcqa_dev": Source(
        "Teddy-XiongGZ/MIRAGE", "392943af99cd94cafd50a0de2e7fca24bbf65494", "MedMCQA: MIT; carried by MIRAGE", _medmcqa,
        {"dev.jsonl": ("rawdata/medmcqa/data/dev.json", "a2b5f53890f4e742",
                       "69325c60d234c7bec3789d55c645d4ba943714648d600d3c88c776c49513c438")}),
}


def download(name: str, root: Path = Path("data"), host: str = HOST) -> Path:
    """Fetch, convert and check one known set; returns its folder root/name, written whole or not at all.

    Raises InputError for an unknown name, an unreachable source or a checksum that does not fit.
    """
    if name not in SOURCES:
        raise InputError(f"SET={name} is not a known set; known: {', '.join(SOURCES)}")
    source = SOURCES[name]
    root.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=root))
    try:
        notes = [f"# {name}", "", f"Licence as stated by the source: {source.licence}", "", "Converted to JSONL from:"]
        for written, (path, sha, converted) in source.files.items():
            url = f"{host}/{source.repository}/raw/{source.commit}/{path}"
            raw = _fetch(url)
            _check(hashlib.sha256(raw).hexdigest(), sha, url)
            rows = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in source.convert(raw.decode())).encode()
            _check(hashlib.sha256(rows).hexdigest(), converted, f"{name}/{written} (converted)")
            (work / written).write_bytes(rows)
            notes.append(f"- {source.repository} @ {source.commit} : {path} sha256 {hashlib.sha256(raw).hexdigest()}")
        (work / "PROVENANCE.md").write_text("\n".join(notes) + "\n")
        shutil.rmtree(root / name, ignore_errors=True)
        work.rename(root / name)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return root / name


def _fetch(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.read()
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        raise InputError(f"{url} cannot be reached ({error}); nothing was written") from None


def _check(found: str, expected: str, what: str) -> None:
    if not found.startswith(expected):
        raise InputError(f"{what}: sha256 {found[:16]}... is not the expected {expected[:16]}...; nothing was written")


def main() -> int:
    """Command line of `make data SET=name`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("name", metavar="SET", help=", ".join(KNOWN))
    try:
        print(f"written: {download(parser.parse_args().name)}")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
