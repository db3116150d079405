# What GroupViT is measured against: an ordinary ViT-CLIP of equal size, whose
# patches are averaged, captions and prompts matched with the mean. Its patch
# features are classified one by one.
_base_ = 'groupvit_shapes.py'
model = dict(
    prompt_match='image',
    img_encoder=dict(
        depths=(3, ), num_group_tokens=(0, ), num_output_groups=()))
