"""The published recipe, narrowed, runs from shards to masks."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmclip.checkpoint import read_checkpoint
from mmclip.data.shapes_export import export
from mmclip.jobs import find_config
from mmclip.registry import MODELS

TOWERS = dict(
    img_encoder=dict(
        img_size=32,
        embed_dims=16,
        depths=(1, 1, 1),
        num_heads=2,
        num_group_tokens=(6, 3, 0),
        num_output_groups=(6, 3),
    ),
    text_encoder=dict(embed_dims=16, layers=1),
    hidden_channels=16,
    out_channels=8,
)


def narrowed(name, data, work_dir, **changes) -> Config:
    """Make a recipe small enough for a test, its pipeline included."""
    cfg = Config.fromfile(find_config(name))
    cfg.work_dir, cfg.model = str(work_dir), dict(cfg.model, **TOWERS)
    cfg.merge_from_dict(
        {
            'train_dataloader.batch_size': 4,
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'train_dataloader.pin_memory': False,
            'train_dataloader.dataset.data': data,
            'train_cfg.max_iters': 3,
            'optim_wrapper.type': 'mmengine.OptimWrapper',  # no GPU
            'default_hooks.checkpoint.interval': 2,
            'default_hooks.logger.interval': 1,
            'env_cfg.dist_cfg.backend': 'gloo',
        }
        | changes
    )
    cfg.train_dataloader.dataset.pipeline[0].scale = 32
    return cfg


@pytest.mark.slow
@pytest.mark.parametrize(
    'name',
    ['groupvit_1xb4096-30e_gcc-yfcc', 'groupvit_16xb256-30e_gcc-redcaps'],
)
def test_the_recipe_trains_resumes_and_segments(name, tmp_path):
    export('webdataset', tmp_path / 'data', 12, size=48, shard=5)
    data = str(tmp_path / 'data' / '*.tar')
    small = {'model.chunk_size': 2} if '1xb' in name else {}
    work = tmp_path / 'work'
    Runner.from_cfg(narrowed(name, data, work, **small)).train()
    longer = {**small, 'train_cfg.max_iters': 5, 'resume': True}
    Runner.from_cfg(narrowed(name, data, work, **longer)).train()
    saved = read_checkpoint(str(work / 'iter_5.pth'))
    assert saved['pair_stream']['ranks'][0][0]['given'] == 20
    prompts = 'multi_label_logit_scale' in saved['state_dict']
    assert prompts == ('yfcc' in name)
    model = MODELS.build(
        dict(
            type='mmclip.GroupViTSegmentor',
            multi_label=prompts,
            names=['circle', 'star', 'ring'],
            **TOWERS,
        )
    )
    model.load_state_dict(saved['state_dict'])
    scores = model.eval().encode_decode(torch.rand(1, 3, 32, 32), [{}])
    assert scores.shape == (1, 3, 32, 32)
    assert scores.isfinite().all()
