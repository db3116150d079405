# ViLD in DetPro's flavour (Du et al., 2022, its "ViLD*"): stock mmdet parts,
# temperatures of .01 in training and .007 in testing, the distilled regions
# in a pass of their own. DetPro starts from SoCo's weights of ResNet and FPN:
# give them as load_from.
_base_ = ['vild-text_r50_fpn.py']
model = dict(
    backbone=dict(
        init_cfg=dict(_delete_=True, type='Pretrained',
                      checkpoint='torchvision://resnet50')),
    roi_head=dict(
        image_head='shared',
        joint_bn=False,
        loss_distill=dict(type='mmclip.EmbeddingL1Loss', loss_weight=0.5),
        bbox_head=dict(
            loss_bbox=dict(type='mmdet.L1Loss', loss_weight=1.0),
            cls_predictor_cfg=dict(test_temperature=0.007))))
