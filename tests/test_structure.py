"Imports go one way, nothing unsafe is loaded, nothing that breaks beside the pinned torch is imported."
import ast, subprocess, sys
from importlib.metadata import entry_points
from graphlib import TopologicalSorter
from pathlib import Path
import pytest
from repo import LIB, ROOT, imported, modules

TIERS = [('core',), ('procedures',), ('data',), ('models', 'losses', 'sources'), ('training', 'metrics'),
    ('phenotypes',), ('evaluation', 'calls'),
         ('biology', 'similar'), ('show',), ('runs',), ('cli',)]
RANK = {p:i for i,tier in enumerate(TIERS) for p in tier}
FORBIDDEN = ('torchvision', 'fastai.vision', 'torchmetrics', 'transformers', 'timm')
UNSAFE = ('pickle', 'cPickle', 'dill', 'cloudpickle', 'shelve', 'marshal', 'joblib.load', 'joblib.dump',
    'pandas.read_pickle')

def within(name, prefixes): return any(name == p or name.startswith(p+'.') for p in prefixes)

def upward(name, imports):
    "Imports that climb: from a lower layer to a higher one."
    if name.count('.') == 0: return []
    layer = name.split('.')[1]
    targets = {i for i in imports if i.startswith(LIB+'.') and i.split('.')[1] in RANK}
    return sorted(t for t in targets if RANK[t.split('.')[1]] > RANK.get(layer, len(TIERS)))

def dependencies(mods):
    return {n:{m for m in imported(n, f) if m in mods and m != n and not n.startswith(m+'.')} for n,f in mods.items()}

@pytest.mark.parametrize('name', modules())
def test_imports_follow_the_arrows(name):
    assert not upward(name, imported(name, modules()[name])), f'a lower layer must not import a higher one: {TIERS}'

def test_every_module_has_a_layer():
    assert {n.split('.')[1] for n in modules() if n.count('.') and not n.endswith('_modidx')} <= set(RANK)

def test_no_circular_imports(): TopologicalSorter(dependencies(modules())).prepare()

@pytest.mark.parametrize('line,target',
    [('from impc_phenotypes.cli.main import main', 'impc_phenotypes.cli.main'),
    ('from ..show import plots', 'impc_phenotypes.show'),
    ('from .. import training', 'impc_phenotypes.training'),
        ('def f():\n    import impc_phenotypes.phenotypes.discover', 'impc_phenotypes.phenotypes.discover'),
    ('importlib.import_module("impc_phenotypes.calls.lines")', 'impc_phenotypes.calls.lines')])
def test_a_climbing_import_is_found(line, target):
    got = imported('impc_phenotypes.models.config', Path('impc_phenotypes/models/config.py'), ast.parse(line))
    assert target in upward('impc_phenotypes.models.config', got)

def test_a_descending_import_is_fine():
    got = imported('impc_phenotypes.cli.main', Path('impc_phenotypes/cli/main.py'),
        ast.parse('from ..data.schema import TONES\nimport impc_phenotypes.show.plots'))
    assert not upward('impc_phenotypes.cli.main', got)

@pytest.mark.parametrize('name', modules())
def test_no_forbidden_import(name):
    bad = sorted(i for i in imported(name, modules()[name]) if within(i, FORBIDDEN+UNSAFE))
    assert not bad

def full_names(tree):
    "Name in the file → what it stands for, from its imports."
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import): known |= {a.asname:a.name for a in node.names if a.asname}
        if isinstance(node, ast.ImportFrom) and node.module:
            known |= {a.asname or a.name:f'{node.module}.{a.name}' for a in node.names}
    return known

def unsafe_calls(tree):
    "Calls that can run code from a file, or from text."
    known = full_names(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call): continue
        call, given = ast.unparse(node.func), {k.arg:getattr(k.value, 'value', None) for k in node.keywords}
        first, *rest = call.split('.')
        call = '.'.join([known.get(first, first), *rest])
        if call in ('torch.load', 'torch.serialization.load') and given.get('weights_only') is not True:
            yield f'{node.lineno}: torch.load without weights_only=True'
        if given.get('allow_pickle') is True: yield f'{node.lineno}: allow_pickle=True'
        if call in ('eval', 'exec', 'builtins.eval', 'builtins.exec') or call.split('.')[-1] in ('read_pickle',
                'to_pickle', 'load_learner'):
            yield f'{node.lineno}: {call}'
        if call == 'yaml.load' and 'Safe' not in ast.unparse(node): yield f'{node.lineno}: yaml.load'
        if call.endswith('learn.export'): yield f'{node.lineno}: {call}'

@pytest.mark.parametrize('name', modules())
def test_nothing_executable_is_loaded(name):
    assert not list(unsafe_calls(ast.parse(modules()[name].read_text(encoding='utf-8'))))

@pytest.mark.parametrize('line', ['torch.load(f)', 'torch.load(f, weights_only=False)',
    'np.load(f, allow_pickle=True)', 'pd.read_pickle(f)', 'eval(text)', 'yaml.load(f)', 'learn.export()',
    'from torch import load\nload(f)', 'from torch import load as get\nget(f, weights_only=False)',
        'import torch as t\nt.load(f)', 'from torch import serialization\nserialization.load(f)',
    'from pandas import read_pickle as get\nget(f)', 'from yaml import load\nload(f)',
        'from fastai.learner import load_learner as get\nget(f)'])
def test_an_unsafe_call_is_found(line): assert list(unsafe_calls(ast.parse(line)))

@pytest.mark.parametrize('line', ['torch.load(f, weights_only=True)', 'np.load(f, allow_pickle=False)', 'model.eval()',
    'yaml.safe_load(f)', 'from json import load\nload(f)',
    'from torch import load\nload(f, weights_only=True)', 'def load(f): return f\nload(1)',
        'from yaml import safe_load as load\nload(f)'])
def test_a_safe_call_passes(line): assert not list(unsafe_calls(ast.parse(line)))

def borrowed(tree):
    "Private names that a module takes from another module of the package."
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or '').split('.')[0] == LIB):
            yield from (a.name for a in node.names if a.name.startswith('_') and not a.name.startswith('__'))

@pytest.mark.parametrize('name', modules())
def test_nothing_private_is_borrowed(name):
    assert not list(borrowed(ast.parse(modules()[name].read_text(encoding='utf-8'))))

def test_a_borrowed_name_is_found():
    assert list(borrowed(ast.parse('def f():\n    from ..core.files import _hidden, write_json')))==['_hidden']

def added_methods():
    "`Class.method` → module, of methods that a module adds to a class of another folder's module with `@patch`."
    home, out = {}, {}
    trees = {n:ast.parse(f.read_text(encoding='utf-8')) for n,f in modules().items()}
    for n,t in trees.items(): home |= {o.name:n for o in t.body if isinstance(o, ast.ClassDef)}
    for n,t in trees.items():
        for o in t.body:
            if isinstance(o, ast.FunctionDef) and any('patch' in ast.unparse(d) for d in o.decorator_list):
                cls = ast.unparse(o.args.args[0].annotation).strip("'")
                if home.get(cls, n).split('.')[1]!=n.split('.')[1] and o.name[0]!='_': out[f'{cls}.{o.name}'] = n
    return out

def test_methods_of_higher_modules_are_registered():
    "A result finds them without importing upwards; entry points of `impc_phenotypes.methods` say where they are."
    listed = {e.name:e.value.split(':')[0] for e in entry_points(group=f'{LIB}.methods')}
    wanted = {k:v for k,v in added_methods().items() if k.split('.')[0] in ('Phenotypes','Cohort')}
    assert wanted and wanted.items()<=listed.items()

def test_the_front_door_is_complete_and_light():
    "Every name is there, the stub for type checkers agrees, and reading and calling load no network."
    import impc_phenotypes
    stub = ast.parse((ROOT/LIB/'__init__.pyi').read_text(encoding='utf-8'))
    names = {a.asname for o in stub.body if isinstance(o, ast.ImportFrom) for a in o.names}
    assert names==set(impc_phenotypes._HOME) and all(getattr(impc_phenotypes, n) is not None for n in names)
    with pytest.raises(AttributeError, match='did you mean `read_records`'): impc_phenotypes.read_record # noqa: B018
    code = ('import sys; from impc_phenotypes import read_records, call_lines, match_controls; '
        'print(sorted({"torch","fastai"} & set(sys.modules)))')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip()=='[]', done.stderr

def test_importing_everything_stays_light():
    "Every module imports in one process, and none drags a forbidden library in."
    names = [n for n in modules() if not n.endswith('_modidx')]
    code = (f'import importlib, sys\nfor n in {names!r}: importlib.import_module(n)\nprint([m for m in {FORBIDDEN!r} '
        f'if m in sys.modules])')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == '[]'

def test_no_mouse_records_in_the_repository():
    kinds = ('.csv', '.tsv', '.parquet', '.h5ad', '.gz', '.npz', '.pkl', '.pt', '.pth')
    found = [f for d in ('nbs', LIB, 'tests', 'scripts') for f in (ROOT/d).rglob('*') if f.name.endswith(kinds)]
    figures = [f for f in found if f.parent==ROOT/'nbs'/'explanations'/'benchmark'] # one row a method, cohort and seed
    assert sorted(f.name for f in figures)==['benchmark.csv','reliability.csv'] and set(found)==set(figures)
    for f in figures:
        assert not {'specimen_id','mouse',
            'threshold_6kHz'} & set(f.open().readline().strip().split(',')) and sum(1 for _ in f.open())<3000
