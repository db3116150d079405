"""Run ViLD's golden cases of splits and evaluation through mmclip."""

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from cases import CaseError, Measured, adapter

from mmclip.data.ov_classes import class_names, frequency_letter
from mmclip.data.ov_datasets import OVLVISV1Dataset
from mmclip.evaluation import OVCocoMetric, OVLVISMetric
from mmclip.evaluation.detections import Detections

LVIS_OUT = re.compile(
    r'out_(?P<iou>bbox|segm)(?P<fixed>_fixed_ap)?'
    r'(?:_ap(?P<end>50|75|)_per_category)?'
)
COCO_OUT = re.compile(
    r'out_(?P<iou>bbox|segm)(?P<stats>_stats)?'
    r'(?:_ap(?P<end>50|75|)_per_category)?'
)


@adapter('vild/eval_lvis')
def eval_lvis(meta: dict, arrays: dict, backend: str = 'auto') -> dict:
    """Evaluate detections as LVIS does, and at fixed AP."""
    truth, found = read_json(arrays, 'in_gt_json', 'in_det_json')
    found, config = Detections.from_records(found), meta['config']
    ours = {}
    with TemporaryDirectory() as folder:
        metric = OVLVISMetric(
            write_json(folder, truth),
            max_dets=config['max_dets'],
            fixed_ap=True,
            backend=backend,
        )
        for key in arrays:
            match = LVIS_OUT.fullmatch(key)
            if not match:
                continue
            iou_type, fixed, end = match.group('iou', 'fixed', 'end')
            if end is not None:
                curves = metric.curves(found, iou_type, bool(fixed))
                ours[key] = curves.precision_of_categories(end)
                continue
            figures = metric.measure(found, iou_type)
            names = config['fixed_ap_keys' if fixed else 'keys']
            ours[key] = [
                figures[lvis_key(iou_type, n, bool(fixed))] for n in names
            ]
    return ours


def lvis_key(iou_type: str, name: str, fixed: bool) -> str:
    """Return our name of a figure: AR@-1 of lvis-api is fixed_AR."""
    if fixed:
        return f'{iou_type}_fixed_{name.split("@")[0]}'
    return f'{iou_type}_{name}'


@adapter('vild/eval_coco_base_novel')
def eval_coco(meta: dict, arrays: dict, backend: str = 'auto') -> dict:
    """Evaluate base and novel classes together, removed ones left out."""
    truth, found = read_json(arrays, 'in_gt_json', 'in_det_json')
    found, config = Detections.from_records(found), meta['config']
    names = {c['id']: c['name'] for c in truth['categories']}
    groups = {
        f'{group}_classes': [names[i] for i in arrays[f'in_{group}_ids']]
        for group in ('base', 'novel')
    }
    ours = {}
    with TemporaryDirectory() as folder:
        metric = OVCocoMetric(
            write_json(folder, truth),
            proposal_nums=config['max_dets'],
            backend=backend,
        )
        metric.dataset_meta = dict(classes=sum(groups.values(), []), **groups)
        for key in arrays:
            match = COCO_OUT.fullmatch(key)
            if not match:
                continue
            iou_type, stats, end = match.group('iou', 'stats', 'end')
            if end is not None:
                curves = metric.curves(found, iou_type)
                ours[key] = curves.precision_of_categories(end)
                continue
            figures = metric.measure(found, iou_type)
            wanted = (
                stats_keys(config['max_dets']) if stats else config['keys']
            )
            ours[key] = [figures[f'{iou_type}_{coco_key(n)}'] for n in wanted]
    return ours


def stats_keys(limits: list[int]) -> list[str]:
    """Return the names of pycocotools' twelve stats."""
    return [
        *(f'AP{end}' for end in ('', '50', '75', 's', 'm', 'l')),
        *(f'AR@{limit}' for limit in limits),
        *(f'AR{end}@{limits[-1]}' for end in ('s', 'm', 'l')),
    ]


def coco_key(name: str) -> str:
    """Return our name of a figure: novel_AP50 is novel_mAP_50.

    Raises:
        CaseError: It is none that we know.
    """
    found = re.fullmatch(r'(\w+_)?(AP|AR)([a-z]|\d\d)?(@\d+)?', name)
    if not found:
        raise CaseError(f"no figure is called '{name}'")
    group, kind, end, limit = (part or '' for part in found.groups())
    kind = {'AP': 'mAP'}.get(kind, kind)
    return f'{group}{kind}{end and "_" + end}{limit}'


@adapter('vild/splits')
def splits(meta: dict, arrays: dict) -> dict:
    """Split COCO by our lists and LVIS by letters, themselves recomputed.

    The case holds data alone, so its ``data_*`` are what is compared. The
    letters come from the image counts, and go through an annotation file and
    our dataset.
    """
    letters = [str(x) for x in arrays['data_lvis_frequency']]
    info = lvis_info(letters)
    stated = meta['config']['lvis']
    wrong = sum(
        letters[i] not in stated[group].split(' and ')
        for group in ('base', 'novel')
        for i in info[f'{group}_indices']
    )
    sizes = [len(info[f'{group}_indices']) for group in ('base', 'novel')]
    base = stated['f'] + stated['c']
    return {
        'data_coco_base': np.array(class_names('coco-base-48')),
        'data_coco_novel': np.array(class_names('coco-novel-17')),
        'data_lvis_frequency': np.array(
            [frequency_letter(n) for n in arrays['data_lvis_image_count']]
        ),
        'lvis_classes_in_another_group': Measured(wrong, 0),
        'lvis_sizes_of_the_groups': Measured(
            float(sizes != [base, stated['r']]), 0
        ),
    }


def lvis_info(letters: list[str]) -> dict:
    """Return the metainfo of an LVIS dataset with such classes."""
    categories = [
        dict(id=i + 1, name=f'class {i + 1}', frequency=letter)
        for i, letter in enumerate(letters)
    ]
    content = dict(images=[], annotations=[], categories=categories)
    with TemporaryDirectory() as folder:
        path = Path(folder) / 'lvis.json'
        path.write_text(json.dumps(content))
        dataset = OVLVISV1Dataset(
            ann_file=str(path), data_prefix=dict(img=''), serialize_data=False
        )
    return dataset.metainfo


def read_json(arrays: dict, *keys: str) -> list:
    """Return what the bytes of some arrays say."""
    return [json.loads(arrays[key].tobytes()) for key in keys]


def write_json(folder: str, content: dict) -> str:
    """Write an annotation file; return its path."""
    path = Path(folder) / 'truth.json'
    path.write_text(json.dumps(content))
    return str(path)
