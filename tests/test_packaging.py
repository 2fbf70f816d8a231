"One version, every requirement pinned, one command to set up, and a tree that is what its notebooks say."
import configparser, re, shutil
import pytest, yaml
from packaging.requirements import Requirement
from packaging.version import Version
import check_tree
from repo import LIB, ROOT, imported, modules

CONFIG = configparser.ConfigParser(delimiters=['='])
CONFIG.read(ROOT/'settings.ini', encoding='utf-8')
SETTINGS = CONFIG['DEFAULT']
PINS = dict(l.split('==') for l in (ROOT/'constraints.txt').read_text(encoding='utf-8').split('\n') if l
    and l[0] != '#')
WANTED = [r for k,v in SETTINGS.items() if k == 'requirements' or k.endswith('_requirements') for r in v.split()]
norm = lambda s: re.sub(r'[-_.]+', '-', s).lower()

@pytest.mark.parametrize('text', WANTED)
def test_every_requirement_has_a_fitting_pin(text):
    want, pins = Requirement(text), {norm(k):v for k,v in PINS.items()}
    assert norm(want.name) in pins and want.specifier.contains(Version(pins[norm(want.name)]))

def test_nothing_is_required_that_nothing_imports():
    # plotly's FigureWidget imports it and does not require it
    used = {i.split('.')[0] for n,f in modules().items() for i in imported(n, f)} | {'anywidget'}
    wanted = {Requirement(r).name for r in SETTINGS['requirements'].split()}
    assert not {w for w in wanted if dict(scikit_learn='sklearn', umap_learn='umap').get(norm(w).replace('-', '_'),
        w) not in used}

@pytest.mark.parametrize('extra', ['anndata', 'app', 'track', 'dev'])
def test_extras_that_messages_name_exist(extra): assert SETTINGS[f'{extra}_requirements']

def test_one_version_everywhere():
    version = SETTINGS['version']
    assert f'__version__ = "{version}"' in (ROOT/LIB/'__init__.py').read_text(encoding='utf-8')
    assert yaml.safe_load((ROOT/'CITATION.cff').read_text(encoding='utf-8'))['version'] == version
    assert f'## {version} ' in (ROOT/'CHANGELOG.md').read_text(encoding='utf-8')

def test_the_licence_is_apache():
    text = (ROOT/'LICENSE').read_text(encoding='utf-8')
    assert 'Apache License' in text and 'Version 2.0, January 2004' in text and 'APPENDIX' in text
    assert SETTINGS['license'] == 'apache2'

def test_workflows_call_what_exists():
    targets = set(re.findall(r'^([a-z]+):', (ROOT/'Makefile').read_text(encoding='utf-8'), re.M))
    steps = [s['run'] for f in (ROOT/'.github'/'workflows').glob('*.yaml')
        for j in yaml.safe_load(f.read_text(encoding='utf-8'))['jobs'].values() for s in j['steps'] if 'run' in s]
    called = {t for s in steps for t in re.findall(r'make ([a-z]+)', s)}
    assert {'demo', 'test', 'export', 'docs', 'clean'} | called <= targets
    assert (ROOT/'.ci'/'run').stat().st_mode & 0o111

def test_files_beside_the_modules_are_packed():
    patterns = re.findall(r"'([^']+)'", re.search(r'package_data=.*?\[(.*?)\]',
        (ROOT/'setup.py').read_text(encoding='utf-8'))[1])
    packed = {f for p in patterns for f in (ROOT/LIB).glob(p)}
    beside = {f for d in ('config', 'assets') for f in (ROOT/LIB/d).rglob('*') if f.is_file()}
    assert beside and beside <= packed, beside-packed

def test_the_tree_is_what_its_notebooks_say(): assert not check_tree.problems()

@pytest.fixture
def small(tmp_path):
    "A copy of the tree with one notebook of one folder."
    for f in ('settings.ini', 'setup.py'): shutil.copy(ROOT/f, tmp_path/f)
    for d in ('nbs/data', f'{LIB}/data'): (tmp_path/d).mkdir(parents=True)
    for f in ('nbs/data/10_schema.ipynb', f'{LIB}/__init__.py', f'{LIB}/data/__init__.py', f'{LIB}/data/schema.py'):
        shutil.copy(ROOT/f, tmp_path/f)
    return tmp_path

@pytest.mark.parametrize('file,edit',
    [(f'{LIB}/data/schema.py', lambda s: s+'\nx = 1\n'),
    ('nbs/data/10_schema.ipynb', lambda s: s.replace('"execution_count": null', '"execution_count": 7', 1)),
    (f'{LIB}/data/gone.py', lambda s: f'# {check_tree.GENERATED} File to edit: gone.ipynb\n')])
def test_a_tree_out_of_step_is_noticed(small, file, edit):
    f = small/file
    f.write_text(edit(f.read_text(encoding='utf-8') if f.exists() else ''), encoding='utf-8')
    assert any(file in p for p in check_tree.problems(small))
