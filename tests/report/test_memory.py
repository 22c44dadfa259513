"""What a process holds, against a block of known size."""

import numpy as np
import pytest

from stackelberg_lib.report import memory

BLOCK = 300 * 2**20


@pytest.mark.skipif(not memory.RESET.exists(), reason="elsewhere the peak cannot be forgotten")
def test_a_block_is_seen_while_held_and_its_peak_until_forgotten():
    memory.forget_peak()
    before, _ = memory.resident()
    block = np.ones(BLOCK // 8)
    held, most = memory.resident()
    assert block.nbytes == BLOCK and held - before == pytest.approx(BLOCK, rel=0.1)
    del block
    after, still = memory.resident()
    assert after < held - 0.9 * BLOCK and min(still, most) > held - 2**20  # counted lazily
    memory.forget_peak()
    assert memory.resident()[1] < held - 0.9 * BLOCK
