"""Where a report comes from: the state of the checkout, and what the lesson's kernel says of itself."""

import hashlib
import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from stackelberg_lib.report import memory

ROOT = Path(__file__).resolve().parents[2]
HEADING = "Where this report comes from"
ASKED = ("Python", "torch", "device", "threads", "peak memory")


def checkout(root: Path = ROOT) -> str:
    """Commit of the checkout at `root` and whether its tree was dirty; "not a git checkout" if it is none."""
    top = _git(root, "rev-parse", "--show-toplevel")
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    # a copy of these files that lies inside some other repository must not be given that one's commit
    if not top or Path(top).resolve() != root.resolve() or not commit:
        return "not a git checkout"
    return f"{commit}, {'with uncommitted changes' if _git(root, 'status', '--porcelain') else 'clean tree'}"


def _git(root: Path, *words: str) -> str:
    command = ["git", "-C", str(root), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def lock_hash(root: Path = ROOT) -> str:
    """The first 16 hexadecimal digits of the sha256 of requirements.lock."""
    lock = root / "requirements.lock"
    return hashlib.sha256(lock.read_bytes()).hexdigest()[:16] if lock.is_file() else "no requirements.lock"


def machine() -> dict[str, str]:
    """The machine that a report is made on: system, processor, cores, memory, Python; nothing that names it."""
    cpus = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*:\s*(.+)$", cpus.read_text(), re.MULTILINE) if cpus.is_file() else []
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {gib:.0f} GiB",
        "processor": models[0] if models else platform.processor() or "not known",
        "Python": platform.python_version(),
    }


def kernel_facts() -> dict[str, str]:
    """Called inside a lesson's kernel after its last cell: ASKED, with the device that was really used."""
    peak = memory.resident()[1]
    device, threads = _device_and_threads()
    versions = platform.python_version(), metadata.version("torch")
    values = *versions, device, threads, f"{peak / 2**20:.0f} MiB"
    return dict(zip(ASKED, values, strict=True))


def _device_and_threads() -> tuple[str, str]:
    """Asks torch only if the lesson has imported it: an import here would change the memory measured."""
    torch = sys.modules.get("torch")
    if torch is None:
        from threadpoolctl import threadpool_info

        threads = max((pool["num_threads"] for pool in threadpool_info()), default=1)
        return "cpu (torch not used)", str(threads)
    device = "cpu"
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated() > 0:
        device = f"cuda ({torch.cuda.get_device_name()})"
    elif torch.backends.mps.is_available() and torch.mps.driver_allocated_memory() > 0:
        device = "mps"
    return device, str(torch.get_num_threads())


def footer(facts: dict[str, str]) -> str:
    """The facts as a markdown table, to stand at the end of a report."""
    rows = "\n".join(f"| {name} | {value.replace('|', '&#124;')} |" for name, value in facts.items())
    return f"---\n### {HEADING}\n\n| | |\n| --- | --- |\n{rows}\n"
