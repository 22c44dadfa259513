"""What must hold for every stream with every follower, whatever the numbers."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stackelberg_lib.game import (
    LLF,
    AllLabels,
    BestResponse,
    ContextSelecting,
    Drifting,
    FromEmbeddings,
    HardGaps,
    LowNoise,
    Margin,
    PowerLaw,
    RandomChallenger,
    RandomGate,
    Replaying,
    Stationary,
    ZipfClusters,
    rounds,
)
from stackelberg_lib.theory.radii import alpha_log_det

STREAMS = [
    lambda d, K, M: Stationary(d, K, M, 2.0, 0.5),
    lambda d, K, M: Drifting(d, K, M, 2.0, 0.5, blocks=2),
    lambda d, K, M: PowerLaw(d, K, M, 2.0, 0.5, p=1.5),
    lambda d, K, M: ZipfClusters(d, K, M, 2.0, 0.5, clusters=3),
    lambda d, K, M: FromEmbeddings(np.random.default_rng(d).normal(size=(K + 2, d)), K, M, 2.0, 0.5),
    lambda d, K, M: HardGaps(d, K, 0.3, M, 0.5),
    lambda d, K, M: Margin(d, K, M, 2.0, 0.5, Delta=0.3),
    lambda d, K, M: LowNoise(d, K, M, 2.0, 0.5, kappa=0.7, Delta_0=0.9),
]
FOLLOWERS = [lambda: BestResponse(), lambda: RandomChallenger(), lambda: ContextSelecting(), lambda: Replaying(3)]


def check_round(now, stream, follower, n):
    assert now.theta.shape == now.commitment.theta_hat.shape == (n, stream.d)
    assert now.reply.phi.shape == (n, stream.K, stream.d)
    assert now.mu.shape == now.y.shape == (n, stream.K)
    for part in (now.reply.served, now.reply.leader, now.reply.challenger, now.reply.latency, now.reply.width,
                 now.regret, now.queried, now.spent):
        assert part.shape == (n,)
    assert (np.linalg.norm(now.theta, axis=-1) <= stream.S * (1 + 1e-12)).all()
    assert (np.linalg.norm(now.reply.phi, axis=-1) <= stream.L * (1 + 1e-12)).all()
    assert ((0 <= now.reply.served) & (now.reply.served < stream.M)).all() and (now.reply.latency >= 0).all()
    assert ((0 <= now.reply.challenger) & (now.reply.challenger < stream.K)).all()
    off = now.commitment.theta_hat - now.theta
    inside = np.einsum("ni,nij,nj->n", off, now.commitment.V, off) <= now.commitment.alpha**2
    if not isinstance(follower, RandomChallenger):  # L2
        assert (now.regret <= now.reply.latency + 1e-9)[inside].all()
        assert (now.reply.latency <= now.commitment.alpha * now.reply.width + 1e-12).all()
    return inside.mean()


@settings(max_examples=15, deadline=None)
@given(d=st.integers(2, 5), K=st.integers(2, 4), M=st.integers(1, 4), T=st.integers(1, 12),
       part=st.floats(0, 1), gate=st.sampled_from([LLF(0.4), RandomGate(), AllLabels()]), seed=st.integers(0, 999))
def test_every_stream_with_every_follower(d, K, M, T, part, gate, seed):
    n, B, inside = 3, int(part * T), []
    for make in STREAMS:
        stream = make(d, K, M)
        for follower in (build() for build in FOLLOWERS):
            spent = np.zeros(n, int)
            for now in rounds(stream, follower, gate, T=T, B=B, seeds=n, seed=seed, sigma=0.3, lam=0.5,
                              alpha=lambda log_det, S=stream.S: alpha_log_det(log_det, sigma=0.3, delta=0.1, S=S,
                                                                              lam=0.5)):
                spent += now.queried
                np.testing.assert_array_equal(now.spent, spent)
                assert (spent <= B).all()
                inside.append(check_round(now, stream, follower, n))
    assert np.mean(inside) > 0.5
