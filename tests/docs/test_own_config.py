"""Each block of ``own_config.md`` is a config that trains and is scored."""

import json
import re
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, HOOKS, MODELS, DefaultScope

from tests.configs.test_configs import typed_dicts
from tests.test_docs import ROOT, blocks

PAGE = ROOT / 'docs/en/own_config.md'
NAME = re.compile(r'^# ([\w.-]+\.py)\n')
SIZE = (96, 64)
TINY_CLIP = dict(
    embed_dim=16,
    vision_cfg=dict(
        image_size=64, width=8, layers=(1, 1, 1, 1), head_width=16
    ),
    text_cfg=dict(width=16, heads=2, layers=1),
)
PIECES = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'person', 'cat', '.']
RESNET = {'backbone.depth': 18, 'backbone.base_channels': 8}
RESNET |= {'backbone.init_cfg': None}
FPN = {'neck.in_channels': [8, 16, 32, 64], 'neck.out_channels': 16}
TWO_STAGES = {
    'neck.out_channels': 16,
    'rpn_head.in_channels': 16,
    'rpn_head.feat_channels': 16,
    'roi_head.bbox_roi_extractor.out_channels': 16,
    'roi_head.bbox_head.in_channels': 16,
    'roi_head.bbox_head.fc_out_channels': 16,
    'train_cfg.rpn_proposal.max_per_img': 50,
    'test_cfg.rpn.max_per_img': 50,
    'test_cfg.rcnn.score_thr': 0.0,
}
ONE_STAGE = {
    'neck.out_channels': 16,
    'bbox_head.in_channels': 16,
    'bbox_head.feat_channels': 16,
    'test_cfg.score_thr': 0.0,
}
MASKS = {
    'roi_head.mask_roi_extractor.out_channels': 16,
    'roi_head.mask_head.in_channels': 16,
    'roi_head.mask_head.conv_out_channels': 16,
}
TEXT_CLASSIFIER = {
    **TWO_STAGES,
    'roi_head.bbox_head.cls_predictor_cfg.vocabulary.embed_dims': 16,
    'roi_head.bbox_head.cls_predictor_cfg.vocabulary.prompts': 'name',
}
CLIP = {'model': TINY_CLIP, 'pretrained': None}
WORDS = {
    'fusion_neck.in_channels': 16,
    'language_model.vocab_file': PIECES,
    'language_model.vocab_size': len(PIECES),
    'language_model.pretrained': None,
    'language_model.width': 24,
    'language_model.layers': 1,
    'language_model.heads': 2,
    'fusion_neck.language_dim': 24,
    'fusion_neck.fusion.embed_dim': 32,
    'fusion_neck.fusion.num_heads': 4,
}
NARROW = {  # what each block is narrowed to; every block must stand here
    'text_faster-rcnn.py': RESNET | FPN | TEXT_CLASSIFIER,
    'text_faster-rcnn_coco-48-17.py': RESNET | FPN | TEXT_CLASSIFIER,
    'vild_faster-rcnn_coco-48-17.py': {
        **RESNET,
        **FPN,
        **TEXT_CLASSIFIER,
        'teacher.num': 4,
        'teacher.seed': 0,  # a teacher of random weights says so
    },
    'clip_faster-rcnn.py': {
        **TEXT_CLASSIFIER,
        'neck.in_channels': [32, 64, 128, 256],
    },
    'words.py': None,  # no model of its own
    'words_retinanet.py': RESNET | FPN | ONE_STAGE | WORDS,
    'words_atss.py': {
        **(RESNET | FPN | ONE_STAGE | WORDS),
        'bbox_head.stacked_convs': 0,  # its GroupNorm has 32 groups
    },
    'words_mask-rcnn.py': RESNET | FPN | TWO_STAGES | MASKS | WORDS,
    'lseg_fcn-data.py': {
        **RESNET,
        'pretrained': None,
        'neck.in_channels': [8, 16, 32, 64],
        'neck.channels': 16,
        'decode_head.in_channels': 16,
        'decode_head.vocabulary.embed_dims': 16,
        'decode_head.vocabulary.prompts': 'name',
    },
    'groupvit_fcn.py': {
        'backbone.depths': [1, 1, 1],
        'backbone.embed_dims': 24,
        'backbone.init_cfg': None,
        'decode_head.in_channels': [24, 24, 24],
        'decode_head.channels': 8,
    },
}


def configs() -> dict[str, str]:
    """The blocks that say the name of their file."""
    found = [(NAME.match(text), text) for text in blocks(PAGE, 'python')]
    return {name.group(1): text for name, text in found if name}


def narrowed(cfg: Config, changes: dict) -> Config:
    """Shrink networks and images; nothing else is touched."""
    for each in typed_dicts(cfg._cfg_dict):
        kind = str(each['type']).split('.')[-1]
        if kind in ('CLIPTextEncoder', 'CLIPImageEncoder', 'OnlineTeacher'):
            each.update(CLIP)
        if kind in ('Resize', 'RandomResize'):
            each['scale'] = SIZE
        if kind == 'RandomCrop':
            each['crop_size'] = (64, 64)
    if cfg.model.data_preprocessor.get('size'):
        cfg.model.data_preprocessor.size = (64, 64)
    cfg.merge_from_dict({f'model.{k}': v for k, v in changes.items()})
    return cfg


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The blocks as files, and COCO and ADE20K of two images each."""
    folder = tmp_path_factory.mktemp('own')
    for name, text in configs().items():
        (folder / name).write_text(text)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (64, 96, 3), np.uint8) for _ in '12']
    coco(folder / 'data/coco', pictures)
    ade(folder / 'data/ade/ADEChallengeData2016', pictures)
    return folder


def coco(root, pictures) -> None:
    from mmdet.datasets import CocoDataset

    names = CocoDataset.METAINFO['classes']
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(names)]
    boxes = [[8, 8, 40, 40], [30, 10, 50, 36]]
    for split in ('train2017', 'val2017'):
        (root / split).mkdir(parents=True)
        for i, picture in enumerate(pictures):
            cv2.imwrite(str(root / split / f'{i}.jpg'), picture)
        images = [
            dict(id=i, file_name=f'{i}.jpg', height=64, width=96)
            for i in range(len(pictures))
        ]
        annotations = [
            dict(
                id=2 * i + j + 1,
                image_id=i,
                category_id=j + 1 if j == 0 else 16 + i,
                bbox=[x, y, w, h],
                area=w * h,
                iscrowd=0,
                segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]],
            )
            for i in range(len(pictures))
            for j, (x, y, w, h) in enumerate(boxes)
        ]
        file = root / f'annotations/instances_{split}.json'
        file.parent.mkdir(exist_ok=True)
        content = dict(
            images=images, annotations=annotations, categories=categories
        )
        file.write_text(json.dumps(content))


def ade(root, pictures) -> None:
    for split in ('training', 'validation'):
        for kind in ('images', 'annotations'):
            (root / kind / split).mkdir(parents=True)
        for i, picture in enumerate(pictures):
            cv2.imwrite(str(root / f'images/{split}/{i}.jpg'), picture)
            labels = np.full((64, 96), 1 + i, np.uint8)
            labels[20:40, 20:60] = 5
            cv2.imwrite(str(root / f'annotations/{split}/{i}.png'), labels)


def test_every_config_of_the_page_is_tried():
    assert set(configs()) == set(NARROW)


@pytest.mark.parametrize('name', [k for k, v in NARROW.items() if v])
def test_a_config_takes_a_step_and_is_scored(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    cfg = narrowed(Config.fromfile(name), NARROW[name])
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        check(cfg)


def check(cfg: Config) -> None:
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    hooks = [HOOKS.build(hook) for hook in cfg.get('custom_hooks', [])]
    runner = SimpleNamespace(model=model)
    for stage in ('train', 'test'):
        loader = cfg[f'{stage}_dataloader']
        loader.dataset = DATASETS.build(loader.dataset)
        setattr(runner, f'{stage}_dataloader', loader)
    call(hooks, 'before_train', runner)
    losses = step(model.train(), runner.train_dataloader.dataset)
    assert losses
    call(hooks, 'before_test_epoch', runner)
    scores = scored(model.eval(), runner.test_dataloader.dataset, cfg)
    assert scores


def call(hooks, moment: str, runner) -> None:
    for hook in hooks:
        getattr(hook, moment)(runner)


def step(model, dataset) -> dict:
    """Take a step on two images; every loss is a number and teaches."""
    batch = pseudo_collate([dataset[0], dataset[1]])
    data = model.data_preprocessor(batch, training=True)
    total, losses = model.parse_losses(model(**data, mode='loss'))
    total.backward()
    assert torch.isfinite(total)
    moved = [p for p in model.parameters() if p.grad is not None]
    assert any(p.grad.abs().sum() > 0 for p in moved)
    return losses


@torch.no_grad()
def scored(model, dataset, cfg) -> dict:
    """Let the config's own metric score the answers on two images."""
    evaluator = Evaluator(cfg.test_evaluator)
    evaluator.dataset_meta = dataset.metainfo
    for i in range(len(dataset)):
        batch = pseudo_collate([dataset[i]])
        evaluator.process(model.test_step(batch), batch)
    return evaluator.evaluate(len(dataset))


def test_the_readmes_snippet_is_the_first_of_the_page():
    (snippet,) = [
        text
        for text in blocks(ROOT / 'README.md', 'python')
        if '_head' in text
    ]
    scopes = []
    for text in (snippet, configs()['text_faster-rcnn.py']):
        scopes.append({})
        exec(text, scopes[-1])  # our own pages
    for key in ('model', 'custom_hooks'):
        assert scopes[0][key] == scopes[1][key]


def test_a_module_of_ones_own_follows_the_hook():
    (text,) = [t for t in blocks(PAGE, 'python') if 'class MyHead' in t]
    scope = {}
    exec(text, scope)  # our own page
    try:
        table = dict(
            type='mmclip.EmbeddingTable', names=['cat'], embeddings=[[1, 0]]
        )
        vocabulary = dict(
            type='mmclip.Vocabulary', prompts='name', text_encoder=table
        )
        head = MODELS.build(dict(type='MyHead', vocabulary=vocabulary))
    finally:
        MODELS.module_dict.pop('MyHead')
    dataset = SimpleNamespace(metainfo=dict(classes=['cat']))
    runner = SimpleNamespace(
        model=head, train_dataloader=SimpleNamespace(dataset=dataset)
    )
    HOOKS.build(dict(type='mmclip.VocabularyHook')).before_train(runner)
    assert head(torch.tensor([[0.6, 0.8]])).tolist() == [[pytest.approx(0.6)]]
