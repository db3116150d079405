import numpy as np
import torch
from mmengine.structures import InstanceData

from mmclip.data.transfer_datasets import OVVOCDataset
from mmclip.evaluation import OVCocoMetric

OBJECT = (
    '<object><name>{}</name><difficult>{}</difficult><bndbox>'
    '<xmin>11</xmin><ymin>11</ymin><xmax>51</xmax><ymax>51</ymax>'
    '</bndbox></object>'
)


def write(tmp_path):
    """A VOC folder of two images; the second has a difficult person."""
    objects = {
        '2008_000001': OBJECT.format('pottedplant', 0),
        '2008_000002': OBJECT.format('person', 1),
    }
    root = tmp_path / 'VOC2007'
    (root / 'Annotations').mkdir(parents=True)
    size = '<size><width>99</width><height>99</height></size>'
    for image, content in objects.items():
        path = root / 'Annotations' / f'{image}.xml'
        path.write_text(f'<annotation>{size}{content}</annotation>')
    (root / 'test.txt').write_text('\n'.join(objects))
    return OVVOCDataset(
        data_root=str(tmp_path),
        ann_file='VOC2007/test.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        test_mode=True,
    )


def test_names_are_written_as_words_and_labels_stay(tmp_path):
    dataset = write(tmp_path)
    classes = dataset.metainfo['classes']
    assert len(classes) == 20
    box = dataset.get_data_info(0)['instances'][0]
    assert classes[box['bbox_label']] == 'potted plant'
    assert np.allclose(box['bbox'], [10, 10, 50, 50])
    assert dataset.get_data_info(1)['instances'][0]['ignore_flag'] == 1


def test_it_is_measured_as_coco_is_though_its_ids_are_no_numbers(tmp_path):
    dataset = write(tmp_path)
    metric = OVCocoMetric()
    metric.dataset_meta = dataset.metainfo
    for i in range(2):
        info = dataset.get_data_info(i)
        found = InstanceData(
            bboxes=torch.tensor([[10.0, 10, 50, 50]]),
            scores=torch.tensor([0.9]),
            labels=torch.tensor([info['instances'][0]['bbox_label']]),
        )
        sample = dict(
            img_id=info['img_id'],
            ori_shape=(99, 99),
            instances=info['instances'],
            pred_instances=found,
        )
        metric.process({}, [sample])
    assert metric.evaluate(2)['coco/bbox_mAP'] > 0.99
