"""Fine-tuning of language models under a label budget, as a game between learner and environment."""

__version__ = "0.1.0"
