# GLIPv2 for the shapes world: boxes, masks, phrases, answers and captions by
# one set of weights.
_base_ = 'glip_shapes.py'
channels, width, ids = 64, 64, 56
model = dict(
    type='mmclip.GLIPv2',
    language_model=dict(vocab_size=ids, dropout=0.0),
    bbox_head=dict(
        fusion=dict(dropout=0.0), text_layer=dict(dropout=0.0)),
    mask_roi_extractor=dict(
        type='mmdet.SingleRoIExtractor', out_channels=channels,
        roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
        featmap_strides=[8, 16, 32], finest_scale=28),
    mask_head=dict(
        type='mmclip.VLMaskHead', num_convs=2, in_channels=channels,
        conv_out_channels=channels, language_dim=width),
    contrast_loss=dict(
        type='mmclip.InterImageRegionWordLoss', region_dim=channels,
        word_dim=width),
    masked_word_head=dict(
        type='mmclip.MaskedWordHead', language_dim=width, vocab_size=ids),
    caption_head=dict(
        type='mmclip.CaptionHead', language_dim=width, vocab_size=ids,
        max_length=24),
    test_cfg=dict(rows_per_pass=48))
