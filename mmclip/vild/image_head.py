"""Describe ViLD-ensemble's second branch, which learns from CLIP alone."""


def image_head_config(config: dict, bbox_head: dict, embed_dims: int) -> dict:
    """Return the whole config of an image head.

    Args:
        config: A box head of its own where it has a ``type``, else what
            differs from ``bbox_head``. ``temperature`` is that of the
            cosines at test time.
        bbox_head: Config of the text head.
        embed_dims: D, the width of the embeddings.

    Returns:
        Config of a box head that predicts no boxes and, in the place of
        class scores, embeddings (R, D).
    """
    config = dict(config)
    predictor = dict(type='mmclip.EmbeddingPredictor', embed_dims=embed_dims)
    if 'temperature' in config:
        predictor['temperature'] = config.pop('temperature')
    predictor.update(config.pop('cls_predictor_cfg', {}))
    merged = {} if 'type' in config else dict(bbox_head)
    merged.update(config, with_reg=False, cls_predictor_cfg=predictor)
    merged['loss_cls'] = dict(type='mmdet.CrossEntropyLoss')  # never asked
    return merged
