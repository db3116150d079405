# The shapes world as five tasks in one batch: boxes, masks, phrases,
# questions and captions. Nothing is read from files: scenes are drawn.
words = [
    '[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', '.', ',', '?', 'a', 'an',
    'and', 'the', 'is', 'are', 'there', 'what', 'how', 'many', 'colour',
    'shape', 'shapes', 'nothing', 'small', 'large', 'red', 'orange', 'yellow',
    'green', 'cyan', 'blue', 'purple', 'white', 'striped', 'dotted',
    'checkered', 'circle', 'square', 'triangle', 'cross', 'ring', 'diamond',
    'arrow', 'crescent', 'oval', 'semicircle', 'hourglass', 'chevron',
    'trapezoid', 'frame', 'bolt', 'house', 'star', 'heart', 'flower', 'drop',
    'fish',
]
answers = [
    'red', 'orange', 'yellow', 'green', 'cyan', 'blue', 'purple', 'white',
    'circle', 'square', 'triangle', 'cross', 'ring', 'diamond', 'arrow',
    'crescent', 'oval', 'semicircle', 'hourglass', 'chevron', 'trapezoid',
    'frame', 'bolt', 'house', 'star', 'heart', 'flower', 'drop', 'fish', '0',
    '1', '2', '3', '4', '5', '6', 'yes', 'no',
]
tokenizer = dict(
    type='mmclip.WordPieceTokenizer', vocab_file=words, max_tokens=64)
pack = dict(
    type='mmdet.PackDetInputs',
    meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor',
               'task', 'instances', 'text', 'tokens_positive', 'row_names',
               'custom_entities', 'masked_words', 'phrases', 'question',
               'question_type', 'gt_answer', 'gt_caption'))
load = dict(type='LoadImageFromFile')  # for inference; scenes are drawn
resize = dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True)
annotations = dict(
    type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True)
boxed = [
    annotations, resize,
    dict(type='mmdet.GTBoxSubOne_GLIP'),
    dict(type='mmdet.RandomFlip_GLIP', prob=0.5),
    dict(type='mmclip.SampleNegativeClasses', tokenizer=tokenizer,
         num_negatives=12),
    dict(type='mmclip.PackNegativeCaptions', tokenizer=tokenizer),
    dict(type='mmclip.MaskWords', tokenizer=tokenizer), pack
]
asked = [resize, pack]  # not flipped: captions go from left to right
scenes = dict(
    type='mmclip.ShapesTaskDataset', num_images=8000, classes_of=('base', ),
    objects=(1, 4))
every = dict(scenes, vocabulary='all')  # 336 kinds of objects
tested = dict(num_images=300, seed=9, test_mode=True)
split = ['classes', 'palette', 'base_classes']  # 48 classes or 336
train_dataloader = dict(
    batch_size=32, num_workers=0, persistent_workers=False,
    sampler=dict(type='mmdet.MultiSourceSampler', batch_size=32,
                 source_ratio=[6, 6, 12, 8]),
    dataset=dict(
        type='mmengine.ConcatDataset', ignore_keys=split,
        datasets=[
            dict(scenes, task='detection', seed=1, pipeline=boxed),
            dict(every, task='grounding', seed=2, pipeline=boxed),
            dict(every, task='vqa', seed=3, pipeline=asked),
            dict(every, task='caption', seed=4, pipeline=asked),
        ]))
val_dataloader = dict(
    batch_size=16, num_workers=0, persistent_workers=False, drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmengine.ConcatDataset', ignore_keys=split,
        datasets=[
            dict(scenes, **tested, task='detection',
                 pipeline=[load, resize, annotations, pack]),
            dict(every, **tested, task='grounding', pipeline=[
                resize, annotations,
                dict(type='mmclip.PackNegativeCaptions', tokenizer=tokenizer),
                pack]),
            dict(every, **tested, task='vqa', pipeline=asked),
            dict(every, **tested, task='caption', pipeline=asked),
        ]))
test_dataloader = val_dataloader
