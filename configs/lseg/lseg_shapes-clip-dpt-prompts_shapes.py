# Each step says each name in another of the sentences that shapes-clip knows.
_base_ = ['lseg_shapes-clip-dpt_shapes.py']
model = dict(decode_head=dict(text_sampling=dict(prompts=[
    '{}', '{article} {}', 'a photo of {article} {}.',
    'a drawing of {article} {}.', 'an image of the {}', 'this is one {}.',
    'there is the {} in the scene.'])))
