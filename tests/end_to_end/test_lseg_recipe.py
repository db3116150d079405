"""LSeg's recipe for ADE20K: a small network is trained, then tested."""

import re

import numpy as np
import pytest
from mmseg.datasets import ADE20KDataset
from PIL import Image

from mmclip.cli import main
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
