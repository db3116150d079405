"""Ours and Hugging Face's GroupViTModel compute the same (where installed)."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmclip.groupvit import GroupViTPretrainer
from mmclip.groupvit.convert import convert_state

transformers = pytest.importorskip('transformers')


@pytest.fixture(scope='module')
def theirs():
    torch.manual_seed(0)
    config = transformers.GroupViTConfig(
        vision_config=dict(
            image_size=32,
            patch_size=8,
            hidden_size=64,
            intermediate_size=256,
            depths=[2, 1, 1],
            num_hidden_layers=4,
            num_group_tokens=[6, 3, 0],
            num_output_groups=[6, 3, 0],
            num_attention_heads=1,
        ),
        text_config=dict(
            vocab_size=60,
            hidden_size=64,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=1,
            max_position_embeddings=9,
            bos_token_id=1,
            eos_token_id=59,
            pad_token_id=0,
        ),
        projection_dim=12,
        projection_intermediate_dim=20,
    )
    model = transformers.GroupViTModel(config).eval()
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
        if 'assign.q_proj.weight' in name:
            parameter.data.mul_(8)
    return model


@pytest.fixture(scope='module')
def ours(theirs):
    state = {k: v.numpy() for k, v in theirs.state_dict().items()}
    converted, settings, report = convert_state(state)
    assert report.complete
    model = GroupViTPretrainer(**settings).eval()
    model.load_state_dict(
        {k: torch.from_numpy(np.array(v)) for k, v in converted.items()}
    )
    return model


@torch.no_grad()
@pytest.mark.parametrize('batch', [1, 2])
def test_images_groups_and_sentences_are_the_same(theirs, ours, batch):
    torch.manual_seed(1)
    images = torch.randn(batch, 3, 32, 32)
    ids = torch.randint(1, 58, (3, 9))
    ids[:, 6], ids[:, 7:] = 59, 0
    found = theirs(
        input_ids=ids,
        pixel_values=images,
        attention_mask=torch.ones_like(ids),
        output_attentions=True,
    )
    whole, _, grouping = ours.encode_image(images)
    seen = theirs.vision_model(images, output_attentions=True)
    for mine, soft in zip(grouping.assignments, seen.attentions):
        torch.testing.assert_close(
            mine, soft.reshape(mine.shape), rtol=1e-4, atol=1e-5
        )
    close = dict(rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        F.normalize(whole, dim=-1), found.image_embeds, **close
    )
    torch.testing.assert_close(
        F.normalize(ours.encode_text(ids), dim=-1), found.text_embeds, **close
    )
