"""Convolutional networks on the CPU: normalisation, activation and residual sum inside oneDNN's convolutions.

PyTorch runs these as passes of their own over memory, and lays the weights out anew in every call. Here they
become one operation with weights laid out once, which is what `torch.compile` makes of a frozen network, but
ready in under a second and without a compiler. The operations are PyTorch's own but private
(`torch.ops.mkldnn`); `fuse` therefore compares its result with the network it came from before giving it away.
"""

from __future__ import annotations

import copy
import operator
from collections import Counter

import timm.layers
import torch
from torch import fx, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from histoweave.encoders.convolution import (
    ACTIVATIONS,
    AFTER_SUM,
    OPERATIONS,
    FusedConvolution,
    NotFusable,
    is_fusable,
)

# Difference to the float32 network's features of one image, relative to their length, from which a result is
# refused; 0.03 is a cosine similarity of 0.99955.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.03}
# How many of the first convolutions may stay in float32 until the tolerance is met. On nearly blank tiles they
# carry faint contrast on a large constant, which bfloat16's 8 bits round away.
LEADING = {torch.float32: (0,), torch.bfloat16: (0, 4, 8, 16)}
IDLE = (nn.Identity, nn.Dropout)  # modules that do nothing in evaluation mode


def fuse(module: nn.Module, *, edge_px: int, dtype: torch.dtype) -> tuple[nn.Module, int]:
    """A copy of the convolutional network `module`, fused; operations that cannot be fused stay as they were.

    Parameters
    ----------
    module: in evaluation mode, on the CPU, float32.
    edge_px: of its input; the result takes (N,3,edge_px,edge_px) of any N.
    dtype: of the convolutions, float32 or bfloat16. Run the result under autocast to it, for what is not fused.

    Returns
    -------
    The network, and how many of its first convolutions stayed in float32 because its features need it.

    Raises
    ------
    NotFusable
        with the reason.
    """
    if not torch.backends.mkldnn.is_available() or not all(hasattr(torch.ops.mkldnn, name) for name in OPERATIONS):
        raise NotFusable("this PyTorch lacks oneDNN's fused convolutions")
    if not any(isinstance(part, nn.BatchNorm2d) for part in module.modules()):
        raise NotFusable("it has no batch normalisation")
    images = trial_images(edge_px)
    with torch.inference_mode():
        expected = module(images)
        plain = _trace(_with_separate_activations(copy.deepcopy(module)))
        _fold_normalisation(plain)
        plain.recompile()
        _Rehearsal(plain).run(images)
        for leading in LEADING[dtype]:
            try:
                network = _fused(plain, dtype=dtype, leading=leading)
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
                    features = network(images).float()
            except (RuntimeError, TypeError) as error:  # a private operation that takes other arguments than known
                raise NotFusable(f"oneDNN refuses it ({' '.join(str(error).split())[:200]})") from error
            difference = change_of(features, expected)
            if difference <= TOLERANCE[dtype]:
                return network, leading
    raise NotFusable(f"its features would change by {difference:.2g} of their length")


def _fused(plain: fx.GraphModule, *, dtype: torch.dtype, leading: int) -> fx.GraphModule:
    network = copy.deepcopy(plain)
    _replace_convolutions(network, dtype, leading)
    _absorb_sums(network)
    _absorb_activations(network)
    _overwrite_dead_summands(network)
    _average_in_float32(network)
    network.graph.lint()
    network.recompile()
    network.delete_all_unused_submodules()
    return network


def change_of(features: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference of a row to the expected one, both (N,D) float32, relative to its length."""
    return ((features - expected).norm(dim=1) / expected.norm(dim=1)).max().item()


def trial_images(edge_px: int) -> torch.Tensor:
    """Smooth random colours with coarse and fine detail, three times, and faint noise on glass; (4,3,E,E)."""
    generator = torch.Generator().manual_seed(0)
    images = torch.zeros(4, 3, edge_px, edge_px)
    for cells in (2, 7, 28, 112):
        noise = torch.randn(4, 3, cells, cells, generator=generator)
        images += 0.5 * functional.interpolate(noise, size=edge_px, mode="bicubic")
    images[3] = 1 + 0.01 * images[3]
    return images.contiguous(memory_format=torch.channels_last)


class _Rehearsal(fx.Interpreter):
    """Runs a traced network once and notes each node's `shape` and, of images, `mean` per channel in its meta."""

    def run_node(self, node: fx.Node) -> object:
        result = super().run_node(node)
        if isinstance(result, torch.Tensor):
            node.meta["shape"] = tuple(result.shape)
            if result.ndim == 4:
                node.meta["mean"] = result.mean(dim=(0, 2, 3))
        return result


def _with_separate_activations(module: nn.Module) -> nn.Module:
    """Split timm's normalisation with activation into the two, in place."""
    for name, child in module.named_children():
        if type(child) is timm.layers.BatchNormAct2d:
            norm = nn.BatchNorm2d(child.num_features, eps=child.eps, affine=child.affine)
            norm.load_state_dict(child.state_dict())
            setattr(module, name, nn.Sequential(norm, child.drop, child.act).eval().requires_grad_(False))
        else:
            _with_separate_activations(child)
    return module


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return timm.layers.is_notrace_module(type(module)) or super().is_leaf_module(module, qualified_name)


def _trace(module: nn.Module) -> fx.GraphModule:
    try:
        graph = _Tracer(autowrap_functions=tuple(timm.layers.get_notrace_functions())).trace(module)
    except Exception as error:  # whatever the network's own code raises when it meets a symbol
        raise NotFusable(f"torch.fx cannot trace it ({type(error).__name__})") from error
    network = fx.GraphModule(module, graph)
    for node in graph.nodes:
        if isinstance(_called(network, node), IDLE):
            _drop(node, node.args[0])
    network.recompile()
    return network


def _fold_normalisation(network: fx.GraphModule) -> None:
    calls = Counter(node.target for node in network.graph.nodes if node.op == "call_module")
    for node in network.graph.nodes:
        convolution, after = _called(network, node), _only_user(node)
        norm = _called(network, after)
        if not (is_fusable(convolution) and type(norm) is nn.BatchNorm2d and norm.running_var is not None):
            continue
        assert after is not None and norm.running_mean is not None  # it has been called, and keeps both or none
        if calls[node.target] == 1:
            convolution.weight, convolution.bias = fuse_conv_bn_weights(
                convolution.weight,
                convolution.bias,
                norm.running_mean,
                norm.running_var,
                norm.eps,
                norm.weight,
                norm.bias,
            )
            _drop(after, node)


def _replace_convolutions(network: fx.GraphModule, dtype: torch.dtype, leading: int) -> None:
    calls = Counter(node.target for node in network.graph.nodes if node.op == "call_module")
    for node in network.graph.nodes:
        convolution = _called(network, node)
        if is_fusable(convolution) and calls[node.target] == 1:
            own = torch.float32 if leading > 0 else dtype
            seen = node.args[0].meta
            fused = FusedConvolution(convolution, dtype=own, input_shape=seen["shape"], input_mean=seen["mean"])
            network.set_submodule(node.target, fused)
            leading -= 1


def _absorb_sums(network: fx.GraphModule) -> None:
    """`convolution(x) + other` becomes `convolution(x, other)`, where the sum was."""
    for node in network.graph.nodes:
        total = _only_user(node)
        if total is None or total.op != "call_function" or total.target is not operator.add:
            continue
        if not isinstance(_called(network, node), FusedConvolution) or len(node.args) > 1:
            continue
        other = total.args[1] if total.args[0] is node else total.args[0]
        if not isinstance(other, fx.Node) or other is node or other.meta["shape"] != node.meta["shape"]:
            continue
        with network.graph.inserting_before(total):
            both = network.graph.call_module(node.target, (node.args[0], other))
        convolution = _called(network, node)
        assert isinstance(convolution, FusedConvolution)
        convolution.round_bias()
        both.meta = total.meta
        _drop(total, both)
        network.graph.erase_node(node)


def _absorb_activations(network: fx.GraphModule) -> None:
    for node in network.graph.nodes:
        convolution, after = _called(network, node), _only_user(node)
        kind = type(_called(network, after))
        if not isinstance(convolution, FusedConvolution) or after is None or kind not in ACTIVATIONS:
            continue
        if len(node.args) == 1 or kind in AFTER_SUM:
            convolution.activation = ACTIVATIONS[kind]
            _drop(after, node)


def _overwrite_dead_summands(network: fx.GraphModule) -> None:
    """Let a sum take the place of its summand where that is read no more.

    Only of a fused convolution's output which nothing but fused convolutions reads: these keep no views of it.
    """
    place = {node: index for index, node in enumerate(network.graph.nodes)}
    for node in network.graph.nodes:
        convolution = _called(network, node)
        if not isinstance(convolution, FusedConvolution) or len(node.args) == 1 or node.args[0] is node.args[1]:
            continue
        other = node.args[1]
        users = [other, *other.users]
        convolution.overwrites = all(
            isinstance(_called(network, user), FusedConvolution) and place[user] <= place[node] for user in users
        )
        convolution.overwrites &= getattr(_called(network, other), "dtype", None) == convolution.dtype


def _average_in_float32(network: fx.GraphModule) -> None:
    """Spatial means keep the digits that averaging earns; without this features are rounded to 8 bits."""
    for node in network.graph.nodes:
        if node.op == "call_method" and node.target == "mean":
            node.kwargs = {**node.kwargs, "dtype": torch.float32}
        elif isinstance(_called(network, node), nn.AdaptiveAvgPool2d):
            with network.graph.inserting_before(node):
                node.args = (network.graph.call_method("float", node.args),)


def _called(network: fx.GraphModule, node: fx.Node | None) -> nn.Module | None:
    return network.get_submodule(str(node.target)) if node is not None and node.op == "call_module" else None


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _drop(node: fx.Node, replacement: fx.Node) -> None:
    node.replace_all_uses_with(replacement)
    node.graph.erase_node(node)
