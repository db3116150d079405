"""Turn the released TensorFlow checkpoints of ViLD into ours.

Convention: TensorFlow stores kernels as (kh, kw, in, out), those of
transposed convolutions as (kh, kw, out, in), matrices as (in, out), regions
flattened as (h, w, C) and box deltas as dy, dx, dh, dw; PyTorch wants (out,
in, kh, kw), (in, out, kh, kw), (out, in), (C, h, w), and mmdet dx, dy, dw, dh.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmclip.clip.conversion import known_target
from mmclip.files import write_whole
from mmclip.vild.tf_variables import TEXTS, Step, depth_of, plan, released_name

OPTIMIZER = re.compile(
    r'global_step|.*learning_rate.*|.*/(Momentum|Adam(_1)?|RMSProp(_1)?|'
    r'ExponentialMovingAverage|\.OPTIMIZER_SLOT.*)'
)
DX_FIRST = [1, 0, 3, 2]


@dataclass
class Report:
    """What a conversion did, and what it could not.

    Attributes:
        steps: Each tensor that was converted, with both shapes.
        absent: Keys of our model that no variable fills.
        homeless: Variables with a known place that our model has not.
        unused: Variables of no known place.
        skipped: Variables of the optimiser.
    """

    steps: list[tuple[Step, tuple, tuple]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    homeless: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether both sides fit."""
        return not (self.absent or self.homeless)

    def lines(self) -> Iterator[str]:
        """Yield the report, line by line."""
        for step, theirs, ours in self.steps:
            yield (
                f'{step.source} {list(theirs)} -> {step.key} {list(ours)}'
                f'{step.moved and f" ({step.moved})"}'
            )
        for what, names in (
            ('not filled by any variable', self.absent),
            ('no place in this config', self.homeless),
            ('unknown, left out', self.unused),
            ("the optimiser's, left out", self.skipped),
        ):
            yield from (f'{what}: {name}' for name in names)
        yield (
            f'{len(self.steps)} tensors converted, {len(self.absent)} of ours '
            f'missing, {len(self.homeless)} without a place, '
            f'{len(self.unused)} unknown, {len(self.skipped)} of the '
            'optimiser'
        )


def moved(array: np.ndarray, step: Step, channels: int | None = None):
    """Return a variable as we store it.

    Args:
        array: The variable.
        step: Its step.
        channels: C of the regions, for their matrix.
    """
    array = np.asarray(array, dtype=np.float32)
    if step.key.endswith('vocabulary.embeddings'):
        return array.T / np.linalg.norm(array.T, axis=1, keepdims=True)
    if step.moved == 'flattened':
        return array.reshape(-1)
    if 'regions' in step.moved:
        side = round((len(array) / channels) ** 0.5)
        array = array.reshape(side, side, channels, -1).transpose(2, 0, 1, 3)
        array = array.reshape(-1, array.shape[-1])
    if 'transposed' in step.moved:
        array = array.transpose((3, 2, 0, 1) if array.ndim == 4 else (1, 0))
    if 'dx first' in step.moved:
        anchors = array.reshape(-1, 4, *array.shape[1:])
        array = anchors[:, DX_FIRST].reshape(array.shape)
    return np.ascontiguousarray(array)


def convert(
    variables: Mapping[str, np.ndarray], own: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], Report]:
    """Convert all that has a place.

    Args:
        variables: Names and arrays of the release.
        own: Names and arrays of our model's state dict, whose shapes count.

    Returns:
        The new arrays by our names, and what was done.

    Raises:
        ValueError: A variable does not have the shape of its place.
    """
    steps, state, report = plan(list(variables)), {}, Report()
    for name in variables:
        step = steps.get(name)
        if step is None:
            is_optimizer = OPTIMIZER.fullmatch(released_name(name))
            (report.skipped if is_optimizer else report.unused).append(name)
            continue
        if step.key not in own:
            report.homeless.append(name)
            continue
        theirs = np.asarray(variables[name])
        ours = moved(theirs, step, channels_of(own, step))
        if ours.shape != tuple(own[step.key].shape):
            raise ValueError(
                f'{name} {theirs.shape} becomes {step.key} {ours.shape}, '
                f'expected {tuple(own[step.key].shape)}: the config describes '
                'another model than the checkpoint'
            )
        state[step.key] = ours
        report.steps.append((step, theirs.shape, ours.shape))
    report.absent = [
        key for key in own if key not in state and not is_constant(key)
    ]
    return state, report


def channels_of(own: Mapping, step: Step) -> int | None:
    """Return C of the regions that a linear layer sees."""
    if not step.key.endswith('shared_fcs.0.0.weight'):
        return None
    head = step.key.removesuffix('shared_fcs.0.0.weight')
    convs = [k for k in own if re.match(rf'{head}shared_convs\.\d+\.conv', k)]
    return own[convs[-1]].shape[0]


def is_constant(key: str) -> bool:
    """Tell what our state dict has and a release has not."""
    return key.endswith(
        ('num_batches_tracked', 'packed_names', 'base_names.packed')
    )


# ---- files ----


def convert_release(
    variables: Mapping[str, np.ndarray],
    target,
    cfg,
    annotations: str | None = None,
) -> Report:
    """Convert a released checkpoint into a file that mmengine loads.

    Nothing is written where the two sides do not fit.

    Args:
        variables: See :func:`mmclip.vild.tf_bundle.open_variables`.
        target: ``.safetensors`` or ``.pth``.
        cfg: Config of the model; see :func:`recipe_for`.
        annotations: LVIS v1 annotation file. Its frequency letters tell
            which names had boxes in training; without it the names are
            mmdet's and all of them count as novel until a dataset says
            otherwise.

    Raises:
        ValueError: The target's name ends otherwise, the source is no
            release, or names or shapes do not fit.
    """
    target = known_target(target)
    model = build_model(cfg)
    names, base = read_names(annotations)
    set_names(model.roi_head, variables, names, base)
    own = {k: v.numpy() for k, v in model.state_dict().items()}
    state, report = convert(variables, own)
    if report.complete:
        meta = dict(cfg=cfg.pretty_text, dataset_meta=dict(classes=names))
        write(target, {**own, **state}, meta)
    return report


def recipe_for(names: Sequence[str]) -> str:
    """Return the name of the config that the variables fit."""
    double = any('distill' in name for name in names)
    return (
        f'vild{"-ensemble" if double else ""}-tf_r{depth_of(names)}_fpn_'
        '64xb4-lsj-180k_lvis-v1'
    )


def build_model(cfg):
    """Build the model of a config; nothing is downloaded."""
    from mmengine.registry import MODELS, DefaultScope

    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        return MODELS.build(cfg.model)


def read_names(annotations: str | None) -> tuple[list[str], list[str]]:
    """Return the names of LVIS v1 in the order of their ids, and the base.

    Raises:
        ValueError: The file has no frequency letters.
    """
    if annotations is None:
        from mmdet.datasets import LVISV1Dataset

        return list(LVISV1Dataset.METAINFO['classes']), []
    categories = json.loads(Path(annotations).read_text())['categories']
    categories = sorted(categories, key=lambda category: category['id'])
    if any('frequency' not in category for category in categories):
        raise ValueError(
            f"{annotations} has no frequency letters: take LVIS v1's own file"
        )
    names = [category['name'] for category in categories]
    base = [c['name'] for c in categories if c['frequency'] in 'fc']
    return names, base


def set_names(roi_head, variables: Mapping, names, base) -> None:
    """Give a RoI head the names and text embeddings of a release.

    Raises:
        ValueError: There are other names than embeddings, or no embeddings.
    """
    texts = {released_name(name): name for name in variables}.get(TEXTS)
    if texts is None:
        raise ValueError(
            f'there is no variable {TEXTS}: this is no ViLD of the '
            'TensorFlow release'
        )
    embeddings = np.array(variables[texts]).T
    if len(embeddings) != len(names):
        raise ValueError(
            f'{texts} holds {len(embeddings)} names but {len(names)} are '
            'known: give the annotation file that the model was made for'
        )
    roi_head.set_vocabulary(embeddings, names)
    roi_head.base_names.set(base)


def write(target: Path, state: dict, meta: dict) -> None:
    """Write a checkpoint; what was there stays until it is complete."""
    write_whole(target, lambda path: WRITERS[target.suffix](path, state, meta))


def write_safetensors(path: Path, state: dict, meta: dict) -> None:
    """Write arrays and, as JSON, the rest."""
    from safetensors.numpy import save_file

    arrays = {k: np.ascontiguousarray(v) for k, v in state.items()}
    save_file(arrays, path, {k: json.dumps(v) for k, v in meta.items()})


def write_pth(path: Path, state: dict, meta: dict) -> None:
    """Write what mmengine itself would."""
    import torch

    tensors = {k: torch.from_numpy(np.array(v)) for k, v in state.items()}
    torch.save(dict(meta=meta, state_dict=tensors), path)


WRITERS = {'.safetensors': write_safetensors, '.pth': write_pth}
