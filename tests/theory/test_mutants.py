"""Every constant of the theory matters: doubled or halved, some check fails."""

import mutants


def test_no_broken_constant_survives():
    alive, count = mutants.survivors()
    assert alive == [] and count > 100
