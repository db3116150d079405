"""What is written is read again by those whom it is for."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmclip.inference.annotation import WRITERS, JsonStream

SIZE = (40, 60)
MASKS = np.zeros((2, *SIZE), bool)
MASKS[0, 5:15, 10:30] = True
MASKS[1, 20:30, 5:15] = MASKS[1, 20:30, 40:50] = True
FOUND = dict(
    labels=['red circle', 'blue square'],
    scores=np.array([0.9, 0.4], np.float32),
    boxes=np.array([[10, 5, 30, 15], [5, 20, 50, 30]], np.float32),
)
NOTHING = dict(labels=[], scores=np.zeros(0), boxes=np.zeros((0, 4)))
CAPTION = dict(
    FOUND,
    caption='a red circle, a blue square and a star',
    phrases=[
        ('red circle', [[2, 12]]),
        ('blue square', [[16, 27]]),
        ('a star', [[32, 38]]),
    ],
)


@pytest.fixture
def written(tmp_path):
    """Write three images' results in a format; return the folder."""

    def write(kind, found=FOUND, names=('blue square', 'red circle')):
        writer = WRITERS[kind](tmp_path / 'out', names)
        asked = {k: found[k] for k in ('caption', 'phrases') if k in found}
        nothing = asked | NOTHING
        for stem, each in (('a', found), ('b', nothing), ('c', found)):
            path = tmp_path / f'{stem}.png'
            image = np.zeros((*SIZE, 3), np.uint8)
            Image.fromarray(image).save(path)
            writer.add(path, stem, image, each)
        writer.close()
        return tmp_path / 'out'

    return write


def test_plain_json_is_by_image(written):
    found = json.loads((written('json') / 'detections.json').read_text())
    assert [Path(name).stem for name in found] == ['a', 'b', 'c']
    first, second, _ = found.values()
    assert first['labels'] == FOUND['labels']
    assert first['boxes'] == FOUND['boxes'].tolist()
    assert second == dict(labels=[], scores=[], boxes=[])


@pytest.mark.parametrize('masks', [True, False])
def test_pycocotools_reads_results(written, masks, capsys):
    from pycocotools.coco import COCO

    out = written('coco', FOUND | (dict(masks=MASKS) if masks else {}))
    truth = COCO(str(out / 'coco_dataset.json'))
    results = truth.loadRes(str(out / 'coco_results.json'))
    names = [c['name'] for c in truth.loadCats(truth.getCatIds())]
    assert names == ['blue square', 'red circle']  # as they were asked for
    assert [i['height'] for i in truth.loadImgs([1, 2, 3])] == [40] * 3
    assert [len(results.getAnnIds([k])) for k in (1, 2, 3)] == [2, 0, 2]
    (first,) = results.loadAnns(results.getAnnIds([3], catIds=[2]))
    assert first['bbox'] == [10, 5, 20, 10]
    assert first['score'] == pytest.approx(0.9)
    if masks:
        for k, each in enumerate(results.loadAnns(results.getAnnIds([1]))):
            assert (results.annToMask(each) == MASKS[k]).all()


def test_results_of_nothing_are_results(written):
    out = written('coco', NOTHING, ())
    assert json.loads((out / 'coco_results.json').read_text()) == []
    data = json.loads((out / 'coco_dataset.json').read_text())
    assert len(data['images']) == 3


LABELME_KEYS = {
    *('version', 'flags', 'shapes', 'imagePath', 'imageData'),
    *('imageHeight', 'imageWidth'),
}
SHAPE_KEYS = {
    *('label', 'points', 'group_id', 'description', 'shape_type', 'flags'),
}


def read_as_labelme_does(path):
    """Check what LabelMe's LabelFile asks of a file; return its shapes."""
    data = json.loads(path.read_text())
    assert data.keys() == LABELME_KEYS
    with Image.open(path.parent / data['imagePath']) as image:
        assert image.size == (data['imageWidth'], data['imageHeight'])
    for shape in data['shapes']:
        assert shape.keys() == SHAPE_KEYS
        points = np.array(shape['points'])
        least = dict(rectangle=2, polygon=3)[shape['shape_type']]
        assert points.shape[0] >= least
        assert points.shape[1] == 2
        assert (points >= 0).all()
        assert (points <= [data['imageWidth'], data['imageHeight']]).all()
    return data['shapes']


def test_boxes_are_labelmes_rectangles(written):
    out = written('labelme') / 'labelme'
    first, second = read_as_labelme_does(out / 'a.json')
    assert first['label'] == 'red circle'
    assert first['points'] == [[10, 5], [30, 15]]
    assert first['group_id'] is None
    assert '0.400' in second['description']
    assert read_as_labelme_does(out / 'b.json') == []


def test_masks_are_labelmes_polygons(written):
    out = written('labelme', FOUND | dict(masks=MASKS)) / 'labelme'
    first, *second = read_as_labelme_does(out / 'a.json')
    assert first['shape_type'] == 'polygon'
    assert np.ptp(first['points'], axis=0).tolist() == [19, 9]
    assert len(second) == 2  # two parts of one object
    assert second[0]['group_id'] == second[1]['group_id'] is not None


def odvg(out, **options):
    from mmdet.datasets import ODVGDataset

    return ODVGDataset(
        ann_file=str(out / 'odvg.jsonl'),
        pipeline=[],
        data_prefix=dict(img=''),
        return_classes=True,
        **options,
    )


def test_names_are_read_by_mmdets_odvg_dataset(written):
    out = written('odvg')
    label_map = str(out / 'label_map.json')
    data = odvg(out, label_map_file=label_map)
    names = {'0': 'blue square', '1': 'red circle'}
    assert json.loads((out / 'label_map.json').read_text()) == names
    info = data.get_data_info(0)
    assert Path(info['img_path']).is_file()
    assert [each['bbox_label'] for each in info['instances']] == [1, 0]
    assert info['instances'][0]['bbox'] == [10, 5, 30, 15]
    assert len(data) == 3


def test_phrases_are_read_by_mmdets_odvg_dataset(written):
    out = written('odvg', CAPTION, ())
    data = odvg(out)
    assert len(data) == 3
    assert data.get_data_info(1)['instances'] == []
    info = data.get_data_info(0)
    assert info['text'] == CAPTION['caption']
    assert [p['phrase'] for p in info['phrases'].values()] == FOUND['labels']
    assert info['phrases'][1]['tokens_positive'] == [[16, 27]]
    assert len(info['instances']) == 2


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    stream = JsonStream(tmp_path / 'new' / 'a.json')
    stream.add('ö' * 2_000_000)
    stream.add(dict(b=1))
    assert not list(tmp_path.rglob('*'))
    stream.close()
    text, second = json.loads((tmp_path / 'new' / 'a.json').read_text('utf8'))
    assert len(text) == 2_000_000
    assert second == dict(b=1)
