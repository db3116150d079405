"""A ViLD small enough to run in a tenth of a second."""

import numpy as np
from mmengine.config import Config

NAMES = ['cat', 'dog', 'cow', 'horse', 'sheep']
TABLE = np.random.default_rng(3).normal(size=(len(NAMES), 16))


def tiny_vild() -> dict:
    """Return the model config: ResNet-18 of base width 8, FPN of 16."""
    from mmclip.jobs import find_config

    model = Config.fromfile(find_config('vild-text_r18_fpn_shapes')).model
    width = 16
    model.backbone.update(base_channels=8, init_cfg=None)
    model.neck.update(in_channels=[8, 16, 32, 64], out_channels=width)
    model.rpn_head.update(in_channels=width, feat_channels=width)
    head = model.roi_head
    head.bbox_roi_extractor.out_channels = width
    head.mask_roi_extractor.out_channels = width
    head.bbox_head.update(
        in_channels=width, conv_out_channels=width, fc_out_channels=32
    )
    head.bbox_head.cls_predictor_cfg.vocabulary = dict(
        type='mmclip.Vocabulary',
        names=list(NAMES),
        prompts='name',
        text_encoder=dict(
            type='mmclip.EmbeddingTable', embeddings=TABLE, names=list(NAMES)
        ),
    )
    head.mask_head.update(in_channels=width, conv_out_channels=width)
    model.train_cfg.rpn_proposal.update(nms_pre=64, max_per_img=32)
    model.train_cfg.rcnn.sampler.num = 16
    model.test_cfg.rpn.update(nms_pre=64, max_per_img=32)
    model.test_cfg.rcnn.max_per_img = 20
    model.test_cfg.rcnn.score_thr = 0.0  # an untrained model is unsure
    return model


def tiny_distilling(image_head, norm=False, **options) -> dict:
    """Return the same with a student, and with norms in the box head.

    Args:
        image_head: As for ViLDRoIHead.
        norm: Whether the box head has batch norms.
        **options: Of the RoI head.
    """
    model = tiny_vild()
    head = model.roi_head
    if norm:
        head.bbox_head.norm_cfg = dict(type='BN')
    head.update(image_head=image_head, **options)
    return model


def tiny_batch(regions=(3, 4), boxes=2, width=16):
    """Return images (B, 3, 64, 64) and samples with boxes and a teacher.

    Args:
        regions: How many regions with a teacher each image has; None leaves
            the field out.
        boxes: True boxes in each image.
        width: Of the teacher's embeddings.
    """
    import torch
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    samples = []
    for count in regions:
        sample = DetDataSample(
            metainfo=dict(
                img_shape=(64, 64),
                ori_shape=(64, 64),
                pad_shape=(64, 64),
                batch_input_shape=(64, 64),
                scale_factor=(1.0, 1.0),
            )
        )
        true = torch.tensor([[4.0, 4, 40, 40], [10, 20, 60, 60]])[:boxes]
        sample.gt_instances = InstanceData(
            bboxes=true,
            labels=torch.tensor([0, 2])[:boxes],
            masks=BitmapMasks(np.ones((len(true), 64, 64), np.uint8), 64, 64),
        )
        if count is not None:
            corner = torch.rand(count, 2) * 30
            sample.distill_instances = InstanceData(
                bboxes=torch.cat([corner, corner + 20], dim=1),
                embeddings=torch.randn(count, width),
                weights=torch.ones(count),
            )
        samples.append(sample)
    return torch.randn(len(regions), 3, 64, 64), samples
