"""A tiny run of the loop on drawn pictures: seconds, no weights."""

import itertools
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image, ImageDraw

SIDE = 64
NUMBER = itertools.count()  # mmengine tells runs by their names


def draw_picture(path: Path, number: int = 0, size=(SIDE, SIDE)) -> str:
    """Draw a dark shape on white; each number another one."""
    image = Image.new('RGB', size, 'white')
    pen = ImageDraw.Draw(image)
    w, h = size
    box = [w * 0.2 + 3 * number, h * 0.25, w * 0.75, h * 0.8 - 2 * number]
    if number % 2:
        pen.rectangle(box, fill=(200, 40, 60))
    else:
        pen.ellipse(box, fill=(30, 60, 160))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return str(path)


def pictures(folder: Path, count: int = 1) -> list[str]:
    return [draw_picture(folder / f'p{k}.png', k) for k in range(count)]


def tiny_model(**changes) -> dict:
    """shapes-clip at 64 pixels with one view: quick and not random."""
    return (
        dict(
            type='mmclip.CLIPassoSketcher',
            clip=dict(model='shapes-clip'),
            losses=[
                dict(
                    type='mmclip.CLIPGeometricLoss',
                    layers=dict(layer1=1.0, layer2=1.0),
                ),
                dict(type='mmclip.CLIPSemanticLoss'),
            ],
            augment=dict(type='mmclip.PairedAugment', num_views=1, size=SIDE),
            stroke_init=dict(
                type='mmclip.SaliencyStrokeInit', source='activation'
            ),
            num_strokes=3,
            num_seeds=2,
        )
        | changes
    )


def pipeline(**canvas) -> list[dict]:
    return [
        dict(type='mmclip.CompositeOnWhite'),
        dict(type='mmclip.ApplyForegroundMask'),
        dict(type='mmclip.PadToWhiteSquare'),
        dict(type='mmclip.ResizeToCanvas', size=SIDE, **canvas),
        dict(type='mmclip.PackSketchInputs'),
    ]


def run_config(work_dir, images, batch_size=1, **changes) -> Config:
    model = changes.pop('model', {})
    hooks = changes.pop('hooks', [])
    loop = dict(num_iters=12, eval_interval=4) | changes.pop('loop', {})
    return Config(
        dict(
            default_scope='mmclip',
            work_dir=str(work_dir),
            experiment_name=f'sketch{next(NUMBER)}',
            model=tiny_model(**model),
            train_dataloader=dict(
                batch_size=batch_size,
                num_workers=0,
                sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
                collate_fn=dict(type='pseudo_collate'),
                dataset=dict(
                    type='mmclip.SketchImageDataset',
                    images=images,
                    pipeline=pipeline(),
                ),
            ),
            train_cfg=dict(type='mmclip.SketchTrainLoop', **loop),
            optim_wrapper=dict(
                type='mmengine.OptimWrapper',
                optimizer=dict(type='Adam', lr=1.0),
            ),
            default_hooks=dict(
                checkpoint=dict(
                    type='mmengine.CheckpointHook', by_epoch=False, interval=5
                ),
                logger=dict(type='mmengine.LoggerHook', interval=6),
            ),
            custom_hooks=[dict(type='mmclip.RNGStateHook'), *hooks],
            log_processor=dict(by_epoch=False),
            log_level='WARNING',
            randomness=dict(seed=3),
        )
        | changes
    )


def sketch(work_dir, images, **changes) -> Runner:
    """Run, and return the runner."""
    runner = Runner.from_cfg(run_config(work_dir, images, **changes))
    runner.train()
    return runner
