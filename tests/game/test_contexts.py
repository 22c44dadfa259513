import numpy as np
import pytest
from scipy import stats

from stackelberg_lib.errors import InputError
from stackelberg_lib.game import Drifting, FromEmbeddings, PowerLaw, Stationary, ZipfClusters

ROWS = np.random.default_rng(7).normal(size=(9, 4))
LOW = 1e-3  # smallest p-value of a test of a law; the seeds are fixed


@pytest.mark.parametrize("stream", [Stationary(5, 3, M=2, S=2.0, L=0.5), Drifting(6, 3, M=2, S=2.0, L=0.5),
                                    ZipfClusters(5, 3, M=2, S=2.0, L=0.5)])
def test_shapes_and_norms(stream):
    rng = np.random.default_rng(0)
    theta, menu = stream.theta(rng, 7), stream.menu(rng, 3, 12, 7)
    assert theta.shape == (7, stream.d) and menu.shape == (7, 2, 3, stream.d)
    np.testing.assert_allclose(np.linalg.norm(theta, axis=-1), 2.0)
    np.testing.assert_allclose(np.linalg.norm(menu, axis=-1), 0.5)


def test_stationary_is_isotropic():
    menu = Stationary(3, 2).menu(np.random.default_rng(1), 0, 1, 40_000).reshape(-1, 3)
    np.testing.assert_allclose(menu.T @ menu / len(menu), np.eye(3) / 3, atol=0.01)


def test_drifting_gives_each_quarter_fresh_coordinates():
    stream, T = Drifting(10, 2), 22
    rng = np.random.default_rng(2)
    used = [frozenset(np.flatnonzero(stream.menu(rng, t, T, 5).any(axis=(0, 1, 2)))) for t in range(T)]
    blocks = list(dict.fromkeys(used))
    assert len(blocks) == 4 and sorted(sum(map(sorted, blocks), [])) == list(range(10))
    assert [used.index(b) for b in blocks] == [0, 6, 11, 17]  # the first rounds at or after T/4, T/2, 3T/4


@pytest.mark.parametrize("make, words", [
    (lambda: Stationary(0, 2), "d=0"), (lambda: Stationary(2.5, 2), "d=2.5"),
    (lambda: Stationary(2, 1), "K=1"),
    (lambda: Stationary(2, 2, M=0), "M=0"), (lambda: Stationary(2, 2, S=0), "S=0"),
    (lambda: Stationary(2, 2, L=float("nan")), "L=nan"), (lambda: Drifting(3, 2), "d=3"),
    (lambda: Drifting(3, 2, blocks=0), "blocks=0"), (lambda: Stationary(True, 2), "d=True"),
    (lambda: PowerLaw(3, 2, p=-1), "p=-1"), (lambda: PowerLaw(0, 2), "d=0"),
    (lambda: ZipfClusters(3, 2, clusters=0), "clusters=0"), (lambda: ZipfClusters(3, 2, world=-1), "world=-1"),
    (lambda: ZipfClusters(3, 2, exponent=-0.5), "exponent=-0.5"),
    (lambda: ZipfClusters(3, 2, spread=1), "spread=1"), (lambda: ZipfClusters(3, 1), "K=1"),
    (lambda: FromEmbeddings(ROWS, 10), "K=10"), (lambda: FromEmbeddings(ROWS, 2, M=0), "M=0"),
    (lambda: FromEmbeddings(ROWS, 2, S=0), "S=0"), (lambda: FromEmbeddings(ROWS, 2, L=-1), "L=-1"),
    (lambda: FromEmbeddings(ROWS[0], 2), r"rows has shape \(4,\)"),
    (lambda: FromEmbeddings(ROWS * np.nan, 2), "rows has shape"),
    (lambda: FromEmbeddings(ROWS * 0, 2), "0 nonzero"), (lambda: FromEmbeddings([["a"]], 2), "rows is not"),
    (lambda: FromEmbeddings(ROWS, 2, truth=np.ones(3)), r"truth has shape \(3,\)"),
    (lambda: FromEmbeddings(ROWS, 2, truth=np.zeros(4)), "truth has shape"),
])
def test_bad_sizes_are_named(make, words):
    with pytest.raises(InputError, match=words) as caught:
        make()
    assert "give" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("p", [0.0, 1.0, 2.5])
def test_power_law_spectrum(p):
    stream = PowerLaw(6, 4, M=2, S=3.0, L=2.0, p=p)
    rng = np.random.default_rng(3)
    phi = stream.menu(rng, 0, 1, 25_000).reshape(-1, 6)
    np.testing.assert_allclose(np.linalg.norm(stream.theta(rng, 9), axis=1), 3.0)
    assert np.linalg.norm(phi, axis=1).max() <= 2.0 + 1e-12
    spectrum = np.linalg.eigvalsh(phi.T @ phi / len(phi))[::-1]
    wanted = np.array([i**-p for i in range(1, 7)])
    np.testing.assert_allclose(spectrum, 4 / 3 * wanted / sum(wanted), rtol=0.02)
    np.testing.assert_allclose(np.corrcoef(phi.T), np.eye(6), atol=0.015)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.7])
def test_zipf_clusters_come_as_often_as_stated_and_stay_near_their_centres(exponent):
    stream = ZipfClusters(8, 3, M=2, L=0.5, clusters=6, exponent=exponent, spread=0.3, world=4)
    menu = stream.menu(np.random.default_rng(5), 0, 1, 4000).reshape(-1, 3, 8)
    likeness = np.einsum("nkd,ckd->nck", menu / 0.5, stream.centres)
    cluster = likeness.sum(axis=2).argmax(axis=1)
    share = np.array([1 / c**exponent for c in range(1, 7)])
    assert stats.chisquare(np.bincount(cluster, minlength=6), 8000 * share / share.sum()).pvalue > LOW
    angle = np.arccos(likeness[np.arange(8000), cluster])
    assert np.arcsin(0.3) - 0.02 < angle.max() <= np.arcsin(0.3) + 1e-9


def test_zipf_contexts_of_a_pool_are_drawn_one_by_one():
    stream = ZipfClusters(8, 2, M=2, clusters=3, exponent=0.0, spread=0.0)
    menu = stream.menu(np.random.default_rng(6), 0, 1, 3000)
    cluster = np.einsum("nmd,cd->nmc", menu[:, :, 0], stream.centres[:, 0]).argmax(axis=2)
    assert stats.chisquare(np.bincount(cluster @ [3, 1], minlength=9)).pvalue > LOW


def test_the_world_and_not_the_generator_fixes_the_centres():
    one, same, other = (ZipfClusters(4, 2, spread=0.0, world=w) for w in (1, 1, 2))
    np.testing.assert_array_equal(one.centres, same.centres)
    assert not np.isclose(one.centres, other.centres).all(axis=-1).any()
    for seed in (0, 1):
        menu = one.menu(np.random.default_rng(seed), 0, 1, 50).reshape(-1, 1, 2, 4)
        assert (np.abs(menu - one.centres).max(axis=(2, 3)).min(axis=1) < 1e-12).all()


def test_embeddings_keep_their_geometry():
    stream = FromEmbeddings(ROWS, 3, M=2, L=0.5)
    np.testing.assert_allclose(stream.rows / ROWS, 0.5 / max(np.sqrt((r**2).sum()) for r in ROWS))
    np.testing.assert_allclose(np.linalg.norm(stream.rows, axis=1).max(), 0.5)
    menu = stream.menu(np.random.default_rng(0), 0, 1, 40)
    assert stream.d == 4 and menu.shape == (40, 2, 3, 4)
    assert (menu[..., None, :] == stream.rows).all(-1).any(-1).all()


def test_embeddings_are_drawn_without_replacement_and_in_every_order():
    rows = np.random.default_rng(8).normal(size=(5, 2))
    stream = FromEmbeddings(rows, 3, M=2)
    menu = stream.menu(np.random.default_rng(9), 0, 1, 6000)
    index = (menu[..., None, :] == stream.rows).all(-1).argmax(-1)
    pick = index.reshape(-1, 3) @ [25, 5, 1]
    seen, count = np.unique(pick, return_counts=True)
    assert all(len({p // 25, p // 5 % 5, p % 5}) == 3 for p in seen)
    assert len(seen) == 60 and stats.chisquare(count).pvalue > LOW
    assert stats.chi2_contingency(np.histogram2d(*index[:, :, 0].T, bins=5)[0]).pvalue > LOW


def test_all_embeddings_can_be_in_one_context():
    menu = FromEmbeddings(ROWS, 9, L=1.0).menu(np.random.default_rng(0), 0, 1, 20)
    wanted = np.sort(ROWS[:, 0]) / np.linalg.norm(ROWS, axis=1).max()
    np.testing.assert_allclose(np.sort(menu[:, 0, :, 0], axis=1), np.broadcast_to(wanted, (20, 9)))


def test_the_truth_of_embeddings_is_drawn_or_given():
    rng = np.random.default_rng(0)
    drawn = FromEmbeddings(ROWS, 2, S=2.0).theta(rng, 500)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 2.0)
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=0.25)
    given = FromEmbeddings(ROWS, 2, S=2.0, truth=[3, 0, 0, -4])
    np.testing.assert_array_equal(given.theta(rng, 2), [[3, 0, 0, -4]] * 2)
    assert given.S == 5.0


def test_embeddings_given_are_copied():
    rows, truth = ROWS.copy(), np.ones(4)
    stream = FromEmbeddings(rows, 2, truth=truth)
    before = stream.rows.copy()
    rows[:], truth[:] = 0, 0
    np.testing.assert_array_equal(stream.rows, before)
    np.testing.assert_array_equal(stream.theta(np.random.default_rng(0), 1), np.ones((1, 4)))


@pytest.mark.parametrize("stream", [PowerLaw(3, 2, M=2), ZipfClusters(3, 2, M=2), FromEmbeddings(ROWS, 2, M=2)])
def test_equal_generators_give_equal_streams(stream):
    def drawn(seed):
        rng = np.random.default_rng(seed)
        return np.r_[stream.theta(rng, 3).ravel(), stream.menu(rng, 0, 5, 3).ravel()]
    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert not np.array_equal(drawn(1), drawn(2))
