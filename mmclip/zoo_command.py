"""``mmclip models``: list what comes by name, show one, fetch its weights."""

from argparse import ArgumentParser, Namespace

from mmclip import zoo

ACTIONS = ('list', 'show', 'fetch')


def add_options(parser: ArgumentParser) -> None:
    """Add the options of ``mmclip models``."""
    parser.add_argument(
        'words',
        nargs='*',
        metavar='WORD',
        help='a part of the names to list; or `show NAME`: config, licence, '
        'source, checksum, place; or `fetch NAME`: download the weights, '
        'check them, convert them where needed',
    )
    parser.add_argument(
        '--method', default='', help='list those of a method, such as glip'
    )
    parser.add_argument(
        '--task',
        default='',
        help='list those for detection, grounding, segmentation or sketching',
    )
    parser.add_argument(
        '--here',
        action='store_true',
        help='list those whose weights are on this machine',
    )
    parser.add_argument(
        '--quiet', action='store_true', help='show no progress bar'
    )


def run(args: Namespace) -> int:
    """Do what the words say; return the exit code.

    Raises:
        ValueError: The words make no sense, or the name is unknown.
    """
    action, names = 'list', args.words
    if names and names[0] in ACTIONS:
        action, names = names[0], names[1:]
    if action == 'list':
        return show_list(' '.join(names), args)
    if len(names) != 1:
        raise ValueError(
            f'`mmclip models {action}` takes one name, got {len(names)}: '
            f'such as mmclip models {action} glip-t'
        )
    model = zoo.find_model(names[0])
    if action == 'show':
        print('\n'.join(f'{what:<12} {said}' for what, said in facts(model)))
        return 0
    print(f'{model.name}: {zoo.fetch_model(model, not args.quiet)}')
    if model.method == 'GLIP':
        from mmclip.glip.bert_words import fetch_bert_words

        print(f'its word list: {fetch_bert_words(not args.quiet)}')
    return 0


def show_list(word: str, args: Namespace) -> int:
    """Print the models that fit, a line each; 1 if there is none."""
    chosen = zoo.chosen_models(word, args.method, args.task, args.here)
    for model in chosen:
        print(f'{model.name:<44} {model.method:<10} {source_of(model)}')
    if not chosen:
        print(f'no model fits; methods are {", ".join(zoo.TASKS)}')
        return 1
    return 0


def source_of(model: zoo.ZooModel) -> str:
    """Say in a line where the weights of a model are."""
    here = model.checkpoint()
    if here is not None:
        return f'here: {here}'
    return model.weights or model.source or 'no published weights'


def facts(model: zoo.ZooModel) -> list[tuple[str, object]]:
    """Return what is known of a model, as (what, said)."""
    here, published = model.checkpoint(), model.published_file()
    known = [
        ('name', model.name),
        ('method', model.method),
        ('task', model.task),
        ('config', model.config),
        ('trained on', model.data),
        ('source', model.weights or model.source or 'none'),
        ('licence', model.licence or 'not said; see the source'),
        ('size', size_of(published) or model.size or 'not known'),
        ('sha256', sealed(model.sha256)),
        ('converter', model.converter or 'none needed'),
        ('file', here or published or f'not here{goes_to(model)}'),
    ]
    if here is None:
        known.append(('to use it', how_to_use(model)))
    return known + [('result', told(each)) for each in model.results]


def goes_to(model: zoo.ZooModel) -> str:
    """Say where the file of a model goes, if it has one."""
    if not (model.weights or model.source):
        return ''
    return f'; goes to {model.place if model.weights else model.converted}'


def how_to_use(model: zoo.ZooModel) -> str:
    """Return what is to be done before a name is enough."""
    if model.method == 'CLIPasso':  # nothing of it is trained
        return f'mmclip sketch IMAGE --config {model.name}'
    if model.weights:
        return f'mmclip models fetch {model.name}'
    return zoo.how_to_have(model)


def size_of(path) -> str:
    """Return the size of a file in words, '' where there is none."""
    return f'{path.stat().st_size / 1e6:.1f} MB' if path else ''


def sealed(sha256: str) -> str:
    """Return a checksum in words, which may be its first digits alone."""
    return f'{sha256}{"..." if 0 < len(sha256) < 64 else ""}' or 'not known'


def told(result: dict) -> str:
    """Return a result of a metafile in words."""
    metrics = ', '.join(f'{k} {v}' for k, v in result['Metrics'].items())
    return f'{result.get("Task", "")}, {result.get("Dataset", "")}: {metrics}'
