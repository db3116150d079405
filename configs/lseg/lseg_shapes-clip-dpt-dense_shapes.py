# The same training; in testing shapes-clip's own dense scores are added, which
# know the names that no mask has taught.
_base_ = ['lseg_shapes-clip-dpt_shapes.py']
model = dict(
    dense=dict(
        encoder=dict(type='mmclip.CLIPImageEncoder', model='shapes-clip'),
        zoom=1.5, weight=2, logit_scale=37))  # docs/en/lseg.md: the search
