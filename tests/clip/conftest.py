"""Tiny CLIPs of every kind, and a cache folder of each test's own."""

import pytest
import torch

from mmclip.clip.text import CLIPTextEncoder
from mmclip.clip.weights import build_clip

TEXT = dict(width=32, heads=2, layers=2)
VISION = dict(
    vit=dict(image_size=32, patch_size=8, width=48, layers=3, head_width=16),
    resnet=dict(image_size=64, width=8, layers=(1, 1, 1, 1), head_width=16),
    timm_resnet=dict(timm_model_name='test_resnet', image_size=160),
    timm_convnext=dict(timm_model_name='test_convnext', image_size=160),
    timm_vit=dict(timm_model_name='test_vit', image_size=160, timm_pool='avg'),
)


def make_config(kind: str = 'vit') -> dict:
    return dict(embed_dim=24, vision_cfg=VISION[kind], text_cfg=TEXT)


def make_clip(kind: str = 'vit', **changes):
    """Build a tiny open_clip model whose norms and biases are not trivial."""
    torch.manual_seed(0)
    clip = build_clip({**make_config(kind), **changes})
    with torch.no_grad():
        for parameter in clip.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return clip.eval()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('MMCLIP_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


@pytest.fixture(scope='session')
def encoder():
    return CLIPTextEncoder(make_clip())


@pytest.fixture(scope='session')
def tiny_config():
    return make_config


@pytest.fixture(scope='session')
def tiny_clip():
    return make_clip
