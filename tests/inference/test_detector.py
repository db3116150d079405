import json
import os
import warnings

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.runner import Runner
from PIL import Image

import mmclip
from mmclip.cli import main
from mmclip.inference import GroundingInferencer
from mmclip.inference.detector import Detector, find_checkpoint
from tests.end_to_end.tiny import tiny_config


@pytest.fixture(scope='module')
def work_dir(tmp_path_factory):
    """A work directory with a checkpoint of two iterations."""
    folder = tmp_path_factory.mktemp('work')
    Runner.from_cfg(tiny_config(folder, max_iters=2)).train()
    return folder


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)


def test_a_work_directory_is_all_that_detect_needs(work_dir, image):
    found = mmclip.detect(
        image,
        'red circle . blue square',
        model=work_dir,
        score_thr=0.0,
        device='cpu',
    )
    count = len(found['labels'])
    assert count > 0
    assert set(found['labels']) <= {'red circle', 'blue square'}
    assert found['boxes'].shape == (count, 4)
    assert found['masks'].shape == (count, 50, 70)
    assert (np.diff(found['scores']) <= 0).all()
    assert (found['boxes'] <= [70, 50, 70, 50]).all()


def test_without_text_the_saved_names_answer(work_dir, image):
    detector = Detector(str(work_dir), device='cpu')
    found = detector(image, score_thr=0.0)
    assert set(found['labels']) <= set(detector.classes)
    assert len(detector.classes) == 48


def test_a_model_is_kept_until_it_is_trained_further(work_dir, image):
    from mmclip.inference import detector

    def built():
        detector.detect(image, model=work_dir, device='cpu')
        return detector.kept_detector.cache_info().misses

    first = built()
    assert built() == first
    last = work_dir / 'last_checkpoint'
    last.write_text(last.read_text())
    os.utime(last, ns=(1, 1))
    assert built() == first + 1


def test_the_score_threshold_cuts(work_dir, image):
    detector = Detector(str(work_dir), device='cpu')
    scores = detector(image, score_thr=0.0)['scores']
    kept = detector(image, score_thr=float(scores[1]))['scores']
    assert len(kept) == (scores >= scores[1]).sum()
    assert detector(image, score_thr=1.1)['labels'] == []


def test_boxes_are_in_pixels_of_any_size_of_image(work_dir):
    detector = Detector(str(work_dir), device='cpu')
    for shape in ((1, 1, 3), (9, 200, 3), (300, 40, 3)):
        found = detector(np.zeros(shape, np.uint8), score_thr=0.0)
        limits = np.tile([shape[1], shape[0]], 2)
        assert (found['boxes'] <= limits + 1e-3).all()


def test_a_detector_of_names_reads_no_captions(work_dir):
    with pytest.raises(ValueError, match='reads names but no captions'):
        GroundingInferencer(work_dir, device='cpu')


def test_any_source_gives_the_same_answers(work_dir, image, tmp_path):
    (tmp_path / 'in/deeper').mkdir(parents=True)
    paths = [tmp_path / f'in/{name}.png' for name in ('a', 'deeper/b')]
    for path in paths:
        Image.fromarray(image).save(path)
    options = dict(model=work_dir, device='cpu', score_thr=0.0)
    wanted = mmclip.detect(image, 'red circle', **options)
    (tmp_path / 'in/broken.png').write_bytes(b'no image')
    for given in (paths, iter(paths), tmp_path / 'in'):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter('always')
            found = mmclip.detect(
                given,
                'red circle',
                recursive=True,
                batch_size=2,
                progress=True,
                **options,
            )
            assert not isinstance(found, (list, dict))  # as it is asked for
            found = list(found)
        assert [each.pop('image') for each in found] == list(map(str, paths))
        left_out = [w for w in told if 'left out: ' in str(w.message)]
        assert len(left_out) == (given == tmp_path / 'in')
        for each in found:
            assert each['labels'] == wanted['labels']
            assert np.allclose(each['boxes'], wanted['boxes'], atol=1e-3)
    read = mmclip.detect(paths[0].read_bytes(), 'red circle', **options)
    assert (read['boxes'] == wanted['boxes']).all()


def test_a_label_may_have_several_prompts(work_dir, image):
    detector = Detector(work_dir, device='cpu')
    text = 'round: red circle | blue semicircle . blue square'
    spoken = detector(image, text, score_thr=0.0)
    asked = {'round': ['red circle', 'blue semicircle'], 'blue square': []}
    asked['blue square'] = ['blue square']
    wanted = detector(image, asked, score_thr=0.0)
    assert set(spoken['labels']) <= {'round', 'blue square'}
    assert (spoken['scores'] == wanted['scores']).all()


def test_an_option_that_is_none_is_told_with_those_that_are(work_dir, image):
    detector = Detector(work_dir, device='cpu')
    for options in (dict(score_thrr=0.1), dict(scores=True)):
        with pytest.raises(TypeError, match=r'no option sco.*score_thr, '):
            detector(image, return_datasamples=True, **options)


def test_data_samples_are_given_if_asked_for(work_dir, image):
    detector = Detector(work_dir, device='cpu')
    sample = detector(image, 'red circle', return_datasamples=True)
    assert isinstance(sample, DetDataSample)
    (other,) = detector([image], 'red circle', return_datasamples=True)
    assert other.img_path == 'image 0'
    assert torch.equal(
        other.pred_instances.scores, sample.pred_instances.scores
    )


def test_the_inferencer_of_mmdet_works_with_our_model(work_dir, image):
    from mmdet.apis import DetInferencer

    checkpoint = find_checkpoint(str(work_dir))
    inferencer = DetInferencer(
        weights=checkpoint, device='cpu', show_progress=False
    )
    result = inferencer(
        image, texts='red circle . blue square', custom_entities=True
    )
    assert set(result['predictions'][0]['labels']) <= {0, 1}


def test_the_command_line_draws_and_writes_what_it_found(
    work_dir, image, tmp_path, capsys
):
    path = tmp_path / 'scene.png'
    Image.fromarray(image).save(path)
    out = tmp_path / 'out'
    code = main(
        ['detect', str(path), '--text', 'red circle', '--model']
        + [str(work_dir), '--out', str(out), '--score-thr', '0.0']
        + ['--device', 'cpu']
    )
    assert code == 0
    assert 'red circle' in capsys.readouterr().out
    assert (out / 'scene.png').stat().st_size > 0
    assert 'red circle' in (out / 'detections.json').read_text()


def test_a_broken_image_of_a_folder_is_told_and_the_rest_goes_on(
    work_dir, image, tmp_path, capsys
):
    inside = tmp_path / 'in'
    inside.mkdir()
    for name in ('a', 'c'):
        Image.fromarray(image).save(inside / f'{name}.png')
    (inside / 'b.png').write_bytes(b'no image')
    words = ['detect', str(inside), '--model', str(work_dir), '--out']
    words += [str(tmp_path / 'out'), '--score-thr', '0', '--device', 'cpu']
    words += ['--formats', 'json', 'coco', 'labelme', 'odvg']
    assert main([*words, '--text', 'red circle . blue square']) == 1
    captured = capsys.readouterr()
    assert f'{inside}/b.png cannot be read' in captured.err
    assert '1 of the images could not be read' in captured.err
    assert 'c.png: ' in captured.out
    out = tmp_path / 'out'
    names = {path.name for path in out.iterdir()}
    assert names == {
        *('detections.json', 'coco_dataset.json', 'coco_results.json'),
        *('labelme', 'odvg.jsonl', 'label_map.json'),
    }
    assert len(json.loads((out / 'detections.json').read_text())) == 2
    data = json.loads((out / 'coco_dataset.json').read_text())
    listed = [each['name'] for each in data['categories']]
    assert listed == ['red circle', 'blue square']


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['none.png', '--text', 'red circle'], 'there is no image none.png'),
        (['{image}', '--text', ' . '], 'no name in the text'),
        (['{image}', '--text', 'dog'], "'dog'"),
    ],
)
def test_a_mistake_is_told_in_one_message(
    work_dir, image, tmp_path, capsys, arguments, said
):
    path = tmp_path / 'scene.png'
    Image.fromarray(image).save(path)
    arguments = [a.format(image=path) for a in arguments]
    code = main(
        ['detect', *arguments, '--model', str(work_dir), '--device', 'cpu']
        + ['--out', str(tmp_path)]
    )
    error = capsys.readouterr().err
    assert code == 1
    assert said in error
    assert 'Traceback' not in error


def test_a_folder_without_training_says_how_to_train(tmp_path):
    with pytest.raises(FileNotFoundError, match='train into it first'):
        find_checkpoint(str(tmp_path))
    with pytest.raises(FileNotFoundError, match='none.pth'):
        find_checkpoint(str(tmp_path / 'none.pth'))


def test_a_moved_work_directory_still_has_its_checkpoint(work_dir, tmp_path):
    (tmp_path / 'iter_2.pth').write_bytes(b'weights')
    (tmp_path / 'last_checkpoint').write_text('elsewhere/iter_2.pth')
    assert find_checkpoint(str(tmp_path)) == str(tmp_path / 'iter_2.pth')
