import numpy as np
import pytest
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image

from mmclip.data.zero_shot_segmentation import COCOObjectDataset


def stored(folder, values, seg_suffix):
    """Write one image and its map; return the folders' names."""
    for name in ('images', 'maps'):
        (folder / name).mkdir()
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(
        folder / 'images' / 'a.jpg'
    )
    path = folder / 'maps' / f'a{seg_suffix}'
    Image.fromarray(np.array(values, np.uint8)).save(path)
    return dict(img_path='images', seg_map_path='maps')


def first_map(kind, folder, values, seg_suffix='.png'):
    init_default_scope('mmseg')
    dataset = DATASETS.build(
        dict(
            type=kind,
            data_root=str(folder),
            data_prefix=stored(folder, values, seg_suffix),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='mmseg.LoadAnnotations'),
            ],
        )
    )
    assert len(dataset) == 1
    return dataset[0]['gt_seg_map']


def test_coco_things_follow_the_background_and_stuff_joins_it(tmp_path):
    found = first_map(
        'mmclip.COCOObjectDataset',
        tmp_path,
        [[0, 79, 80], [170, 255, 1]],
        '_labelTrainIds.png',
    )
    assert found.tolist() == [[1, 80, 0], [0, 255, 2]]
    names = COCOObjectDataset.METAINFO['classes']
    assert names[:2] == ('background', 'person')
    assert (len(names), names[-1]) == (81, 'toothbrush')
    with pytest.raises(ValueError, match='81 classes'):
        COCOObjectDataset.get_label_map(('person',))


@pytest.mark.parametrize('kind', ['OVSegVOCDataset', 'OVSegContextDataset'])
def test_maps_are_taken_as_they_are(tmp_path, kind):
    values = [[0, 1, 20], [255, 3, 4]]
    found = first_map(f'mmclip.{kind}', tmp_path, values)
    assert found.tolist() == values
    dataset = DATASETS.get(f'mmclip.{kind}')
    assert dataset.METAINFO['classes'][0] == 'background'
