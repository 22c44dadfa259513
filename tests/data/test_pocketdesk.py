"""PocketDesk: its probabilities, its Bayes accuracy, and its distance from the pretraining text."""

from itertools import product

import numpy as np
import pytest

from stackelberg_lib.data import pocketdesk, world
from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import pocket


def test_bayes_accuracy_matches_the_best_classifier_on_drawn_messages():
    _, y, nouns, clauses = pocketdesk.draw(40_000, np.random.default_rng(5))
    hits = pocketdesk.bayes_predict(nouns, clauses) == y
    sigma = np.sqrt(pocketdesk.bayes_accuracy() * (1 - pocketdesk.bayes_accuracy()) / len(y))
    assert abs(hits.mean() - pocketdesk.bayes_accuracy()) < 4 * sigma
    assert 0.95 < pocketdesk.bayes_accuracy() < 0.999  # truly ambiguous messages exist


def test_bayes_accuracy_equals_the_sum_written_out():
    total, weights = 0.0, pocketdesk.prior()
    for noun, clause in product(world.ALL_NOUNS, {c for cs in world.CLAUSES.values() for c in cs}):
        total += max(p * world.NOUNS[t].get(noun, 0) / sum(world.NOUNS[t].values())
                     * world.CLAUSES[i].get(clause, 0) / sum(world.CLAUSES[i].values())
                     for p, (t, i) in zip(weights, pocketdesk.INTENTS, strict=True))
    assert pocketdesk.bayes_accuracy() == pytest.approx(total, abs=1e-12)


def test_a_message_tells_its_noun_and_clause():
    # Two derivations with one surface would make the exact posterior wrong.
    clauses = {c for cs in world.CLAUSES.values() for c in cs}
    cores = [world.core(n, c, d) for n, c in product(world.ALL_NOUNS, clauses)
             for d in (world.DAYS if "{day}" in c else [""])]
    assert len(set(cores)) == len(cores)


def test_intents_are_many_skewed_and_valid():
    p = pocketdesk.prior()
    assert len(pocketdesk.INTENTS) == len(set(pocketdesk.INTENTS)) >= 24
    assert p.sum() == pytest.approx(1) and p[0] / p[-1] > 8
    assert np.allclose(p[0] / p, (np.arange(len(p)) + 4) / 4)
    assert all(t in world.NOUNS and i in world.CLAUSES for t, i in pocketdesk.INTENTS)


def test_frequencies_follow_the_prior():
    _, y, _, _ = pocketdesk.draw(20_000, np.random.default_rng(0))
    expected = 20_000 * pocketdesk.prior()
    chi2 = np.sum((np.bincount(y, minlength=32) - expected) ** 2 / expected)
    assert 10 < chi2 < 65  # 31 degrees of freedom: outside only with probability below 1e-3


def test_pretraining_never_saw_a_topic_of_the_task():
    topics = pocketdesk.pretraining_topics()
    assert not set(topics) & set(pocketdesk.INTENTS)
    assert {t for t, _ in topics} == set(world.THINGS) and {i for _, i in topics} == set(world.ISSUES)


def test_pretraining_answers_name_only_seen_topics():
    # The answer reveals the topic exactly: none of 2,000 documents may answer a topic of PocketDesk.
    forbidden = {r.format(n=t) for t, i in pocketdesk.INTENTS for r in world.REPLIES[i]}
    rng = np.random.default_rng(1)
    answers = {pocket.dialogue(rng).split("\n> ")[1].split("\n")[0] for _ in range(2000)}
    assert answers and not answers & forbidden


def test_near_duplicates_exist_and_draws_repeat():
    a, b = (pocketdesk.draw(2000, np.random.default_rng(3)) for _ in range(2))
    assert a[0] == b[0] and (a[1] == b[1]).all()
    cores = set(zip(a[2], a[3], strict=True))
    assert len(cores) < 0.6 * len(a[0])


def test_the_posterior_is_bayes_rule_written_out():
    _, _, nouns, clauses = pocketdesk.draw(50, np.random.default_rng(6))
    for row, noun, clause in zip(pocketdesk.posterior(nouns, clauses), nouns, clauses, strict=True):
        joint = np.array([p * world.NOUNS[t].get(noun, 0) / sum(world.NOUNS[t].values())
                          * world.CLAUSES[i].get(clause, 0) / sum(world.CLAUSES[i].values())
                          for p, (t, i) in zip(pocketdesk.prior(), pocketdesk.INTENTS, strict=True)])
        np.testing.assert_allclose(row, joint / joint.sum(), atol=1e-14)


def test_the_posterior_is_calibrated_on_drawn_messages():
    _, y, nouns, clauses = pocketdesk.draw(40_000, np.random.default_rng(7))
    mu = pocketdesk.posterior(nouns, clauses)
    unsure = (mu > 0.05) & (mu < 0.95)  # what is certain could hide what is not
    drawn = np.eye(32)[y]
    error = np.sqrt((mu * (1 - mu))[unsure].sum())
    assert unsure.sum() > 2000
    for low, high in ((0.05, 0.4), (0.4, 0.6), (0.6, 0.95)):
        part = (mu > low) & (mu < high)
        assert abs((drawn - mu)[part].sum()) < 4 * np.sqrt((mu * (1 - mu))[part].sum()) < 4 * error
    assert (mu.max(1) > 0.999).mean() > 0.5


@pytest.mark.parametrize(("noun", "clause", "words"), [
    ("spaceship", "my {n} does not work", "'spaceship' is no noun or clause"),
    ("parcel", "my {n} sings", "'my {n} sings' is no noun or clause"),
    ("parcel", "my {n} does not work", "no intent writes 'parcel' with"),
])
def test_messages_nobody_writes_are_refused(noun, clause, words):
    with pytest.raises(InputError, match=words):
        pocketdesk.posterior(["card", noun], ["i have lost my {n}", clause])
