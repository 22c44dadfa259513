"""Shapes of language models: what planning needs to know of one, without its weights.

Two families are known: decoders like Llama (gated MLP, RMSNorm, rotary positions: llama, mistral, qwen2, qwen3) and
encoders like BERT. `SHAPES` are published configurations from 0.1 to 70 billion parameters, written here by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stackelberg_lib.errors import InputError

DECODERS = ("llama", "mistral", "qwen2", "qwen3")
ENCODERS = ("bert",)


@dataclass(frozen=True)
class Architecture:
    """A transformer's shape: widths in numbers per token, `heads` of `head` numbers, `kv_heads` of them for keys.

    `mlp` is the width inside the MLP, `tied` says that input and output embeddings are one matrix, `bias` that queries,
    keys and values have one, `qk_norm` that queries and keys are normalised; `positions` counts learned ones.
    """

    name: str
    vocabulary: int
    width: int
    mlp: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    tied: bool = True
    bias: bool = False
    qk_norm: bool = False
    encoder: bool = False
    positions: int = 0

    @property
    def q_width(self) -> int:
        """Numbers per token in the queries of a layer."""
        return self.heads * self.head

    @property
    def kv_width(self) -> int:
        """Numbers per token in the keys of a layer, and as many in its values."""
        return self.kv_heads * self.head

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """The linear layers of one block: name -> (n_out, n_in)."""
        d, q, kv, f = self.width, self.q_width, self.kv_width, self.mlp
        if self.encoder:
            return {"query": (q, d), "key": (kv, d), "value": (kv, d), "attention.output.dense": (d, q),
                    "intermediate.dense": (f, d), "output.dense": (d, f)}
        return {"q_proj": (q, d), "k_proj": (kv, d), "v_proj": (kv, d), "o_proj": (d, q), "gate_proj": (f, d),
                "up_proj": (f, d), "down_proj": (d, f)}

    @property
    def matrices(self) -> int:
        """Numbers in the linear layers of all blocks: what every token is multiplied with."""
        return self.layers * sum(n_out * n_in for n_out, n_in in self.linear.values())

    @property
    def parameters(self) -> int:
        """All numbers of the model: a decoder with its output matrix, an encoder without pooler and output layer."""
        d = self.width
        if self.encoder:
            biases = sum(n_out for n_out, _ in self.linear.values())
            return self.matrices + self.layers * (biases + 4 * d) + (self.vocabulary + self.positions + 2 + 2) * d
        small = 2 * d + (self.q_width + 2 * self.kv_width) * self.bias + 2 * self.head * self.qk_norm
        return self.matrices + self.layers * small + d + self.vocabulary * d * (1 if self.tied else 2)


def _decoder(name: str, vocabulary: int, width: int, mlp: int, layers: int, heads: int, kv_heads: int, head: int,
             tied: bool, **more: Any) -> Architecture:
    return Architecture(name, vocabulary, width, mlp, layers, heads, kv_heads, head, tied, **more)


SHAPES = {shape.name: shape for shape in (
    _decoder("SmolLM2-135M", 49152, 576, 1536, 30, 9, 3, 64, True),
    _decoder("SmolLM2-360M", 49152, 960, 2560, 32, 15, 5, 64, True),
    _decoder("Qwen2.5-0.5B", 151936, 896, 4864, 24, 14, 2, 64, True, bias=True),
    _decoder("Qwen3-0.6B", 151936, 1024, 3072, 28, 16, 8, 128, True, qk_norm=True),
    _decoder("Qwen2.5-1.5B", 151936, 1536, 8960, 28, 12, 2, 128, True, bias=True),
    _decoder("Llama-3.2-3B", 128256, 3072, 8192, 28, 24, 8, 128, True),
    _decoder("Llama-3.1-8B", 128256, 4096, 14336, 32, 32, 8, 128, False),
    _decoder("Qwen2.5-14B", 152064, 5120, 13824, 48, 40, 8, 128, False, bias=True),
    _decoder("Qwen2.5-32B", 152064, 5120, 27648, 64, 40, 8, 128, False, bias=True),
    _decoder("Llama-3.1-70B", 128256, 8192, 28672, 80, 64, 8, 128, False),
)}


def of_config(config: Any, name: str = "") -> Architecture:
    """The shape in a transformers config; nothing is built or loaded. InputError for a family not planned here."""
    kind = config.model_type
    if kind not in DECODERS + ENCODERS:
        raise InputError(f"model_type={kind!r} is not planned here; use one of {', '.join(DECODERS + ENCODERS)}, or "
                         f"a shape of architecture.SHAPES")
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    common = (name or kind, config.vocab_size, config.hidden_size, config.intermediate_size, config.num_hidden_layers,
              heads, kv_heads, head)
    if kind in ENCODERS:
        return Architecture(*common, bias=True, encoder=True, positions=config.max_position_embeddings)
    bias = kind == "qwen2" or bool(getattr(config, "attention_bias", False))
    return Architecture(*common, tied=bool(config.tie_word_embeddings), bias=bias, qk_norm=kind == "qwen3")


def to_config(shape: Architecture) -> Any:
    """A transformers config of a decoder's shape, to build it with random weights or, on the meta device, with none."""
    from transformers import AutoConfig

    if shape.encoder:
        raise InputError(f"{shape.name} is an encoder; configurations are made for decoders only")
    kind = "qwen3" if shape.qk_norm else "qwen2" if shape.bias else "llama"
    return AutoConfig.for_model(
        kind, vocab_size=shape.vocabulary, hidden_size=shape.width, intermediate_size=shape.mlp,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
        head_dim=shape.head, tie_word_embeddings=shape.tied, max_position_embeddings=4096)
