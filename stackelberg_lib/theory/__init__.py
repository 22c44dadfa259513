"""The lemmas and theorems of this project's reconstruction, as functions and as proofs that can be evaluated.

radii: L1 and L1'; potential: L3; bounds: T1-T4; trajectory: a play with both sides of every inequality; chains: each
proof step by step, L2 and T3 included; pools, pool_chains, stop_chains: the same for a pool, mass latency and coverage.
"""
