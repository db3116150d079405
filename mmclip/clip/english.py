"""English words by class, for rules that need no package."""


def listed(words: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(words.split())


CLOSED_CLASSES = listed("""
a an the this that these those some any no every each either neither both
all half such what which whose i me my mine we us our ours you your yours
he him his she her hers it its they them their theirs one ones myself
yourself himself herself itself themselves who whom someone something
anyone anything nobody nothing everyone everything other others another
aboard about above across after against along amid among around as at
before behind below beneath beside besides between beyond by despite down
during except for from in inside into like near of off on onto out outside
over past per since than through throughout till to toward towards under
until unto up upon via with within without and or nor but so yet if then
because although though while when where why how whether be am is are was
were been being do does did done doing have has had having will would
shall should can could may might must not only just also too very quite
rather really still even ever never always often again here there now away
back together apart more most less least much many few several enough
two three four five six seven eight nine ten hundred thousand first second
third last next vs etc via s t re ve ll d m don isn aren
""")
ADJECTIVES = listed("""
black white red green blue yellow orange brown pink purple grey gray
golden silver dark bright light colorful colourful striped spotted plain
big small large little tiny huge tall short long wide narrow thick thin
high low deep old new young ancient modern fresh dirty clean dry wet hot
cold warm cool good bad great nice beautiful pretty cute lovely happy sad
funny empty full open closed same different similar own various whole
upper lower left right front rear real fake hard soft heavy wooden metal
round square best better worst free available many live royalty
""")
LY_NOUNS = listed("""
belly bully butterfly family fly holly italy jelly lily monopoly ally assembly
july
""")
