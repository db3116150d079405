import json

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

import mmclip
from mmclip.cli import main
from mmclip.inference.named import find_checkpoint
from mmclip.inference.segmentor import Segmentor
from mmclip.inference.trained import batches
from mmclip.visualization import colour_of
from tests.end_to_end.test_lseg import tiny_config

TEXT = 'red circle . blue square . orange circle'
NAMES = ['red circle', 'blue square', 'orange circle']


@pytest.fixture(scope='module')
def work_dir(tmp_path_factory):
    """A work directory with a checkpoint of two iterations."""
    folder = tmp_path_factory.mktemp('work')
    cfg = tiny_config(folder)
    cfg.train_cfg.update(max_iters=2, val_interval=9)
    with DefaultScope.overwrite_default_scope('mmseg'):
        Runner.from_cfg(cfg).train()
    return folder


@pytest.fixture(scope='module')
def segmentor(work_dir):
    return Segmentor(str(work_dir), device='cpu')


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)


def test_a_work_directory_is_all_that_segment_needs(work_dir, image):
    found = mmclip.segment(image, NAMES, model=work_dir, device='cpu')
    assert found.keys() == {'labels', 'names'}
    assert found['labels'].shape == (50, 70)
    assert found['labels'].dtype == np.int32
    assert found['names'] == NAMES
    assert set(np.unique(found['labels'])) <= {0, 1, 2}
    assert len(np.unique(found['labels'])) > 1


def test_paths_arrays_and_pil_images_give_the_same_map(
    segmentor, image, tmp_path
):
    path = tmp_path / 'scene.png'
    Image.fromarray(image).save(path)
    wanted = segmentor(image, TEXT)['labels']
    bgr = np.ascontiguousarray(image[..., ::-1])
    for given, options in (
        (path, {}),
        (str(path), {}),
        (Image.fromarray(image), {}),
        (bgr, dict(channel_order='bgr')),
    ):
        assert (segmentor(given, TEXT, **options)['labels'] == wanted).all()


def test_labels_are_the_best_scores(segmentor, image):
    found = segmentor(image, TEXT, scores=True)
    assert found['scores'].shape == (3, 50, 70)
    assert found['scores'].dtype == np.float32
    assert (found['scores'].argmax(0) == found['labels']).all()


def test_without_text_the_saved_names_answer(segmentor, image):
    found = segmentor(image)
    assert found['names'] == list(segmentor.classes)
    assert len(found['names']) == 49


def test_a_label_may_have_several_prompts(segmentor, image):
    text = {
        'round': ['red circle', 'blue semicircle'],
        'other': ['blue square'],
    }
    assert segmentor(image, text)['names'] == ['round', 'other']


@pytest.mark.parametrize('size', [(1, 1), (7, 200), (130, 33)])
def test_images_of_any_size_get_maps_of_their_size(segmentor, size):
    found = segmentor(np.zeros((*size, 3), np.uint8), TEXT)
    assert found['labels'].shape == size


@pytest.mark.parametrize('batch_size', [1, 2, 3])
def test_a_stream_answers_in_order_and_one_by_one(
    segmentor, image, batch_size
):
    small = image[:40, :60]
    images = [image, image[::-1], small, small[:, ::-1], image]
    read = []

    def source():
        for k, each in enumerate(images):
            read.append(k)
            yield np.ascontiguousarray(each)

    stream = segmentor.stream(source(), TEXT, batch_size=batch_size)
    first = next(stream)
    assert len(read) <= batch_size + 1
    found = [first, *stream]
    for each, one in zip(images, found, strict=True):
        alone = segmentor(np.ascontiguousarray(each), TEXT)
        assert one['labels'].shape == each.shape[:2]
        assert (one['labels'] != alone['labels']).mean() < 0.01


def test_a_stream_of_nothing_is_empty(segmentor):
    assert list(segmentor.stream([], TEXT)) == []
    with pytest.raises(ValueError, match='batch_size=0'):
        next(segmentor.stream([], batch_size=0))


def test_neighbours_of_one_size_share_a_batch():
    packed = [dict(inputs=torch.zeros(3, n, n)) for n in (4, 4, 4, 5, 4)]
    sizes = [len(batch) for batch in batches(packed, 2)]
    assert sizes == [2, 1, 1, 1]


def test_bytes_folders_and_labels_with_prompts_are_taken(
    segmentor, image, tmp_path
):
    for name in ('a', 'b'):
        Image.fromarray(image).save(tmp_path / f'{name}.png')
    wanted = segmentor(image, TEXT)
    found = list(segmentor(tmp_path, TEXT, batch_size=2))
    for each, name in zip(found, 'ab', strict=True):
        assert each['image'] == str(tmp_path / f'{name}.png')
        assert (each['labels'] != wanted['labels']).mean() < 0.01
    read = segmentor((tmp_path / 'a.png').read_bytes(), TEXT)
    assert (read['labels'] == wanted['labels']).all()
    said = segmentor(image, 'round: red circle | blue ring . blue square')
    assert said['names'] == ['round', 'blue square']
    sample = segmentor(image, TEXT, return_datasamples=True)
    assert (sample.pred_sem_seg.data[0].numpy() == wanted['labels']).all()


def test_other_names_may_be_set(work_dir, image):
    own = Segmentor(str(work_dir), device='cpu')
    own.set_vocabulary(NAMES[:2])
    assert own(image)['names'] == NAMES[:2]


def test_bfloat16_names_nearly_all_pixels_alike(work_dir, segmentor, image):
    half = Segmentor(str(work_dir), device='cpu', precision='bfloat16')
    found, wanted = half(image, TEXT), segmentor(image, TEXT)
    assert half.model.dtype == torch.bfloat16
    assert (found['labels'] == wanted['labels']).mean() > 0.9
    with pytest.raises(ValueError, match="precision='int8'"):
        Segmentor(str(work_dir), precision='int8')


@pytest.mark.parametrize(('stride', 'size'), [(2, (25, 35)), (4, (13, 18))])
def test_pixels_are_embedded(segmentor, image, stride, size):
    found = segmentor.embed(image, stride=stride)
    assert found.shape == (16, *size)
    assert found.dtype == torch.float16


@pytest.mark.parametrize(
    ('text', 'said'), [([], 'the list is empty'), (' . ', 'no name in the')]
)
def test_no_name_is_refused(segmentor, image, text, said):
    with pytest.raises(ValueError, match=said):
        segmentor(image, text)
    assert segmentor(image, TEXT)['names'] == NAMES  # and it goes on


def test_a_closed_set_takes_no_text(segmentor, image, monkeypatch):
    class Closed(torch.nn.Module):
        pass

    monkeypatch.setattr(segmentor, 'model', Closed())
    with pytest.raises(ValueError, match='Closed with a closed set of names'):
        segmentor(image, TEXT)
    with pytest.raises(ValueError, match='pixel_embeddings'):
        segmentor.embed(image)


def test_the_inferencer_of_mmseg_works_with_our_model(
    work_dir, segmentor, image, tmp_path
):
    from mmseg.apis import MMSegInferencer

    config = next(work_dir.glob('*.py'), None)
    if config is None:  # mmengine writes it where a file was the source
        config = tmp_path / 'config.py'
        tiny_config(work_dir).dump(config)
    inferencer = MMSegInferencer(
        model=str(config),
        weights=find_checkpoint(str(work_dir)),
        device='cpu',
    )
    bgr = np.ascontiguousarray(image[..., ::-1])
    found = inferencer(
        bgr, out_dir=str(tmp_path / 'out'), show=False, wait_time=0
    )
    assert (found['predictions'] == segmentor(image)['labels']).all()
    assert list((tmp_path / 'out').rglob('*.png'))


# ---- from the command line ----


@pytest.fixture
def folder(tmp_path, image):
    inside = tmp_path / 'images'
    inside.mkdir()
    Image.fromarray(image).save(inside / 'a.png')
    Image.fromarray(image[:30]).save(inside / 'b.jpg')
    Image.fromarray(image[:20]).save(inside / 'a.jpg')
    (inside / 'notes.txt').write_text('no image')
    return inside


def run(command, work_dir, *arguments):
    return main(
        [command, *map(str, arguments), '--model', str(work_dir)]
        + ['--device', 'cpu']
    )


def test_maps_pictures_and_names_are_written(
    work_dir, segmentor, folder, image, tmp_path, capsys
):
    out = tmp_path / 'out'
    assert run('segment', work_dir, folder, '--text', TEXT, '--out', out) == 0
    record = json.loads((out / 'segmentation.json').read_text())
    assert record['names'] == NAMES
    told = record['images'][str(folder / 'a.png')]
    assert sum(told['shares'].values()) == pytest.approx(1, abs=1e-4)
    map_of_labels = Image.open(out / told['labels'])
    assert map_of_labels.mode == 'P'
    assert map_of_labels.getpalette()[:3] == colour_of(0).tolist()
    labels = np.array(map_of_labels)
    assert (labels == segmentor(image, TEXT)['labels']).all()
    files = {p.name for p in (out / 'labels').iterdir()}
    assert files == {'a.png', 'a-2.png', 'b.png'}
    assert {p.name for p in (out / 'pictures').iterdir()} == files
    assert 'a.png: ' in capsys.readouterr().out


def test_what_is_there_is_left_out_on_resuming(
    work_dir, folder, tmp_path, capsys
):
    out = tmp_path / 'out'
    arguments = ['--text', TEXT, '--out', out, '--no-pictures']
    run('segment', work_dir, folder / 'a.png', *arguments)
    before = (out / 'labels' / 'a.png').stat().st_mtime_ns
    arguments.append('--resume')
    both = [folder / 'a.png', folder / 'b.jpg']
    assert run('segment', work_dir, *both, *arguments) == 0
    assert (out / 'labels' / 'a.png').stat().st_mtime_ns == before
    record = json.loads((out / 'segmentation.json').read_text())
    assert len(record['images']) == 2
    assert not (out / 'pictures').exists()
    capsys.readouterr()
    assert run('segment', work_dir, *both, *arguments) == 0
    assert 'nothing to do' in capsys.readouterr().out
    arguments[1] = 'red circle . blue square'
    assert run('segment', work_dir, folder, *arguments) == 1
    assert 'was written for the names' in capsys.readouterr().err


def test_a_broken_image_is_told_and_the_rest_goes_on(
    work_dir, folder, tmp_path, capsys
):
    (folder / 'aa.png').write_bytes(b'no image')
    out = tmp_path / 'out'
    arguments = [folder, '--text', TEXT, '--out', out, '--no-pictures']
    assert run('segment', work_dir, *arguments) == 1
    error = capsys.readouterr().err
    assert 'aa.png cannot be read as an image' in error
    assert 'Traceback' not in error
    record = json.loads((out / 'segmentation.json').read_text())
    assert len(record['images']) == 3
    assert run('embed-pixels', work_dir, folder, '--out', out) == 1
    assert len(list(out.glob('*.npz'))) == 3


def test_results_before_a_fault_are_kept(
    work_dir, folder, tmp_path, monkeypatch, capsys
):
    from mmclip.inference import segment_command

    def write(out, stem, found, picture):
        if not found['image'].endswith('a.jpg'):
            raise OSError('the disk is full')

    monkeypatch.setattr(segment_command, 'write_result', write)
    out = tmp_path / 'out'
    assert run('segment', work_dir, folder, '--text', TEXT, '--out', out) == 1
    assert 'the disk is full' in capsys.readouterr().err
    record = json.loads((out / 'segmentation.json').read_text())
    assert list(record['images']) == [str(folder / 'a.jpg')]


def test_pixel_embeddings_are_written(work_dir, folder, tmp_path):
    out = tmp_path / 'out'
    arguments = ['--out', out, '--stride', 4]
    assert run('embed-pixels', work_dir, folder / 'a.png', *arguments) == 0
    with np.load(out / 'a.npz') as file:
        assert file['embeddings'].shape == (16, 13, 18)
        assert file['embeddings'].dtype == np.float16
        assert file['stride'] == 4
    arguments += ['--components', 3, '--resume']
    both = [folder / 'a.png', folder / 'b.jpg']
    assert run('embed-pixels', work_dir, *both, *arguments) == 0
    with np.load(out / 'b.npz') as file:
        assert file['coordinates'].shape == (3, 8, 18)
    with np.load(out / 'a.npz') as file:
        assert 'embeddings' in file  # it was there already


def test_embeddings_of_another_image_are_no_results(
    work_dir, folder, tmp_path, capsys
):
    out = tmp_path / 'out'
    run('embed-pixels', work_dir, folder / 'a.png', '--out', out)
    words = [folder / 'a.jpg', '--out', out, '--resume']
    assert run('embed-pixels', work_dir, *words) == 1
    assert 'holds the embeddings of' in capsys.readouterr().err


def test_a_resumed_run_gives_no_two_images_one_file(
    work_dir, folder, tmp_path
):
    out = tmp_path / 'out'
    words = ['--text', TEXT, '--out', out, '--no-pictures', '--resume']
    run('segment', work_dir, folder / 'a.png', *words)
    run('segment', work_dir, folder / 'a.jpg', folder / 'a.png', *words)
    record = json.loads((out / 'segmentation.json').read_text())
    files = {name: each['labels'] for name, each in record['images'].items()}
    assert files == {
        str(folder / 'a.png'): 'labels/a.png',
        str(folder / 'a.jpg'): 'labels/a-2.png',
    }


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['none.png', '--text', 'red circle'], 'there is no image none.png'),
        (['{folder}/a.png', '--text', ' . '], 'no name in the text'),
        (['{folder}/a.png', '--text', 'dog . cow'], "'dog'"),
        (['{empty}', '--text', 'red circle'], 'holds no image'),
    ],
)
def test_a_mistake_is_told_in_one_message(
    work_dir, folder, tmp_path, capsys, arguments, said
):
    empty = tmp_path / 'empty'
    empty.mkdir()
    arguments = [a.format(folder=folder, empty=empty) for a in arguments]
    assert run('segment', work_dir, *arguments, '--out', tmp_path) == 1
    error = capsys.readouterr().err
    assert said in error
    assert 'Traceback' not in error


def test_a_segmentor_is_exported_and_checked(
    work_dir, segmentor, image, tmp_path, capsys
):
    pytest.importorskip('onnxruntime')
    from mmclip.clip.segmentor_export import ExportedSegmentor

    config, out = tmp_path / 'config.py', tmp_path / 'a.onnx'
    cfg = tiny_config(work_dir)
    cfg.dump(config)
    words = [config, work_dir, out, '--size', 50, 70, '--check']
    words += ['--text', TEXT]
    assert main(['export', *map(str, words)]) == 0
    said = capsys.readouterr().out
    assert '3 names, images of 50 x 70' in said
    assert 'noise: equal' in said
    assert 'a drawn scene: equal' in said
    exported = ExportedSegmentor(out)
    assert exported.names == NAMES
    wanted = segmentor(image, TEXT)['labels']
    assert (exported(image)['labels'] == wanted).mean() > 0.999
