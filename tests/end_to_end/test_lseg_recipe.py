"""LSeg's recipes: a small network is trained on a few pixels, then tested."""

import re
import time

import numpy as np
import pytest
from mmseg.datasets import ADE20KDataset
from PIL import Image

from mmclip.cli import main
from mmclip.lseg.folds import PASCAL
from mmclip.lseg.word_lists import word_list

RECIPE = 'lseg_vit-l16-dpt_8xb2-240e_ade20k-480x480'
SAID = word_list('ade20k')
NAMES = ADE20KDataset.METAINFO['classes'][:12]  # 'bed ' among them
CLASSES = [SAID.get(name, [name])[0] for name in NAMES]
SMALL = f"""
backbone = dict(_delete_=True, type='mmclip.LSegViT', model=dict(
    img_size=64, patch_size=16, embed_dims=32, depth=4, num_heads=2),
    out_indices=(0, 1, 2, 3))
neck = dict(_delete_=True, type='mmclip.DPTNeck', in_channels=[32] * 4,
    channels=8, reassemble=dict(
        out_channels=[8, 8, 16, 16], factors=[4, 2, 1, 0.5]))
head = dict(in_channels=8, vocabulary=dict(
    _delete_=True, type='mmclip.Vocabulary', embed_dims=16, prompts='name',
    text_encoder=dict(type='mmclip.EmbeddingTable', names={CLASSES!r},
                      embeddings='TABLE')))
model = dict(backbone=backbone, neck=neck, decode_head=head)
loader = dict(num_workers=0, persistent_workers=False,
              dataset=dict(data_root='ROOT', metainfo=dict(classes={NAMES!r})))
train_dataloader = dict(batch_size=2, **loader)
val_dataloader = test_dataloader = dict(**loader)
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Two photographs a split in ADE20K's folders, of random pixels."""
    root, random = tmp_path_factory.mktemp('ade'), np.random.default_rng(0)
    np.save(root / 'table.npy', random.normal(size=(len(CLASSES), 16)))
    for split in ('training', 'validation'):
        for kind in ('images', 'annotations'):
            (root / kind / split).mkdir(parents=True)
        for k in range(2):
            image = random.integers(0, 256, (60, 80, 3), np.uint8)
            labels = np.full((60, 80), 1 + k, np.uint8)
            labels[:30] = 5
            Image.fromarray(image).save(root / 'images' / split / f'{k}.jpg')
            Image.fromarray(labels).save(
                root / 'annotations' / split / f'{k}.png'
            )
    return root


def heir(folder, name: str) -> str:
    """Write a config that inherits the recipe, as a user would."""
    text = SMALL.replace('ROOT', f'{folder}/').replace(
        'TABLE', f'{folder}/table.npy'
    )
    path = folder / f'{name}.py'
    text += f"experiment_name = '{time.time_ns()}'\n"
    path.write_text(f"_base_ = ['mmclip::lseg/{name}.py']\n{text}")
    return str(path)


@pytest.fixture(scope='module')
def trained(folder):
    """Train for an epoch; return the checkpoint."""
    work = folder / 'work'
    few = ['train_cfg.max_epochs=1', 'train_cfg.val_interval=9']
    few += ['env_cfg.mp_cfg.mp_start_method=fork', 'param_scheduler=[]']
    words = ['train', heir(folder, RECIPE), '--work-dir', str(work)]
    assert main([*words, '--cfg-options', *few, '--debug']) == 0
    return (work / 'last_checkpoint').read_text().strip()


@pytest.mark.slow
@pytest.mark.parametrize('manner', ['as released', "in mmseg's", 'summed'])
def test_the_recipe_is_trained_and_tested(folder, trained, manner, tmp_path):
    name = RECIPE if manner == 'as released' else f'{RECIPE}_slide-tta'
    words = ['test', heir(folder, name), trained]
    words += ['--tta'] * (manner == 'summed')
    assert main([*words, '--work-dir', str(tmp_path), '--debug']) == 0
    (log,) = tmp_path.rglob('*.log')
    found = dict(re.findall(r'(aAcc|mIoU): ([\d.]+)', log.read_text()))
    assert set(found) == {'aAcc', 'mIoU'}


FOLD = """
backbone = dict(depth=18, base_channels=8, init_cfg=None)
neck = dict(in_channels=[8, 16, 32, 64], channels=8)
head = dict(in_channels=8, vocabulary=dict(
    _delete_=True, type='mmclip.Vocabulary', embed_dims=16, prompts='name',
    text_encoder=dict(type='mmclip.EmbeddingTable', names=NAMES,
                      embeddings='ROOT/table.npy')))
model = dict(backbone=backbone, neck=neck, decode_head=head)
loader = dict(batch_size=2, num_workers=0, persistent_workers=False)
dataset = dict(data_root='ROOT')
train_dataloader = dict(dataset=dataset, **loader)
val_dataloader = dict(dataset=dict(num_images=2, **dataset), **loader)
test_dataloader = val_dataloader
"""


@pytest.mark.slow
def test_a_fold_is_trained_on_the_others_and_tested_on_its_own(tmp_path):
    random = np.random.default_rng(0)
    names = ['others', *PASCAL]
    np.save(tmp_path / 'table.npy', random.normal(size=(len(names), 16)))
    for name, label in (('a', 6), ('b', 12), ('c', 1), ('d', 3)):
        image = random.integers(0, 256, (40, 50, 3), np.uint8)
        labels = np.full((40, 50), label, np.uint8)
        labels[:20] = 0
        for part, array, suffix in (
            ('JPEGImages', image, 'jpg'),
            ('SegmentationClassAug', labels, 'png'),
        ):
            place = tmp_path / 'VOC2012' / part
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(place / f'{name}.{suffix}')
    lists = tmp_path / 'pascal-5i'
    lists.mkdir()
    (lists / 'train.txt').write_text('a__06\nb__12\n')
    (lists / 'test.txt').write_text('c__01\nd__03\n')
    text = FOLD.replace('ROOT', str(tmp_path)).replace('NAMES', repr(names))
    path = tmp_path / 'heir.py'
    recipe = 'lseg_r101-dpt_1xb20-4e_pascal-5i-fold0'
    path.write_text(f"_base_ = ['mmclip::lseg/{recipe}.py']\n{text}")
    work = tmp_path / 'work'
    words = ['train', str(path), '--work-dir', str(work)]
    assert main([*words, '--debug']) == 0
    (log,) = work.rglob('*.log')
    assert {'mIoU', 'FB-IoU'} <= set(
        re.findall(r'(FB-IoU|mIoU): [\d.]+', log.read_text())
    )
