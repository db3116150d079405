# Two stages, 24 groups and then 8, as the published models have 64 and 8.
_base_ = 'groupvit_shapes.py'
model = dict(
    img_encoder=dict(
        depths=(1, 1), num_group_tokens=(24, 8), num_output_groups=(24, 8)))
