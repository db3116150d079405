"""The main job at a scale of seconds."""

import json
from pathlib import Path

from mmengine.config import Config

from mmclip.jobs import find_config


def tiny_config(work_dir, max_iters: int = 6, **options) -> Config:
    """Return the shapes config with a narrow model and small images."""
    from tests.vild.tiny import tiny_vild

    cfg = Config.fromfile(find_config('vild-text_r18_fpn_shapes'))
    model = tiny_vild()
    head = model.roi_head.bbox_head.cls_predictor_cfg
    cfg.model = model
    head.vocabulary = dict(
        type='mmclip.Vocabulary',
        embed_dims=16,
        prompts='name',
        text_encoder=dict(type='mmclip.EmbeddingTable', **shapes_table()),
    )
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.batch_size = 2
        loader.dataset.update(num_images=4, size=64)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.train_cfg.update(max_iters=max_iters, val_interval=1000)
    cfg.default_hooks.checkpoint.update(interval=2)
    cfg.default_hooks.logger.interval = 1
    cfg.log_processor.window_size = 1
    cfg.custom_hooks[2].count = 1
    cfg.work_dir = str(work_dir)
    cfg.log_level = 'ERROR'
    cfg.randomness = dict(seed=0)
    cfg.merge_from_dict(options)
    return cfg


def shapes_table() -> dict:
    """Return random text embeddings of the shapes world's names."""
    import numpy as np

    from mmclip.data.shapes import concepts

    names = [c.name for c in concepts(vocabulary='shapes-80')]
    rng = np.random.default_rng(1)
    return dict(
        names=names, embeddings=rng.normal(size=(len(names), 16)).tolist()
    )


def losses(work_dir, key: str = 'loss') -> dict[int, float]:
    """Read a loss of each step; the newest run that took it counts."""
    found = {}
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if key in record:
                found[record['step']] = record[key]
    return found
