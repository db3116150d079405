# A GroupViT of 0.3 M parameters: eight groups from one stage. What differs
# from the paper, for the sake of few images: a convolutional stem, groups
# that differ from the start, shares in training too, segments made of their
# pixels alone, a third of the patches in training.
img_encoder = dict(
    img_size=48, patch_size=4, embed_dims=64, depths=(1, ), num_heads=2,
    mlp_ratio=2.0, num_group_tokens=(8, ), num_output_groups=(8, ),
    stem_channels=(24, 64, 64), stem_strides=(2, 2, 1), patch_keep=0.3,
    assign='soft', gain=8.0, residual=False)
text_encoder = dict(
    context_length=48, vocab_size=66, embed_dims=64, layers=1, num_heads=2)
model = dict(
    img_encoder=img_encoder, text_encoder=text_encoder,
    hidden_channels=192, out_channels=64)
