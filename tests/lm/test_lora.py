"""LoRA by hand against `peft` in float64: outputs, gradients, trajectories; merging, counting, and what is refused."""

import copy
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import features, lora, registry

ATTENTION, MLP = ["q_proj", "k_proj", "v_proj", "o_proj"], ["gate_proj", "up_proj", "down_proj"]
STEPS = 24


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def mlp():
    """A small network in float64: two linear layers with bias, one without."""
    net = nn.Sequential(nn.Linear(7, 9), nn.Tanh(), nn.Linear(9, 6, bias=False), nn.Tanh(), nn.Linear(6, 4)).double()
    with torch.no_grad():
        for k, p in enumerate(net.parameters()):
            p.copy_(draw(*p.shape, seed=k) / 2)
    return net


def folder_of(name):
    """Pocket, or a model that lies beside the real data sets; the test is skipped where it does not."""
    if name == "pocket":
        return name
    folder = Path(os.environ.get("STACKELBERG_DATA", "data")).parent / "models" / name
    return str(folder) if folder.is_dir() else pytest.skip(f"the model {name} is not on this machine")


@pytest.fixture(scope="module", params=["pocket", "stories260K"])
def backbone(request):
    return features.load_backbone(registry.resolve(folder_of(request.param))).double().cpu()


def in_peft(model, targets, r, alpha):
    from peft import LoraConfig, get_peft_model

    with torch.random.fork_rng(), warnings.catch_warnings():
        # the pinned peft asks the pinned transformers for an attribute by its old name
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        return get_peft_model(copy.deepcopy(model), LoraConfig(r=r, lora_alpha=alpha, target_modules=targets))


def both(model, targets, r=4, alpha=6, seed=3):
    """The same LoRA twice, ours and peft's, with an update that is not zero."""
    ours = lora.wrap(copy.deepcopy(model), targets, r, alpha, generator(seed))
    theirs = in_peft(model, targets, r, alpha)
    with torch.no_grad():
        for k, layer in enumerate(lora.layers(ours).values()):
            layer.B.copy_(draw(*layer.B.shape, seed=k) / 10)
    lora.copy_to_peft(ours, theirs)
    return ours, theirs


def batch(seed=0):
    ids = torch.from_numpy(np.random.default_rng(seed).integers(3, 500, (4, 11)))
    mask = torch.ones_like(ids)
    mask[0, 6:] = 0
    return ids, mask


def loss(model, seed=0):
    """A scalar with a gradient in every direction: a random linear form of the pooled features, squared."""
    ids, mask = batch(seed)
    h = features.pool(model(input_ids=ids, attention_mask=mask).last_hidden_state, mask)
    return (h @ draw(h.shape[1], 3, seed=seed)).square().mean()


def trained(model):
    """Gradients or weights are compared in one order: A, B of each layer in the model's order."""
    if hasattr(model, "get_base_model"):
        found = [m for m in model.get_base_model().modules() if hasattr(m, "lora_A")]
        return [w for m in found for w in (m.lora_A["default"].weight, m.lora_B["default"].weight)]
    return [w for layer in lora.layers(model).values() for w in (layer.A, layer.B)]


# --- the same as peft

@pytest.mark.parametrize("targets", [ATTENTION, MLP, ["q_proj", "v_proj"], ATTENTION + MLP], ids=len)
def test_outputs_and_gradients_are_pefts(backbone, targets):
    ours, theirs = both(backbone, targets)
    values = [loss(m) for m in (ours, theirs)]
    with torch.no_grad():
        plain = loss(backbone)
    torch.testing.assert_close(values[0], values[1], rtol=1e-10, atol=1e-10)
    assert abs(values[0] - plain) > 1e-3 * plain, "an update that does nothing would prove nothing"
    for value in values:
        value.backward()
    assert len(trained(ours)) == len(trained(theirs)) == 2 * 5 * len(targets)
    for mine, other in zip(trained(ours), trained(theirs), strict=True):
        assert mine.grad.abs().max() > 0
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("start", ["ours", "peft"])
def test_trajectories_are_pefts(backbone, start):
    targets = ["q_proj", "v_proj", "down_proj"]
    ours, theirs = lora.wrap(copy.deepcopy(backbone), targets, 4, 8, generator(5)), in_peft(backbone, targets, 4, 8)
    if start == "ours":
        lora.copy_to_peft(ours, theirs)
    else:
        lora.copy_from_peft(ours, theirs)
    paths = []
    for model in (ours, theirs):
        optimiser, path = torch.optim.AdamW(trained(model), lr=1e-2, weight_decay=0.01), []
        for step in range(STEPS):
            value = loss(model, seed=step % 4)
            value.backward()
            optimiser.step()
            optimiser.zero_grad()
            path.append(value.item())
        paths.append(path)
    np.testing.assert_allclose(*paths, rtol=1e-10)
    assert max(paths[0][-4:]) < 0.7 * max(paths[0][:4]), "nothing was learned"
    for mine, other in zip(trained(ours), trained(theirs), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


def test_merged_weights_are_pefts(backbone):
    ours, theirs = both(backbone, ATTENTION + MLP)
    mine, other = lora.merge_and_unload(ours).state_dict(), theirs.merge_and_unload().state_dict()
    assert mine.keys() == other.keys() == backbone.state_dict().keys()
    for name, weight in mine.items():
        torch.testing.assert_close(weight, other[name], rtol=1e-10, atol=1e-12)


def test_the_start_is_drawn_as_pefts():
    big = nn.Sequential(nn.Linear(400, 300))
    ours = lora.wrap(copy.deepcopy(big), ["0"], 64, 64, generator(0))[0].A
    theirs = trained(in_peft(big, ["0"], 64, 64))[0]
    for A in (ours, theirs):
        assert 0.99 / 20 < A.abs().max() <= 1 / 20  # uniform on +-1/sqrt(n_in)
        assert A.std().item() == pytest.approx(1 / np.sqrt(3 * 400), rel=0.02)


# --- against the definition, without peft

def test_forward_is_the_definition():
    net = mlp()
    ours = lora.wrap(copy.deepcopy(net), ["0", "4"], 3, 12, generator())
    for k, layer in enumerate(lora.layers(ours).values()):
        layer.B.data = draw(*layer.B.shape, seed=k)
    x = draw(5, 7)
    dense = copy.deepcopy(net)
    for k in ("0", "4"):
        layer = ours.get_submodule(k)
        dense.get_submodule(k).weight.data += 12 / 3 * layer.B.data @ layer.A.data
    torch.testing.assert_close(ours(x), dense(x), rtol=1e-12, atol=1e-12)
    assert (ours(x) - net(x)).abs().max() > 0.1


def test_at_the_start_nothing_is_changed_and_only_B_has_a_gradient():
    net, x = mlp(), draw(5, 7)
    ours = lora.wrap(copy.deepcopy(net), lora.linear_names(net), 2, 4, generator())
    assert torch.equal(ours(x), net(x))
    ours(x).square().sum().backward()
    for layer in lora.layers(ours).values():
        assert not layer.A.grad.any() and layer.B.grad.abs().max() > 1e-3
        assert layer.base.weight.grad is None


def test_gradients_are_those_of_the_dense_layer():
    net, x = nn.Sequential(nn.Linear(5, 4).double()), draw(6, 5)
    ours = lora.wrap(copy.deepcopy(net), ["0"], 2, 3, generator())
    ours[0].B.data = draw(4, 2)
    dense = nn.Linear(5, 4).double()
    dense.load_state_dict({"weight": ours[0].base.weight + ours[0].update(), "bias": ours[0].base.bias})
    for model in (ours, dense):
        model(x).pow(3).sum().backward()
    G = dense.weight.grad
    torch.testing.assert_close(ours[0].B.grad, 1.5 * G @ ours[0].A.T)
    torch.testing.assert_close(ours[0].A.grad, 1.5 * ours[0].B.T @ G)


def test_only_the_update_learns(backbone):
    model = lora.wrap(copy.deepcopy(backbone), ["v_proj"], 2, 4, generator())
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    wanted = {n for n in before if n.endswith((".A", ".B"))}
    assert {n for n, p in model.named_parameters() if p.requires_grad} == wanted and len(wanted) == 10
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for step in range(2):
        loss(model, step).backward()
        optimiser.step()
    assert {n for n, p in model.named_parameters() if not torch.equal(p, before[n])} == wanted


def test_merge_and_unmerge():
    net, x = mlp(), draw(5, 7)
    ours = lora.wrap(copy.deepcopy(net), ["0", "2"], 3, 6, generator())
    for k, layer in enumerate(lora.layers(ours).values()):
        layer.B.data = draw(*layer.B.shape, seed=k)
    apart = ours(x)
    for _ in range(2):  # twice is once
        for layer in lora.layers(ours).values():
            layer.merge()
    assert (ours[0].base.weight - net[0].weight).abs().max() > 0.1
    torch.testing.assert_close(ours(x), apart, rtol=1e-12, atol=1e-12)
    for _ in range(2):
        for layer in lora.layers(ours).values():
            layer.unmerge()
    torch.testing.assert_close(ours[0].base.weight, net[0].weight, rtol=0, atol=1e-12)
    torch.testing.assert_close(ours(x), apart, rtol=1e-12, atol=1e-12)
    lora.merge_and_unload(ours)
    assert not lora.layers(ours) and type(ours[0]) is nn.Linear and ours.state_dict().keys() == net.state_dict().keys()
    torch.testing.assert_close(ours(x), apart, rtol=1e-12, atol=1e-12)


def test_one_seed_one_start():
    nets = [lora.wrap(mlp(), ["0", "2"], 3, 6, generator(seed)) for seed in (1, 1, 2)]
    single = lora.wrap(mlp().float(), ["0", "2"], 3, 6, generator(1))
    first, again, other = (n[2].A for n in nets)
    assert torch.equal(first, again) and not torch.equal(first, other)
    torch.testing.assert_close(single[2].A.double(), first, rtol=0, atol=0)  # whatever the precision
    assert not torch.equal(first[:, :7], nets[0][0].A)


def test_global_generators_are_left_alone():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    model = nn.Sequential(nn.utils.skip_init(nn.Linear, 4, 4))
    lora.wrap(model, ["0"], 2, 2, generator())
    assert torch.equal(torch.rand(1), expected)


def test_a_layer_used_by_itself_freezes_its_base():
    layer = lora.LoRALinear(nn.Linear(3, 4), 2, 2, generator())
    assert [n for n, p in layer.named_parameters() if p.requires_grad] == ["A", "B"]


def test_the_bridge_carries_everything_both_ways():
    ours, theirs = both(mlp(), ["0", "2"])
    fresh = lora.wrap(mlp(), ["0", "2"], 4, 6, generator(9))
    lora.copy_from_peft(fresh, theirs)
    for first, second, third in zip(trained(ours), trained(theirs), trained(fresh), strict=True):
        assert torch.equal(first, second) and torch.equal(second, third) and first.abs().max() > 0
    assert trained(fresh)[0].data_ptr() != trained(theirs)[0].data_ptr()


def test_only_linear_layers_are_wrapped():
    net = nn.Sequential(nn.LayerNorm(4), nn.Sequential(nn.Linear(4, 4)))  # both are called 0
    assert list(lora.layers(lora.wrap(net, ["0"], 2, 2, generator()))) == ["1.0"] and type(net[0]) is nn.LayerNorm


# --- counting

@pytest.mark.parametrize("r", [1, 3, 8])
def test_parameters_are_r_times_in_plus_out(backbone, r):
    model = lora.wrap(copy.deepcopy(backbone), ["q_proj", "down_proj"], r, r, generator())
    shapes = [tuple(layer.base.weight.shape) for layer in lora.layers(model).values()]
    m, inner = backbone.config.hidden_size, backbone.config.intermediate_size
    assert sorted(shapes) == sorted([(m, m), (m, inner)] * 5)
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert count == lora.parameter_count(shapes, r) == 5 * r * ((m + m) + (m + inner))
    theirs = in_peft(backbone, ["q_proj", "down_proj"], r, r)
    assert count == sum(p.numel() for p in theirs.parameters() if p.requires_grad)


def test_names_of_linear_layers(backbone):
    assert lora.linear_names(backbone) == ATTENTION + MLP
    assert lora.linear_names(mlp()) == ["0", "2", "4"] and lora.linear_names(nn.Tanh()) == []


# --- what is refused

@pytest.mark.parametrize(("targets", "r", "message"), [
    (["0"], 0, "^r=0: the rank must be at least 1$"), (["0"], -2, "^r=-2: the rank must be at least 1$"),
    (["0", "q_proj"], 2, "^targets: no linear layer is called q_proj; the model has 0, 2, 4$"),
    ("query", 2, "^targets: no linear layer is called query; the model has 0, 2, 4$"),
    (["1"], 2, "^targets: no linear layer is called 1; the model has 0, 2, 4$"),  # it exists, and is a Tanh
    ([], 2, "^targets: no linear layer is called nothing; the model has 0, 2, 4$"),
])
def test_refused(targets, r, message):
    net = mlp()
    with pytest.raises(InputError, match=message):
        lora.wrap(net, targets, r, 4, generator())
    assert not lora.layers(net) and all(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize(("theirs", "message"), [
    ((["0"], 4, 6), "LoRA on different layers: 2 and 0 more"),
    ((["0", "2"], 3, 6), r"0: rank and scaling are \(4, 1.5\) here and \(3, 2.0\) in peft"),
    ((["0", "2"], 4, 8), r"0: rank and scaling are \(4, 1.5\) here and \(4, 2.0\) in peft"),
])
def test_bridges_between_unlike_models_are_refused(theirs, message):
    ours, other = lora.wrap(mlp(), ["0", "2"], 4, 6, generator()), in_peft(mlp(), *theirs)
    before = [w.clone() for w in trained(ours) + trained(other)]
    for bridge in (lora.copy_from_peft, lora.copy_to_peft):
        with pytest.raises(InputError, match=message):
            bridge(ours, other)
    assert all(torch.equal(w, old) for w, old in zip(trained(ours) + trained(other), before, strict=True))


def test_wrapping_twice_is_refused_by_name():
    net = lora.wrap(mlp(), ["0"], 2, 2, generator())
    with pytest.raises(InputError, match="LoRA is on this model already"):
        lora.wrap(net, ["2"], 2, 2, generator())
