# GroupViT as published: 64 groups, then 8 (sec. 4.1), ImageNet's statistics.
# Segments by the data set's names; windows of 448 pixels, half overlapping.
model = dict(
    type='mmclip.GroupViTSegmentor',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor', bgr_to_rgb=True,
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        seg_pad_val=255),
    multi_label=True,  # False: trained without noun prompts (gcc-redcaps)
    prompts='single', topk=5,
    test_cfg=dict(mode='slide', crop_size=(448, 448), stride=(224, 224)))
# only tested: there is nothing to train
train_dataloader = train_cfg = optim_wrapper = param_scheduler = None
