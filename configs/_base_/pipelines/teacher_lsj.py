# Large-scale jittering with CLIP's embeddings of each picture's 300 best
# proposals, as tools/vild/dump_proposals.py and extract_embeddings.py wrote
# them (ViLD, section 3.3; TF release: max_num_rois).
jittered = (1024, 1024)
teacher_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='mmclip.LoadProposalEmbeddings', cache='data/teacher/vit-b-32',
         max_num=300, clip='ViT-B-32 openai'),
    dict(type='mmengine.RandomResize', scale=jittered, ratio_range=(0.1, 2.0),
         keep_ratio=True),
    dict(type='mmdet.RandomCrop', crop_type='absolute', crop_size=jittered,
         recompute_bbox=True, allow_negative_crop=True),
    dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2)),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmclip.ProjectProposals'),
    dict(type='mmclip.PackOVDetInputs'),
]
