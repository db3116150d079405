"""Run the loop on drawn pictures, for the benchmarks of sketches.

Pictures are uint8 RGB (H, W, 3), masks bool (H, W).
"""

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

NUMBER = itertools.count()  # mmengine tells runs by their names


def save_pictures(
    folder: Path, name: str, pictures: Sequence[np.ndarray]
) -> list[str]:
    """Save pictures or masks; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f'{name}{k}.png' for k in range(len(pictures))]
    for path, picture in zip(paths, pictures):
        Image.fromarray(picture).save(path)
    return [str(path) for path in paths]


def config(
    folder: Path,
    images: list[str],
    model: dict,
    iters: int,
    masks: list[str] | None = None,
    whiten: bool = True,
    lr: float = 1.0,
    eval_interval: int = 10,
) -> Config:
    """Return the config of a run that sketches all images at once."""
    pipeline = [
        dict(type='mmclip.CompositeOnWhite'),
        dict(type='mmclip.ApplyForegroundMask', whiten=whiten),
        dict(type='mmclip.PackSketchInputs'),
    ]
    return Config(
        dict(
            default_scope='mmclip',
            work_dir=str(folder),
            experiment_name=f'run{next(NUMBER)}',
            model=model,
            train_dataloader=dict(
                batch_size=len(images),
                num_workers=0,
                sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
                collate_fn=dict(type='pseudo_collate'),
                dataset=dict(
                    type='mmclip.SketchImageDataset',
                    images=images,
                    masks=masks,
                    pipeline=pipeline,
                ),
            ),
            train_cfg=dict(
                type='mmclip.SketchTrainLoop',
                num_iters=iters,
                eval_interval=eval_interval,
            ),
            optim_wrapper=dict(
                type='mmengine.OptimWrapper',
                optimizer=dict(type='Adam', lr=lr),
            ),
            default_hooks=dict(
                checkpoint=None,
                logger=dict(type='mmengine.LoggerHook', interval=10**6),
            ),
            log_processor=dict(by_epoch=False),
            log_level='ERROR',
            randomness=dict(seed=0),
        )
    )


def sketch(folder: Path, images: list[str], model: dict, iters: int, **rest):
    """Run; return the runner, its records in the images' order."""
    logging.getLogger('mmengine').setLevel('ERROR')
    runner = Runner.from_cfg(config(folder, images, model, iters, **rest))
    runner.train()
    records = [runner.model.album[path] for path in images]
    return runner, records
