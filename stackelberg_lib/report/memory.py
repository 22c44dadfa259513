"""Resident memory of this process: now, and the most since the start or since `forget_peak`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident() -> tuple[int, int]:
    """Bytes held now and the most that were held; where the system says the most only (macOS), that twice."""
    if STATUS.is_file():
        # not ru_maxrss: Linux hands it on to the programs that a process starts, a kernel would show its runner's peak
        found = dict(re.findall(r"^(VmRSS|VmHWM):\s*(\d+) kB$", STATUS.read_text(), re.MULTILINE))
        return 1024 * int(found["VmRSS"]), 1024 * int(found["VmHWM"])
    import resource  # not on Windows, where this package is imported but nothing is measured

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return most, most


def forget_peak() -> None:
    """Let the most that was held count from now on, where the system can do that (Linux)."""
    try:
        RESET.write_text("5")
    except OSError:
        pass
