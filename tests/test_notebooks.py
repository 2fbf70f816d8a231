"A notebook is a lesson: short exported cells, prose, checks, something to look at, no stored error, nothing heavy."
import ast, json, re
import pytest
from repo import ROOT, cells, flag, named, notebooks, source

LESSONS = ('tutorials', 'explanations', 'guides')
MAX_LINES, MAX_BYTES = 40, 300_000
CHECK = re.compile(r'\bassert\b|\btest_\w+\(|\bexpect_fail\(|\bis_close\(')

def parsed(cell):
    "Statements of a code cell; line magics and shell lines count as nothing."
    return ast.parse(re.sub(r'^(\s*)[%!].*$', r'\1pass', source(cell), flags=re.M)).body

def code_lines(cell): return [l for l in source(cell).splitlines() if l.strip() and not l.lstrip().startswith('#|')]
def is_import(node): return isinstance(node, (ast.Import, ast.ImportFrom))
def nested(body):
    "Imports under an `if`, `with` or `for` of a cell; those in a function, or tried, do not matter."
    return any(is_import(n) or nested([n]) for o in body if isinstance(o, (ast.If, ast.With, ast.For))
        for n in o.body+getattr(o, 'orelse', []))
def outputs(cell): return cell.get('outputs', [])
def shows(cell):
    return any({'image/png', 'image/svg+xml', 'text/html', 'application/vnd.plotly.v1+json'} & set(o.get('data', {}))
        for o in outputs(cell))

def complaints(all_cells, size, path):
    "What keeps a notebook from being a lesson, one sentence each; `path` is relative to nbs/."
    code = [c for c in all_cells if c['cell_type'] == 'code']
    prose = [c for c in all_cells if c['cell_type'] == 'markdown']
    exported = [c for c in code if flag(c, 'export', 'exporti', 'exports')]
    folder, _, file = path.rpartition('/')
    if size > MAX_BYTES: yield f'{size//1000} kB, at most {MAX_BYTES//1000}'
    if folder and not re.fullmatch(r'\d\d_[a-z0-9_]+\.ipynb', file):
        yield 'the name must be two digits, an underscore, lower-case words'
    if not prose or not re.match(r'# \S.*\n+> \S', source(prose[0])):
        yield 'the first prose cell must hold `# Title` and a `> subtitle`'
    for i,c in enumerate(code):
        if len(code_lines(c)) > MAX_LINES and c in exported:
            yield f'code cell {i} exports {len(code_lines(c))} lines, at most {MAX_LINES}'
        kinds = {is_import(n) for n in parsed(c)}
        if len(kinds) == 2 or nested(parsed(c)):
            yield f'code cell {i} mixes imports with other code, which the docs build would run by itself'
        if any(o['output_type'] == 'error' for o in outputs(c)): yield f'code cell {i} has stored an error'
        if any(o.get('name') == 'stderr' for o in outputs(c)):
            yield f'code cell {i} has stored a warning or progress text (stderr)'
        if str(ROOT) in json.dumps(outputs(c)): yield f'code cell {i} has stored a path of the machine it ran on'
    if folder in LESSONS:
        if exported: yield 'a lesson exports nothing'
        if not any(map(shows, code)): yield 'no stored picture or table'
        if len(prose) < len(code)/2: yield f'{len(prose)} prose cells for {len(code)} code cells'
    elif folder:
        module = f'{folder}.{file[3:-6]}'
        if source(all_cells[0]).strip() != f'#| default_exp {module}':
            yield f'the first cell must be `#| default_exp {module}`'
        if not exported: yield 'nothing is exported'
        if any('nbdev_export()' in source(c) for c in all_cells):
            yield 'a notebook must not export while it is tested; `make export` does'
        checked = sum(bool(CHECK.search(source(c))) for c in code if c not in exported)
        if checked < max(1, len(exported)//3): yield f'{checked} checked cells for {len(exported)} exported'
        if len(prose) < len(exported): yield f'{len(prose)} prose cells for {len(exported)} exported'
        if not any(map(shows, code)): yield 'no stored picture or table'
        hidden = sum(bool(flag(c, 'hide')) for c in code)
        if hidden > max(3, len(code)//3): yield f'{hidden} of {len(code)} code cells are hidden'

@pytest.mark.parametrize('path', notebooks(), ids=named)
def test_notebook_is_a_lesson(path):
    found = list(complaints(cells(path), path.stat().st_size, named(path)))
    assert not found, '\n'.join(found)

@pytest.mark.parametrize('path', notebooks(), ids=named)
def test_every_code_cell_parses(path):
    for c in cells(path):
        if c['cell_type'] == 'code': parsed(c)

def cell(text, kind='code', **kw):
    return dict(cell_type=kind, source=text, **(dict(outputs=[]) if kind == 'code' else {})) | kw
PICTURE = [dict(output_type='display_data', data={'image/png':''})]
GOOD = [cell('#| default_exp data.thing'), cell('# Thing\n> What it is', 'markdown'), cell('#| export\nimport re'),
    cell('A thing.', 'markdown'),
        cell('#| export\ndef f(): return 1'), cell('assert f() == 1\nf()', outputs=PICTURE)]

def changed(i, new): return [new if j == i else c for j,c in enumerate(GOOD)]

def test_a_good_notebook_passes(): assert not list(complaints(GOOD, 1000, 'data/10_thing.ipynb'))

@pytest.mark.parametrize('bad,word', [
    (changed(0, cell('#| default_exp data.other')), 'first cell'),
    (changed(1, cell('Thing', 'markdown')), 'Title'),
    (changed(2, cell('#| export\nimport re\nx = 1')), 'mixes imports'),
    (changed(5, cell('if 1:\n    x = 2\n    if x: import re\nassert x')), 'mixes imports'),
    (changed(3, cell('x')), 'prose cells'),
    (changed(4, cell('#| export\n'+'x = 1\n'*41)), 'exports 41 lines'),
    (changed(5, cell('f()', outputs=PICTURE)), 'checked cells'),
    (changed(5, cell('assert f() == 1')), 'no stored picture'),
    (changed(5, cell('assert f()', outputs=PICTURE+[dict(output_type='error')])), 'stored an error'),
    (changed(5, cell('assert f()', outputs=PICTURE+[dict(output_type='stream', name='stdout', text=str(ROOT))])),
        'path of the machine'),
    (GOOD+[cell('#| hide\nimport nbdev; nbdev.nbdev_export()')], 'must not export'),
])
def test_a_bad_notebook_is_noticed(bad, word):
    assert any(word in c for c in complaints(bad, 1000, 'data/10_thing.ipynb'))

def test_a_heavy_notebook_is_noticed(): assert 'kB' in next(complaints(GOOD, MAX_BYTES+1, 'data/10_thing.ipynb'))
