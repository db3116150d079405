"""Let mmengine's ``init_cfg`` name CLIP weights: ``mmclip://MODEL[/TAG]``."""

from pathlib import Path

from mmengine.runner.checkpoint import CheckpointLoader

from mmclip.clip.checkpoint import read_state
from mmclip.clip.shapes_clip import WEIGHTS
from mmclip.clip.weights import find_weights

PREFIX = 'mmclip://'
PACKAGED = {
    'shapes-clip': WEIGHTS,
    'groupvit-shapes': Path(__file__).parents[1]
    / 'groupvit/assets/groupvit-shapes.safetensors',
}


@CheckpointLoader.register_scheme(prefixes=PREFIX)
def load_clip_state(filename: str, map_location=None) -> dict:
    """Return a state dict: a CLIP's in open_clip's layout, or a packaged one.

    For ``init_cfg=dict(type='Pretrained', checkpoint='mmclip://shapes-clip',
    prefix='visual.trunk.')``, or ``'mmclip://RN50/openai'``. Half precision
    becomes float32.

    Args:
        filename: ``mmclip://`` and the model, with a tag where it has several
            weights.
        map_location: Taken for mmengine's sake; the state is on the CPU.

    Raises:
        ValueError: A model that is not packaged came without a tag.
    """
    model, _, tag = filename.removeprefix(PREFIX).partition('/')
    if model not in PACKAGED and not tag:
        raise ValueError(
            f'{filename} names no weights: add their tag, as in '
            f'{PREFIX}RN50/openai'
        )
    path = PACKAGED.get(model) or find_weights(model, tag)
    return {
        key: value.float() if value.is_floating_point() else value
        for key, value in read_state(path).items()
    }
