# LSeg on your own photographs and semantic maps (docs/en/lseg.md).
_base_ = ['../_base_/schedules/shapes_600.py',  # short
          '../_base_/segmentation_runtime.py']
# ---- what you will want to change ----
data_root = 'data/own/'  # train2017/, val2017/ and semseg/, annotations/
base_classes = 'coco-base-48'  # or your own names
novel_classes = 'coco-novel-17'
background = 'background'  # learnt as a class of its own; None: ignored
embeddings = data_root + 'text_embeddings.npy'  # (K, 512), of any length
names = data_root + 'annotations/instances_val2017.json'  # of the K, or .txt
weights = data_root + 'efficientnet_lite0.safetensors'
max_iters = 300
# --------------------------------------
channels = 64
table = dict(type='mmclip.EmbeddingTable', embeddings=embeddings, names=names)
model = dict(
    type='mmclip.LSeg',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor', bgr_to_rgb=True, size_divisor=32,
        mean=[127.0] * 3, std=[128.0] * 3, seg_pad_val=255),
    backbone=dict(
        type='mmclip.FrozenTimmBackbone', model='tf_efficientnet_lite0',
        weights=weights, out_indices=(1, 2, 3, 4)),
    neck=dict(type='mmclip.DPTNeck', in_channels=[24, 40, 112, 320],
              channels=channels),
    decode_head=dict(
        type='mmclip.LSegHead', in_channels=channels, logit_scale=20,
        background=dict(kind='learnt'),
        vocabulary=dict(type='mmclip.Vocabulary', prompts='name',
                        embed_dims=512, text_encoder=table)))
load = dict(type='LoadImageFromFile')
annotations = dict(_scope_='mmseg', type='LoadAnnotations')
resize = dict(type='mmseg.Resize', scale=(384, 384), keep_ratio=True)
pack = dict(type='mmseg.PackSegInputs')
split = dict(type='mmclip.OVSegDataset', data_root=data_root, names=names,
             base_classes=base_classes, novel_classes=novel_classes,
             background=background)
here = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    **here, batch_size=4,
    sampler=dict(type='mmengine.InfiniteSampler', shuffle=True),
    dataset=dict(
        **split, classes_of=('base', ),
        data_prefix=dict(img_path='train2017',
                         seg_map_path='semseg/train2017'),
        pipeline=[load, annotations, resize,
                  dict(type='mmseg.RandomCrop', crop_size=(256, 256)),
                  dict(type='mmseg.RandomFlip', prob=0.5), pack]))
val_dataloader = dict(
    **here, sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        **split, test_mode=True, pipeline=[load, resize, annotations, pack],
        data_prefix=dict(img_path='val2017', seg_map_path='semseg/val2017')))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmclip.OVIoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
custom_hooks = [dict(type='mmclip.VocabularyHook'),
                dict(type='mmclip.RNGStateHook'),
                dict(type='mmclip.PicturesHook', count=24)]
