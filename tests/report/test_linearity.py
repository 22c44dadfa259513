"""`make feature-map`: resumable, one line for bad input, measures that agree with an independent computation."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

from stackelberg_lib.data import pocketdesk
from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import features, linear, registry
from stackelberg_lib.report import linearity
from stackelberg_lib.theory.radii import alpha_log_det


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return linearity.world("pocketdesk", "pocket", 0, 300, 200)


def test_the_world_is_embedded_text_with_its_exact_truth(desk):
    texts, y, nouns, clauses = pocketdesk.draw(500, np.random.default_rng([0, 6]))
    assert desk.texts == texts[:300] and (desk.y == y[300:]).all() and desk.exact
    assert_allclose(desk.fresh_mu, pocketdesk.posterior(nouns, clauses)[300:])
    llm = registry.resolve("pocket")
    h = features.embed(features.load_backbone(llm), features.Tokens(llm, texts[298:302]))
    assert_allclose(np.vstack([desk.h[-2:], desk.fresh[:2]]), h, atol=1e-5)


def test_a_set_without_a_known_truth_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    rows = [{"text": f"{w} {i}", "label": w} for i in range(20) for w in ("late", "lost")]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    w = linearity.world(str(tmp_path / "mine.jsonl"), "pocket")
    assert not w.exact and set(w.names) == {"late", "lost"} and (w.fresh_mu.argmax(1) == w.y).all()
    found = linearity.closed(w, 10, 2)
    assert "covered_true" not in found and "covered_best" in found


def test_the_radius_is_l1_shared_by_the_pairs():
    by_hand = np.sqrt(0.5) * np.sqrt(2 * np.log(77 * 76 / (2 * 0.05)) + 100) + np.sqrt(0.2) * 3
    assert_allclose(linearity.radius(100.0, 77, 3.0, 0.2, 0.05), by_hand)


def test_measures_of_a_closed_set_are_those_of_its_draws(desk):
    found = linearity.closed(desk, 80, 3)
    best = linear.fit(desk.h, desk.mu, linearity.SAFE)
    S = linear.pair_norm(best.theta)
    for s in range(3):
        counts = linear.label_counts(desk.mu, 80, np.random.default_rng([s, 80]))
        rows, y = np.nonzero(counts)
        G = linearity.LAM * np.eye(160) + desk.h[rows].T @ desk.h[rows]
        scores = desk.fresh @ np.linalg.solve(G, desk.h[rows].T @ np.eye(32)[y])
        width = np.sqrt(2 * np.sum(desk.fresh @ np.linalg.inv(G) * desk.fresh, axis=1))
        alpha = alpha_log_det(np.linalg.slogdet(G / linearity.LAM)[1], sigma=0.5**0.5, delta=0.05 / 496, S=S,
                              lam=linearity.LAM)
        wrong = scores.argmax(1) != desk.y
        assert_allclose(found["accuracy"][s], 1 - wrong.mean(), atol=1e-5)
        assert_allclose(found["alpha"][s], alpha, rtol=1e-4)
        assert_allclose(found["auc_width"][s], linear.auc(width, wrong), atol=1e-4)
        for name, target in (("best", desk.fresh @ best.theta), ("true", desk.fresh_mu)):
            off = np.ptp(scores - target, axis=1)
            assert_allclose(found[f"covered_{name}"][s], np.mean(off <= alpha * width), atol=1e-5)
            assert_allclose(found[f"covering_{name}"][s], np.sort(off / width)[189], rtol=1e-3)
    assert found["classes"] == 32 and found["errors"]["linear, pool"][2] < found["errors"]["linear, fresh"][2]


def answers(seed=0, N=120):
    """Four options a question whose right one has the largest first feature, by far."""
    rng = np.random.default_rng(seed)
    phi, y = rng.normal(size=(N, 4, 3)) * 0.1, rng.integers(4, size=N)
    phi[np.arange(N), y, 0] += 1
    return phi, y


def test_open_answers_on_a_linear_world_are_right():
    phi, y = answers()
    found = linearity.open_answers(phi, y, 60, 3)
    assert found["right"] == found["right_centred"] == found["asked"] == 120
    assert found["accuracy"] == [1.0] * 3 and found["covered_best"] == [1.0] * 3
    shuffled = linearity.open_answers(phi, np.random.default_rng(1).permutation(y), 60, 3)
    assert 10 < shuffled["right"] < 55 and shuffled["kind"] == "open"


@pytest.mark.parametrize(("line", "words"), [
    ('{"question": "Why?"', "q.jsonl, line 2: give question, options and answer"),
    ('{"question": "Why?", "options": ["a", "b"], "answer": "A"}', "q.jsonl, line 2: 2 options; give four"),
    ('{"question": "Why?", "options": ["a", "b", "c", "d"], "answer": "E"}', "q.jsonl, line 2: give question"),
])
def test_questions_are_read_and_bad_ones_named(tmp_path, line, words):
    good = '{"question": "Who?", "options": ["a", "b", "c", "d"], "answer": "C"}'
    path = tmp_path / "q.jsonl"
    path.write_text(good + "\n")
    prompts, options, y = linearity.questions(path)
    assert prompts == ["Who?"] and options == [["a", "b", "c", "d"]] and y.tolist() == [2]
    path.write_text(f"{good}\n{line}\n")
    with pytest.raises(InputError, match=words):
        linearity.questions(path)


def test_it_goes_on_where_it_stopped(tmp_path, monkeypatch):
    path, asked = tmp_path / "results" / "feature_map.json", []

    def measure(data, model, n, seeds):
        asked.append(f"{data}/{model}")
        return {"setting": linearity._setting(n, seeds)}

    monkeypatch.setattr(linearity, "measure", measure)
    linearity.run(["a/x", "b/x"], 10, 2, path)
    linearity.run(["a/x", "b/x", "c/x"], 10, 2, path)
    assert asked == ["a/x", "b/x", "c/x"] and list(json.loads(path.read_text())) == asked
    linearity.run(["a/x"], 11, 2, path)
    assert asked[3:] == ["a/x"] and len(json.loads(path.read_text())) == 3


@pytest.mark.parametrize(("argv", "words"), [
    (["--sets", "pocketdesk"], "--sets pocketdesk: write DATA/MODEL"),
    (["--sets", "nowhere/pocket"], "nowhere"),
    (["--seeds", "1"], "seeds=1: both must be at least 2"),
])
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, argv, words):
    monkeypatch.setattr(linearity, "RESULTS", tmp_path)
    assert linearity.main(argv) == 2
    error, = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert words in error and not list(tmp_path.iterdir())


def test_the_committed_results_are_complete():
    done = json.loads((linearity.RESULTS / f"{linearity.NAME}.json").read_text())
    assert list(done) == list(linearity.PAIRS)
    for found in done.values():
        assert found["setting"] == linearity._setting(linearity.LABELS, 20) and len(found["accuracy"]) == 20
        assert {"date", "commit", "torch", "model", "model_hash"} <= set(found["provenance"]) and found["source"]
    assert all(pair in linearity.table(done) for pair in linearity.PAIRS)
