# GLIPv2-T on COCO: boxes, masks, questions (VQA v2) and captions by one model.
# The paper trains GLIPv2-T so (sec. 4): Swin-T and the head of GLIP-T, lr 1e-4
# and 1e-5 for the language model, L_loc + L_intra + L_inter + L_mlm, each of
# weight 1. It does not say how tasks are mixed in a batch, which loss masks,
# answers and captions have, or how long the joint training is: here as many
# of each task, the usual losses, weight 1, and mmdet's 12 epochs of GLIP.
_base_ = ['./glip-t_swin-t_fpn_coco.py']
model = dict(
    type='mmclip.GLIPv2',
    mask_roi_extractor=dict(
        type='mmdet.SingleRoIExtractor', out_channels=256,
        roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
        featmap_strides=[8, 16, 32, 64]),
    mask_head=dict(type='mmclip.VLMaskHead', num_convs=4),
    contrast_loss=dict(type='mmclip.InterImageRegionWordLoss'),
    masked_word_head=dict(type='mmclip.MaskedWordHead'),
    vqa_head=dict(  # 3129 answers that were given nine times or more
        type='mmclip.VQAHead', num_answers=3129, unknown='ignore',
        answers='data/coco/annotations/trainval_ans2label.json'),
    caption_head=dict(type='mmclip.CaptionHead', beam_size=5))
tokenizer = dict(type='mmclip.WordPieceTokenizer',
                 vocab_file='data/bert-base-uncased/vocab.txt')
