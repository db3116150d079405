"""Know where each variable of the TensorFlow release lies in our model.

Sources: names and shapes of the released checkpoints; tensorflow/tpu
detection, projects/vild.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

HEAD = 'frcnn_layer_0/fast_rcnn_head/'
TEXTS = HEAD + 'class-predict/kernel'
BACKGROUND = HEAD + 'background-class-predict/kernel'
LEAVES = dict(
    kernel='weight',
    bias='bias',
    gamma='weight',
    beta='bias',
    moving_mean='running_mean',
    moving_variance='running_var',
)


@dataclass(frozen=True)
class Step:
    """One tensor on its way.

    Attributes:
        source: Name in the TensorFlow checkpoint.
        key: Name in ours.
        moved: What happens to it, in words.
    """

    source: str
    key: str
    moved: str


def released_name(name: str) -> str:
    """Return a variable's name without what the R152 release added to it."""
    return name.removesuffix(':0').replace('_sim_clr', '')


def numbered(name: str, number: int) -> str:
    """Return the name that Keras gives the layer after ``number`` others."""
    return f'{name}_{number}' if number else name


def modules(depth: int, num_convs: int = 4, levels=range(2, 7)) -> dict:
    """Return where each module of the release lies in ours, and its kind.

    Args:
        depth: Of the ResNet.
        num_convs: Convolutions of each head.
        levels: Of the pyramid.
    """
    found = dict(backbone_modules(depth))
    for level in levels:
        i = level - levels[0]
        for theirs, ours in (
            (f'l{level}', f'lateral_convs.{i}.conv'),
            (f'post_hoc_d{level}', f'fpn_convs.{i}.conv'),
            (f'p{level}', f'fpn_convs.{i}.conv'),
            (f'p{level}-bn', f'norms.{i}'),
        ):
            found[f'fpn/{theirs}'] = f'neck.{ours}', 'conv'
        for j, end in enumerate(('', '-1')):
            found[f'rpn_head/rpn{end}'] = f'rpn_head.rpn_convs.{j}', 'conv'
            found[f'rpn_head/rpn-l{level}-bn{end}'] = (
                f'rpn_head.rpn_norms.{i}.{j}',
                'norm',
            )
    found['rpn_head/rpn-class'] = 'rpn_head.rpn_cls', 'conv'
    found['rpn_head/rpn-box'] = 'rpn_head.rpn_reg', 'box conv'
    found.update(box_head_modules(num_convs))
    found.update(mask_head_modules(num_convs))
    return found


def backbone_modules(depth: int) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the modules of the ResNet; the release numbers them as built."""
    from mmdet.models.backbones import ResNet

    if depth not in ResNet.arch_settings or depth < 50:
        raise ValueError(f'there is no release with a ResNet-{depth}')
    pairs = [('conv1', 'bn1')]
    for stage, blocks in enumerate(ResNet.arch_settings[depth][1], start=1):
        for block in range(blocks):
            layer = f'layer{stage}.{block}.'
            if block == 0:  # the shortcut is built first
                pairs.append((f'{layer}downsample.0', f'{layer}downsample.1'))
            pairs += [(f'{layer}conv{i}', f'{layer}bn{i}') for i in (1, 2, 3)]
    for number, (conv, norm) in enumerate(pairs):
        scope = f'resnet{depth}/'
        yield scope + numbered('conv2d', number), (f'backbone.{conv}', 'conv')
        yield (
            scope + numbered('batch_normalization', number),
            (f'backbone.{norm}', 'norm'),
        )


def box_head_modules(num_convs: int, num_fcs: int = 2) -> dict:
    """Return the modules of the text branch and of the second branch."""
    found, number = {}, 0
    for prefix, head in (('', 'bbox_head'), ('distill_', 'image_head')):
        ours = f'roi_head.{head}.'
        for i in range(num_convs + num_fcs):
            fc = i - num_convs
            theirs, part, kind, norm = (
                (f'conv_{i}', f'shared_convs.{i}.conv', 'conv', 'bn')
                if fc < 0
                else (
                    f'fc{fc + 6}',
                    f'shared_fcs.{fc}.0',
                    'matrix' if fc else 'region matrix',
                    '1.norm',
                )
            )
            found[f'{HEAD}{prefix}{theirs}'] = ours + part, kind
            layer = part.rpartition('.')[0]
            found[HEAD + numbered('batch_normalization', number)] = (
                f'{ours}{layer}.{norm}',
                'norm',
            )
            number += 1
        projection = f'{prefix.replace("_", "-")}project-to-clip'
        found[HEAD + projection] = f'{ours}fc_cls.project', 'matrix'
    found[f'{HEAD}box-predict'] = 'roi_head.bbox_head.fc_reg', 'box matrix'
    return found


def mask_head_modules(num_convs: int) -> dict:
    """Return the modules of the mask head."""
    head, found = 'roi_head.mask_head.', {}
    for i in range(num_convs):
        found[f'mask_head/mask-conv-l{i}'] = f'{head}convs.{i}.conv', 'conv'
        found['mask_head/' + numbered('batch_normalization', i)] = (
            f'{head}convs.{i}.bn',
            'norm',
        )
    found['mask_head/conv5-mask'] = f'{head}upsample.0', 'transposed conv'
    found['mask_head/' + numbered('batch_normalization', num_convs)] = (
        f'{head}upsample.1',
        'norm',
    )
    found['mask_head/mask_fcn_logits'] = f'{head}conv_logits', 'conv'
    return found


def plan(names: Sequence[str]) -> dict[str, Step]:
    """Return a step for each variable that has a place.

    Raises:
        ValueError: No ResNet is among the names.
    """
    known = modules(depth_of(names))
    steps = {}
    for name in names:
        module, _, leaf = released_name(name).rpartition('/')
        if released_name(name) == TEXTS:
            key, moved = (
                'roi_head.bbox_head.fc_cls.vocabulary.embeddings',
                ('transposed, each name to length 1'),
            )
        elif released_name(name) == BACKGROUND:
            key, moved = 'roi_head.bbox_head.fc_cls.background', 'flattened'
        elif module in known and leaf in LEAVES:
            ours, kind = known[module]
            key, moved = f'{ours}.{LEAVES[leaf]}', movement(kind, leaf)
        else:
            continue
        steps[name] = Step(name, key, moved)
    return steps


def depth_of(names: Sequence[str]) -> int:
    """Return the depth of the ResNet.

    Raises:
        ValueError: No ResNet is among the names.
    """
    for name in names:
        found = re.match(r'resnet(\d+)/', name)
        if found:
            return int(found[1])
    raise ValueError(
        'no variable is named resnet50/... or resnet152/...: this is no ViLD '
        f'of the TensorFlow release; it begins with {sorted(names)[:3]}'
    )


def movement(kind: str, leaf: str) -> str:
    """Say what happens to a ``leaf`` of a module of ``kind``."""
    if leaf == 'kernel':
        return {
            'conv': 'transposed',
            'matrix': 'transposed',
            'region matrix': 'transposed, regions (C, h, w)',
            'transposed conv': 'transposed',
            'box conv': 'transposed, dx first',
            'box matrix': 'transposed, dx first',
        }[kind]
    return 'dx first' if leaf == 'bias' and kind.startswith('box') else ''
