import json

import pytest
from mmengine.registry import DATASETS
from PIL import Image

PIPELINE = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='mmseg.PackSegInputs', meta_keys=('img_path', 'caption')),
]


def build(folder, ann_file, **options):
    import mmseg.datasets.transforms  # noqa: F401

    return DATASETS.build(
        dict(
            type='mmclip.CaptionedImages',
            data_root=str(folder),
            ann_file=ann_file,
            data_prefix=dict(img_path='images'),
            pipeline=PIPELINE,
            **options,
        )
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'images').mkdir()
    for name in ('a.png', 'b.png'):
        Image.new('RGB', (6, 4)).save(tmp_path / 'images' / name)
    return tmp_path


def write(folder, *records):
    lines = '\n'.join(map(json.dumps, records))
    (folder / 'pairs.jsonl').write_text(lines + '\n\n')
    return build(folder, 'pairs.jsonl')


def test_every_pixel_is_ignored_and_the_caption_is_there(folder):
    dataset = write(
        folder,
        dict(image='a.png', caption='a dog'),
        dict(image='b.png', caption='two cats'),
    )
    sample = dataset[1]['data_samples']
    assert sample.gt_sem_seg.data.shape == (1, 4, 6)
    assert (sample.gt_sem_seg.data == 255).all()
    assert sample.caption == 'two cats'
    assert len(dataset) == 2


def test_one_of_several_captions_is_drawn(folder):
    dataset = write(folder, dict(image='a.png', caption=['a dog', 'a cow']))
    drawn = {dataset[0]['data_samples'].caption for _ in range(30)}
    assert drawn == {'a dog', 'a cow'}


def test_cocos_captions_are_read(folder):
    images = [dict(id=k, file_name=f'{n}.png') for k, n in enumerate('ab')]
    notes = [dict(image_id=1, caption=c) for c in ('a bus', 'the bus')]
    coco = dict(images=images, annotations=notes)
    (folder / 'captions.json').write_text(json.dumps(coco))
    dataset = build(folder, 'captions.json')
    assert len(dataset) == 1  # nothing is said of the other image
    assert 'bus' in dataset[0]['data_samples'].caption


@pytest.mark.parametrize(
    'record', [dict(image='a.png'), dict(image='a.png', caption=[])]
)
def test_a_line_without_caption_is_an_error(folder, record):
    with pytest.raises(ValueError, match='line 1 has the keys'):
        write(folder, record)


def test_an_absent_file_is_an_error(folder):
    with pytest.raises(FileNotFoundError, match='no caption file'):
        build(folder, 'none.jsonl')


def test_it_stands_beside_masks(folder):
    write(folder, dict(image='a.png', caption='a red star'))
    import mmseg.datasets.transforms  # noqa: F401

    masks = dict(
        type='mmclip.ShapesSegDataset',
        num_images=2,
        size=32,
        pipeline=[dict(type='mmseg.LoadAnnotations'), PIPELINE[2]],
    )
    pairs = dict(
        type='mmclip.CaptionedImages',
        data_root=str(folder),
        ann_file='pairs.jsonl',
        data_prefix=dict(img_path='images'),
        pipeline=PIPELINE,
    )
    both = DATASETS.build(
        dict(
            type='mmengine.ConcatDataset',
            datasets=[masks, pairs],
            ignore_keys=[
                *('classes', 'palette', 'dataset_type'),
                *(f'{s}_classes' for s in ('base', 'novel', 'unseen')),
            ],
        )
    )
    assert both.metainfo['classes'][0] == 'red circle'
    assert not hasattr(both[1]['data_samples'], 'caption')
    assert both[2]['data_samples'].caption == 'a red star'
