"""What a round is: contexts, followers, the leader's ridge estimate, gates, and the loop that plays them."""

from stackelberg_lib.game.calibrated import Calibrated, pool_level
from stackelberg_lib.game.contexts import (
    DisjointArms,
    Drifting,
    FromEmbeddings,
    PowerLaw,
    Stationary,
    ZipfClusters,
)
from stackelberg_lib.game.families import HardGaps, LowNoise, Margin
from stackelberg_lib.game.followers import (
    BestResponse,
    Commitment,
    ContextSelecting,
    RandomChallenger,
    Replaying,
    Reply,
    Stakes,
    first_argmax,
    reply,
    stakes,
)
from stackelberg_lib.game.gates import (
    BBQ,
    DGS,
    LLF,
    AllLabels,
    FeaturesSeen,
    MarginGate,
    NoLabels,
    RandomGate,
    Reserve,
    WidthLLF,
    largest_width,
)
from stackelberg_lib.game.play import Play, Round, play, rounds
from stackelberg_lib.game.ridge import ArmRidge, Ridge

__all__ = [
    "AllLabels", "ArmRidge", "BBQ", "BestResponse", "Calibrated", "Commitment", "ContextSelecting", "DGS",
    "DisjointArms", "Drifting", "FeaturesSeen", "FromEmbeddings", "HardGaps", "LLF", "LowNoise", "Margin",
    "MarginGate", "NoLabels", "Play", "PowerLaw", "RandomChallenger", "RandomGate", "Replaying", "Reply", "Reserve",
    "Ridge", "Round", "Stakes", "Stationary", "WidthLLF", "ZipfClusters", "first_argmax", "largest_width", "play",
    "pool_level", "reply", "rounds", "stakes",
]
