import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from mmclip import jobs
from mmclip.vild.crop_encoder import CropEncoder
from mmclip.vild.dataset_images import DatasetImages
from mmclip.vild.shards import ShardError, fault_of, shard_path
from mmclip.vild.stripes import Rank
from mmclip.vild.teacher_cache import TeacherCache, extract_embeddings
from tests.clip.conftest import make_config
from tests.vild.teaching import bytes_of, shapes, write_proposals

TOOL = Path(jobs.__file__).parent / '.mim/tools/vild/extract_embeddings.py'


@pytest.fixture(scope='module')
def encoder():
    return CropEncoder(batch_size=6)


@pytest.fixture(scope='module')
def proposals(tmp_path_factory):
    return write_proposals(shapes(), tmp_path_factory.mktemp('proposals'))


def extract(proposals, encoder, folder, **options):
    options = dict(shard_size=2, **options)
    return extract_embeddings(shapes(), proposals, encoder, folder, **options)


@pytest.fixture(scope='module')
def cache(proposals, encoder, tmp_path_factory):
    return extract(proposals, encoder, tmp_path_factory.mktemp('cache'))


def test_each_image_has_its_boxes_and_their_embeddings(
    cache, proposals, encoder
):
    images = DatasetImages(shapes())
    for image_id in (4, 0, 6):
        boxes, embeddings = cache.of(image_id)
        known, _ = proposals.of(image_id)
        np.testing.assert_array_equal(boxes, known)
        (alone,) = encoder([images[image_id]], [torch.from_numpy(known)])
        assert embeddings.shape == (len(known), 128)
        np.testing.assert_allclose(embeddings, alone.numpy(), atol=2e-3)
        assert embeddings.dtype == np.float16
    assert len(cache.of(4, limit=2)[0]) == 2


def test_the_manifest_says_what_it_holds(cache, proposals, encoder):
    manifest = cache.manifest
    assert manifest == dict(
        format='mmclip.teacher_cache',
        version=1,
        clip='shapes-clip',
        weights=encoder.weights,
        scales=[1.0, 1.5],
        mode='squash',
        image_size=64,
        precision='float32',
        dtype='float16',
        embed_dims=128,
        proposals=proposals.content_hash(),
        max_num=300,
        num_images=7,
        image_ids=DatasetImages(shapes()).identity,
        shard_size=2,
    )


def test_two_ranks_write_what_one_writes(cache, proposals, encoder, tmp_path):
    for rank in (1, 0):
        extract(proposals, encoder, tmp_path, rank=Rank(rank, 2))
    assert bytes_of(tmp_path) == bytes_of(cache.folder)


def test_more_cores_write_the_same_bytes(
    proposals, encoder, tmp_path, monkeypatch
):
    kept, embed, seen = torch.get_num_threads(), encoder.embed, set()

    def watch(crops):
        seen.add(torch.get_num_threads())
        return embed(crops)

    monkeypatch.setattr(encoder, 'embed', watch)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        extract(proposals, encoder, tmp_path / str(threads))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(kept)
    assert seen == {1}
    assert bytes_of(tmp_path / '1') == bytes_of(tmp_path / '2')


def test_a_cut_shard_is_found_and_redone(cache, proposals, encoder, tmp_path):
    extract(proposals, encoder, tmp_path)
    path = shard_path(tmp_path, 1, 'emb')
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ShardError, match=r'00001.emb.npy is cut short.*again'):
        TeacherCache(tmp_path).of(0)
    untouched = shard_path(tmp_path, 0, 'emb').stat().st_mtime_ns
    extract(proposals, encoder, tmp_path)
    assert bytes_of(tmp_path) == bytes_of(cache.folder)
    assert shard_path(tmp_path, 0, 'emb').stat().st_mtime_ns == untouched


def test_only_the_best_boxes_are_embedded(proposals, encoder, tmp_path):
    few = extract(proposals, encoder, tmp_path, max_num=1)
    assert len(few.of(4)[0]) == 1


def test_proposals_of_another_image_set_are_refused(encoder, tmp_path):
    other = write_proposals(shapes(seed=5), tmp_path / 'other')
    with pytest.raises(ShardError, match='of another image set'):
        extract(other, encoder, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_another_clip_does_not_go_on_in_the_same_folder(cache, proposals):
    other = CropEncoder(make_config(), seed=0)
    with pytest.raises(ShardError) as error:
        extract(proposals, other, cache.folder)
    for field in ('clip: got', 'weights: got', 'embed_dims: got 128'):
        assert field in str(error.value)


def test_a_teacher_that_gives_nan_writes_nothing(proposals, tmp_path):
    broken = CropEncoder(batch_size=6)
    parameter = next(broken.encoder.tower.parameters())
    parameter.data.fill_(float('nan'))
    with pytest.raises(ValueError, match='box 0 of image 1 .*float32'):
        extract(proposals, broken, tmp_path)
    assert fault_of(tmp_path, 0, 2)


def test_nothing_is_copied_when_an_image_is_read(cache):
    for read, array in zip(cache.of(4), ('box', 'emb')):
        assert np.shares_memory(read, cache.array(2, array))


def start(proposals, out, rank):
    """Start one of two processes of the tool, as torchrun would."""
    options = ['--clip', 'shapes-clip', '--workers', '0']
    options += ['--shard-size', '2', '--batch-size', '6']
    return subprocess.Popen(
        [sys.executable, TOOL, 'rpn_r18_fpn_shapes', proposals, out]
        + options
        + ['--cfg-options', f'train_dataloader.dataset.num_images={MANY}']
        + ['train_dataloader.dataset.size=48'],
        env=dict(
            os.environ, RANK=str(rank), WORLD_SIZE='2', OMP_NUM_THREADS='1'
        ),
        stderr=subprocess.DEVNULL,
    )


MANY = 120


@pytest.mark.dist
@pytest.mark.slow
def test_killed_ranks_go_on_and_end_with_the_bytes_of_one(encoder, tmp_path):
    scenes = shapes(MANY, classes_of=('base',), unlabelled_of=('novel',))
    stored = write_proposals(scenes, tmp_path / 'proposals', most=9)
    hit = tmp_path / 'hit'
    first = [start(stored.folder, hit, rank) for rank in (0, 1)]
    seals = [hit / f'{rank:05d}.json' for rank in (0, 1)]
    while not all(seal.exists() for seal in seals):
        assert all(process.poll() is None for process in first)
        time.sleep(0.01)
    for process in first:
        process.send_signal(signal.SIGKILL)
    assert [process.wait() for process in first] == [-signal.SIGKILL] * 2
    done = set(hit.glob('*.json')) - {hit / 'manifest.json'}
    assert 2 <= len(done) < MANY // 2  # killed on the way
    times = {path: path.stat().st_mtime_ns for path in done}
    rest = dict(shard_size=2, rank=Rank(0, 1))
    extract_embeddings(scenes, stored, encoder, hit, **rest)
    assert times == {path: path.stat().st_mtime_ns for path in done}
    whole = extract_embeddings(
        scenes, stored, encoder, tmp_path / 'whole', **rest
    )
    assert bytes_of(hit) == bytes_of(whole.folder)
