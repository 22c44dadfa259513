"""Memory and time of a fine-tuning before it is started: what has to be held, counted layer by layer.

T = batch * length tokens, d width, f MLP width, q and k widths of queries and of keys, h heads, r rank, a bytes of an
activation (4 in float32, 2 in bfloat16), L layers. A decoder's block keeps for the way back, with LoRA everywhere,

    float32   T (4 d + 2 q + 2 k + 4 f) a + 7 T r a + T h 4 + T 8
    bfloat16  the same, plus T (4 d + q + f) a + 4 T d: every adapter keeps its input in a cast of its own, and the two
              norms compute in float32

(inputs of the two norms and their results; queries, keys, values and the attention's output; gate, its activation,
up, and their product), with k = q where a mask repeats the keys of grouped heads, and batch * length^2 a for that mask.
Adapters on some modules only: 7 r becomes the number of modules times r, and the inputs of the others are not kept
(a frozen matrix needs none). The first norm of a frozen model keeps nothing. Full fine-tuning: no adapter, but the
norms keep their results too (2 T d a). An encoder's block keeps T (10 d + 2 f + 6 r) a + 3 * batch * h * length^2 a,
the squares because its attention has dropout, whose kernel on a CPU keeps them.
Recomputing (gradient checkpointing) keeps T d a per block and one whole block at a time. `answers` computes logits for
the answer's positions only, kept once in float32 and twice more on the way back. Beside this a little working space:
2 T f a (bfloat16: 6 T f a), and in the optimiser's step two copies of the largest trained matrix. A head on a frozen
model keeps nothing: T (3 d + 3 f) a pass through one block at a time.

Checked against the peak of PyTorch's allocator on a CPU (`peak.measure`, results/planner.json). On a GPU the kernels
differ, its context and caches come on top, and nothing of this was measured on one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from stackelberg_lib.errors import InputError
from stackelberg_lib.lm.architecture import Architecture

METHODS = ("lora", "head", "full")
OBJECTIVES = ("answers", "classes")
BYTES = {"float32": 4, "bfloat16": 2}
GIB = 2**30
STATE = 8  # bytes of AdamW's two moments per trained number, float32


@dataclass(frozen=True)
class Job:
    """What is to be trained: method, objective, and the shape of a batch.

    `length` tokens per text of which `answer` are trained on (objective "answers": their logits, and one more, are
    computed); `classes` of the head otherwise. `dtype` is that of the frozen weights and of the activations (adapter,
    gradients and moments stay float32); full fine-tuning is planned in float32 only. `targets` names the adapted linear
    layers. `padded`: texts of different lengths share a batch, so that a mask is needed. `recompute`: gradient
    checkpointing.
    """

    method: str = "lora"
    objective: str = "answers"
    batch: int = 8
    length: int = 512
    answer: int = 16
    classes: int = 32
    rank: int = 8
    targets: tuple[str, ...] | str = "all-linear"
    dtype: str = "float32"
    padded: bool = True
    recompute: bool = False

    def __post_init__(self):
        for name, known in (("method", METHODS), ("objective", OBJECTIVES), ("dtype", tuple(BYTES))):
            if getattr(self, name) not in known:
                raise InputError(f"{name}={getattr(self, name)!r}; use one of {', '.join(known)}")
        for name in ("batch", "length", "answer", "classes", "rank"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} must be at least 1")
        if self.method == "full" and self.dtype != "float32":
            raise InputError("dtype=bfloat16 with method=full rounds the updates away; plan it in float32")
        if self.method == "head" and self.objective == "answers":
            raise InputError("method=head trains a head on classes; use objective='classes'")


@dataclass(frozen=True)
class Memory:
    """Bytes by part. Gradients replace activations as these are freed, so the peak holds the larger of the two."""

    weights: int
    adapter: int
    optimiser: int
    gradients: int
    activations: int
    logits: int
    working: int
    step: int

    @property
    def total(self) -> int:
        """The peak: what is always held, and the larger of the way back's beginning and of the optimiser's step."""
        return self.weights + self.adapter + self.optimiser + max(
            self.activations + max(self.logits, self.working), self.gradients + self.step)

    def by_part(self) -> dict[str, int]:
        """Bytes of every part, in the order in which they are drawn."""
        return asdict(self)


def memory(shape: Architecture, job: Job) -> Memory:
    """Bytes that a job holds on one device, by part. InputError as `adapted` and where `job` and `shape` disagree."""
    if shape.encoder and job.objective == "answers":
        raise InputError(f"{shape.name} is an encoder and writes no answers; use objective='classes'")
    if job.dtype != "float32" and job.objective == "classes":
        raise InputError(f"dtype={job.dtype} with a head on classes is not planned; use dtype='float32'")
    a, whole = BYTES[job.dtype], shape.parameters
    if not shape.encoder and not shape.tied and job.objective == "classes":
        whole -= shape.vocabulary * shape.width  # the output matrix stays on the disk
    trained = trained_size(shape, job)
    added = 0 if job.method == "full" else trained
    kept = _kept(shape, job)
    working = (6 if a == 2 else 2) * job.batch * job.length * shape.mlp * a
    return Memory(whole * a, 4 * added, STATE * trained, 4 * trained, kept, _logits(shape, job), working,
                  STATE * _largest(shape, job))


def trained_size(shape: Architecture, job: Job) -> int:
    """How many numbers are trained. Raises InputError for a target that the shape lacks."""
    head = (shape.width + 1) * job.classes if job.objective == "classes" else 0
    if job.method == "head":
        return head
    if job.method == "full":
        unused = 0 if shape.encoder or shape.tied or job.objective == "answers" else shape.vocabulary * shape.width
        return shape.parameters - unused + head
    chosen = adapted(shape, job)
    return head + shape.layers * job.rank * sum(sum(shape.linear[name]) for name in chosen)


def adapted(shape: Architecture, job: Job) -> list[str]:
    """The linear layers of a block that get an adapter. Raises InputError for a name that no layer has."""
    if job.targets == "all-linear":
        return list(shape.linear)
    chosen = [job.targets] if isinstance(job.targets, str) else list(job.targets)
    unknown = sorted(set(chosen) - set(shape.linear))
    if unknown or not chosen:
        raise InputError(f"targets={job.targets!r}: {shape.name} has {', '.join(shape.linear)}, or use 'all-linear'")
    return chosen


def _largest(shape: Architecture, job: Job) -> int:
    """Numbers in the largest trained matrix."""
    head = shape.width * job.classes if job.objective == "classes" else 0
    if job.method == "head":
        return head
    if job.method == "full":
        return max(shape.vocabulary * shape.width, *(n_out * n_in for n_out, n_in in shape.linear.values()))
    return max(head, *(job.rank * max(shape.linear[name]) for name in adapted(shape, job)))


def _kept(shape: Architecture, job: Job) -> int:
    """Bytes of the activations that wait for the way back."""
    tokens, a = job.batch * job.length, BYTES[job.dtype]
    if job.method == "head":
        return tokens * (3 * shape.width + shape.mlp) * a  # and 2 f of working space
    block = _encoder_block(shape, job) if shape.encoder else _decoder_block(shape, job)
    inputs = tokens * shape.width * a
    last = tokens * shape.width * (4 if a == 2 else a)  # of the norm behind the last block
    if job.recompute:
        return shape.layers * inputs + block + last
    return shape.layers * block + last - (0 if job.method == "full" or shape.encoder else inputs)


def _decoder_block(shape: Architecture, job: Job) -> int:
    a, T, d, f, q = BYTES[job.dtype], job.batch * job.length, shape.width, shape.mlp, shape.q_width
    k = q if job.padded else shape.kv_width
    on = set(shape.linear) if job.method == "full" else set(adapted(shape, job))
    inputs = [({"q_proj", "k_proj", "v_proj"}, d), ({"o_proj"}, 0), ({"gate_proj", "up_proj"}, d), ({"down_proj"}, f)]
    numbers = 2 * d + 2 * q + 2 * k + 3 * f + sum(width for names, width in inputs if names & on)
    low = 0 if job.method == "full" else len(on) * job.rank
    casts = sum(shape.linear[name][1] for name in on) if a == 2 else 0
    total = T * (numbers + low) * a + T * shape.heads * 4 + T * 8
    if a == 2:  # the norms' inputs are float32, the adapters' inputs casts of their own
        shared = sum(width for names, width in inputs if names & on)
        total += T * 2 * d * 2 + T * (casts - shared) * a
    if job.method == "full":
        total += 2 * T * d * a
    return total + (job.batch * job.length**2 * a if job.padded else 0)


def _encoder_block(shape: Architecture, job: Job) -> int:
    a, T = BYTES[job.dtype], job.batch * job.length
    low = 0 if job.method == "full" else len(adapted(shape, job)) * job.rank
    squares = 3 * job.batch * shape.heads * job.length**2
    return (T * (10 * shape.width + 2 * shape.mlp + low) + squares) * a


def _logits(shape: Architecture, job: Job) -> int:
    """Bytes for the logits of the answers at the beginning of the way back: kept, and their two gradients."""
    return 3 * job.batch * (job.answer + 1) * shape.vocabulary * 4 if job.objective == "answers" else 0


def flops(shape: Architecture, job: Job) -> dict[str, float]:
    """Operations per token, forward and backward, a product and a sum counting two.

    Forward 2 for every number of a matrix, frozen or adapter. Backward 2 for the gradient of the activations, and 2
    more for that of the weights, which a frozen matrix does not need. Attention: 4 q length forward per layer and
    token (all positions: a causal mask saves nothing where the kernel does not skip), twice that backward. Output
    matrix for the answer's positions only. Recomputing goes forward once more. Norms and softmax are left out.
    """
    base, attention = shape.matrices, 4 * shape.layers * shape.q_width * job.length
    share = (job.answer + 1) / job.length if job.objective == "answers" else 0.0
    output = share * shape.vocabulary * shape.width
    if job.method == "head":
        return {"forward": 2.0 * base + attention, "backward": 0.0}
    adapter = trained_size(shape, Job(**{**asdict(job), "objective": "answers"})) if job.method == "lora" else 0
    forward = 2.0 * (base + adapter + output) + attention
    weights = 2.0 * adapter if job.method == "lora" else 2.0 * (base + output)
    backward = forward + attention + weights + (2.0 * base + 2.0 * adapter + attention if job.recompute else 0.0)
    return {"forward": forward, "backward": backward}


def hours(shape: Architecture, job: Job, labels: int, epochs: float, flops_per_second: float, mfu: float) -> float:
    """Hours to read `labels` texts of job.length tokens `epochs` times, at a share `mfu` of `flops_per_second`."""
    if not 0 < mfu <= 1 or flops_per_second <= 0:
        raise InputError(f"mfu={mfu}, flops_per_second={flops_per_second}: give 0 < mfu <= 1 and a positive speed")
    return labels * epochs * job.length * sum(flops(shape, job).values()) / (flops_per_second * mfu) / 3600
