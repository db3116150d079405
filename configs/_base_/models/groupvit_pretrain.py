# GroupViT as published (sec. 4.1; 64 groups, then 8), to train from captions.
model = dict(
    type='mmclip.GroupViTPretrainer',
    data_preprocessor=dict(
        type='mmengine.ImgDataPreprocessor', bgr_to_rgb=True,
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    img_encoder=dict(drop_path_rate=0.1),
    multi_label=True)
