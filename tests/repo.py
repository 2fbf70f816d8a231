"Reading the repository: modules, their imports, notebooks and their cells."
import ast, json, re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIB = 'impc_phenotypes'

def modules(root=ROOT):
    "`{dotted name: path}` of every module of the package."
    files = [f for f in sorted((root/LIB).rglob('*.py')) if '__pycache__' not in f.parts]
    return {'.'.join(f.relative_to(root).with_suffix('').parts).removesuffix('.__init__'):f for f in files}

def imported(name, path, tree=None):
    "Dotted names a module imports, wherever in it; `from a import b` gives both `a` and `a.b`."
    package = name.split('.') if path.name == '__init__.py' else name.split('.')[:-1]
    out = set()
    for node in ast.walk(tree or ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import): out |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = '.'.join([*package[:len(package)-node.level+1],
                *filter(None, [node.module])]) if node.level else node.module
            out |= {base, *(f'{base}.{a.name}' for a in node.names)}
        elif isinstance(node, ast.Call) and getattr(node.func, 'attr',
                getattr(node.func, 'id', '')) in ('import_module', '__import__'):
            out |= {a.value for a in node.args[:1] if isinstance(a, ast.Constant)}
    return out

def notebooks(root=ROOT):
    "Every notebook below nbs/."
    return [f for f in sorted((root/'nbs').rglob('*.ipynb'))
        if not any(p.startswith(('.', '_')) for p in f.relative_to(root).parts)]

def cells(path): return json.loads(path.read_text(encoding='utf-8'))['cells']
def source(cell): return ''.join(cell['source'])
def flag(cell, *names): return re.search(rf'^#\|\s*({"|".join(names)})\b', source(cell), re.M)
def named(path): return path.relative_to(ROOT/'nbs').as_posix()
