"""What a round is: contexts, followers, the leader's ridge estimate, gates, and the loop that plays them."""

from stackelberg_lib.game.contexts import Drifting, Stationary
from stackelberg_lib.game.followers import (
    BestResponse,
    Commitment,
    RandomChallenger,
    Reply,
    Stakes,
    first_argmax,
    reply,
    stakes,
)
from stackelberg_lib.game.gates import LLF, AllLabels, FeaturesSeen, NoLabels, RandomGate
from stackelberg_lib.game.play import Play, Round, play, rounds
from stackelberg_lib.game.ridge import Ridge

__all__ = [
    "AllLabels", "BestResponse", "Commitment", "Drifting", "FeaturesSeen", "LLF", "NoLabels", "Play",
    "RandomChallenger", "RandomGate", "Reply", "Ridge", "Round", "Stakes", "Stationary", "first_argmax",
    "play", "reply", "rounds", "stakes",
]
