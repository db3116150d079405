"""A GroupViT of a few channels, for the tests of this room."""

import torch

from mmclip.groupvit import GroupViTBackbone, GroupViTPretrainer

IMAGE = dict(
    img_size=32,
    patch_size=8,
    embed_dims=32,
    depths=(1, 2, 1),
    num_heads=2,
    num_group_tokens=(6, 3, 0),
    num_output_groups=(6, 3),
)
TEXT = dict(context_length=9, vocab_size=50, embed_dims=16, layers=1)
TOWERS = dict(
    img_encoder=IMAGE, text_encoder=TEXT, hidden_channels=20, out_channels=12
)


def backbone(**changes) -> GroupViTBackbone:
    torch.manual_seed(0)
    return sharpened(GroupViTBackbone(**(IMAGE | changes)))


def pretrainer(**changes) -> GroupViTPretrainer:
    torch.manual_seed(0)
    model = GroupViTPretrainer(**(TOWERS | changes))
    sharpened(model.img_encoder)
    return model


def sharpened(encoder):
    """Make groups differ: with fresh weights one group takes all."""
    for name, parameter in encoder.named_parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
        if 'assign.q_proj.weight' in name:
            parameter.data.mul_(8)
    return encoder


def images(count=2, height=32, width=32, dtype=torch.float32):
    torch.manual_seed(1)
    return torch.randn(count, 3, height, width, dtype=dtype)


def tokens(count=2, prompts=3):
    torch.manual_seed(2)
    ids = torch.randint(1, 48, (count, 1 + prompts, 9))
    ids[..., 6] = 49  # the end token has the highest id
    ids[..., 7:] = 0
    return ids


def noise(count=2, seed=3):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(count, 6, 16), (count, 3, 6)]
    return [
        -torch.empty(s).exponential_(generator=generator).log() for s in shapes
    ]


def assert_same_gradients(found: dict, expected: dict) -> None:
    """Compare parameter by parameter, each within 1e-9 of its norm.

    For float64, whose rounding is far below any fault. Some biases have no
    effect (before a BatchNorm, or where a softmax or LayerNorm takes them
    out): theirs are rounding errors on both sides.
    """
    norms = {name: gradient.norm() for name, gradient in expected.items()}
    idle = 1e-12 * max(norms.values())
    for name, gradient in expected.items():
        if norms[name] < idle:
            assert name.endswith('bias'), name
            assert found[name].norm() < idle, name
        else:
            error = (found[name] - gradient).norm() / norms[name]
            assert error <= 1e-9, (name, error)
    assert sum(norm < idle for norm in norms.values()) < len(norms) / 4
