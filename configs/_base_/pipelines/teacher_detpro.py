# DetPro's scales with CLIP's embeddings of each picture's proposals, as
# tools/vild/dump_proposals.py and extract_embeddings.py wrote them.
teacher_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='mmclip.LoadProposalEmbeddings', cache='data/teacher/vit-b-32',
         max_num=300, clip='ViT-B-32 openai'),
    dict(type='mmengine.RandomChoiceResize', keep_ratio=True,
         scales=[(1333, s) for s in (640, 672, 704, 736, 768, 800)]),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmclip.ProjectProposals'),
    dict(type='mmclip.PackOVDetInputs'),
]
