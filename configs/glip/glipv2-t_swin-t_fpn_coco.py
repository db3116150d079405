# GLIPv2-T on COCO: boxes, masks, VQA v2 and captions by one set of weights.
# From the paper (sec. 3, 4): Swin-T and GLIP-T's head, 1e-4 and 1e-5 for BERT,
# L_loc + L_intra + L_inter + L_mlm. It does not say how tasks share a batch,
# how masks, answers and captions weigh, nor the schedule: chosen here are half
# boxes, a quarter each, weight 1, and mmdet's 12 epochs. Never trained by us.
_base_ = ['./glip-t_swin-t_fpn_coco.py']
vocabulary = 'data/bert-base-uncased/vocab.txt'
model = dict(
    type='mmclip.GLIPv2',
    mask_roi_extractor=dict(
        type='mmdet.SingleRoIExtractor', out_channels=256,
        roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
        featmap_strides=[8, 16, 32, 64]),
    mask_head=dict(type='mmclip.VLMaskHead', num_convs=4),
    contrast_loss=dict(type='mmclip.InterImageRegionWordLoss'),
    masked_word_head=dict(type='mmclip.MaskedWordHead'),
    vqa_head=dict(  # 3129 answers, each given nine times or more
        type='mmclip.VQAHead', num_answers=3129, unknown='ignore',
        answers='data/coco/annotations/trainval_ans2label.json'),
    caption_head=dict(type='mmclip.CaptionHead', beam_size=5))
load = dict(type='LoadImageFromFile', imdecode_backend='pillow')
resize = dict(
    type='mmcv.RandomChoiceResize', resize_type='mmdet.FixScaleResize',
    scales=[(1333, side) for side in (480, 560, 640, 720, 800)],
    keep_ratio=True, backend='pillow')
pack = dict(type='mmdet.PackDetInputs', meta_keys=(
    'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'text',
    'tokens_positive', 'row_names', 'masked_words', 'custom_entities',
    'question', 'gt_answer', 'gt_answer_weight', 'gt_caption'))
boxed = [
    load, dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='mmdet.GTBoxSubOne_GLIP'), resize,
    dict(type='mmdet.RandomFlip_GLIP', prob=0.5),
    dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(1, 1)),
    dict(type='mmclip.SampleNegativeClasses', tokenizer=vocabulary),
    dict(type='mmclip.MaskWords', tokenizer=vocabulary), pack]
data = dict(data_root='data/coco/', pipeline=[load, resize, pack])
mmpretrain = 'mmpretrain.datasets.'  # registered beside transformers alone
train_dataloader = dict(
    batch_size=4, batch_sampler=None,
    sampler=dict(_delete_=True, type='mmdet.MultiSourceSampler', batch_size=4,
                 source_ratio=[2, 1, 1]),
    dataset=dict(_delete_=True, type='mmengine.ConcatDataset', datasets=[
        dict(type='mmdet.CocoDataset', data_root='data/coco/', pipeline=boxed,
             ann_file='annotations/instances_train2017.json',
             data_prefix=dict(img='train2017/'), return_classes=True,
             filter_cfg=dict(filter_empty_gt=True, min_size=32)),
        dict(data, type=mmpretrain + 'coco_vqa.COCOVQA',
             question_file='v2_OpenEnded_mscoco_train2014_questions.json',
             ann_file='v2_mscoco_train2014_annotations.json',
             data_prefix='train2014'),
        dict(data, type=mmpretrain + 'coco_caption.COCOCaption',
             ann_file='annotations/coco_karpathy_train.json',
             data_prefix=dict(img_path=''))],
        ignore_keys=['classes', 'palette']))
optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(
    custom_keys=dict(language_model=dict(lr_mult=0.1))))
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
