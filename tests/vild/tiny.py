"""A ViLD small enough to run in a tenth of a second."""

import numpy as np
from mmengine.config import Config

NAMES = ['cat', 'dog', 'cow', 'horse', 'sheep']
TABLE = np.random.default_rng(3).normal(size=(len(NAMES), 16))


def tiny_vild() -> dict:
    """Return the model config: ResNet-18 of base width 8, FPN of 16."""
    from mmclip.jobs import find_config

    model = Config.fromfile(find_config('vild_r18_fpn_shapes')).model
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
