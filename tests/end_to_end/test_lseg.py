"""LSeg in mmengine's runner, in seconds."""

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmclip.checkpoint import read_checkpoint
from mmclip.clip.vocabulary import unpack
from mmclip.jobs import find_config
from tests.end_to_end.tiny import losses, shapes_table


def tiny_config(work_dir) -> Config:
    """Return the shapes config with a narrow neck and small images."""
    cfg = Config.fromfile(find_config('lseg_shapes-clip-dpt_shapes'))
    cfg.model.neck.channels = cfg.model.decode_head.in_channels = 8
    cfg.model.decode_head.vocabulary = dict(
        type='mmclip.Vocabulary',
        embed_dims=16,
        prompts='name',
        text_encoder=dict(type='mmclip.EmbeddingTable', **shapes_table()),
    )
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.batch_size = 2
        loader.dataset.update(num_images=4, size=64)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.train_cfg.update(max_iters=8, val_interval=8)
    cfg.default_hooks.checkpoint.update(interval=4)
    cfg.default_hooks.logger.interval = 1
    cfg.log_processor.window_size = 1
    cfg.custom_hooks[2].count = 2
    cfg.param_scheduler = []
    cfg.optim_wrapper.optimizer.lr = 0.01
    cfg.work_dir = str(work_dir)
    cfg.log_level = 'ERROR'
    cfg.randomness = dict(seed=0)
    return cfg


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Train once for all tests."""
    folder = tmp_path_factory.mktemp('lseg')
    with DefaultScope.overwrite_default_scope('mmseg'):
        runner = Runner.from_cfg(tiny_config(folder))
        runner.train()
    return runner, folder


def test_it_trains_on_base_names_and_is_tested_on_all(trained):
    runner, folder = trained
    found = losses(folder)
    assert len(found) == 8
    assert found[8] < found[1]
    assert len(runner.model.decode_head.vocabulary) == 81


def test_the_checkpoint_holds_the_names_of_the_training(trained):
    state = read_checkpoint(str(trained[1] / 'iter_8.pth'))['state_dict']
    assert state['decode_head.vocabulary.embeddings'].shape == (49, 16)


def test_the_first_maps_are_drawn(trained):
    pictures = sorted(p.name for p in (trained[1] / 'pictures').glob('*'))
    assert pictures == ['0000.png', '0001.png']


def test_a_checkpoint_of_base_names_is_tested_on_others(trained, tmp_path):
    cfg = tiny_config(tmp_path)
    cfg.model.type = 'mmclip.OpenVocabEncoderDecoder'
    cfg.load_from = str(trained[1] / 'iter_8.pth')
    figures = Runner.from_cfg(cfg).test()
    assert {'mIoU', 'base_mIoU', 'novel_mIoU', 'unseen_mIoU', 'hIoU'} <= set(
        figures
    )


def test_captions_without_masks_are_trained_on_beside_masks(tmp_path):
    cfg = tiny_config(tmp_path)
    cap = Config.fromfile(find_config('lseg_shapes-clip-dpt-captions_shapes'))
    data = cap.train_dataloader.dataset
    for part in data.datasets:
        part.update(num_images=8, size=64)
    cfg.train_dataloader.batch_size, cfg.train_dataloader.dataset = 4, data
    cfg.model.decode_head.loss_caption = dict(loss_weight=1.0, negatives=5)
    cfg.train_cfg.val_interval = 100
    Runner.from_cfg(cfg).train()
    state = read_checkpoint(str(tmp_path / 'iter_8.pth'))['state_dict']
    names = unpack(state['decode_head.vocabulary.packed_names'])
    assert len(names) == 49  # no caption's name became a class
    caption = losses(tmp_path, 'decode.loss_caption')
    assert len(caption) == 8
    assert max(caption.values()) > 0


def test_a_clip_alone_is_tested_without_training(tmp_path):
    cfg = Config.fromfile(find_config('clip-dense_shapes-clip_shapes'))
    cfg.test_dataloader.dataset.update(num_images=4, size=64)
    cfg.work_dir, cfg.log_level = str(tmp_path), 'ERROR'
    figures = Runner.from_cfg(cfg).test()
    assert figures['base_mIoU'] > 0
