#!/usr/bin/env python3
"""Make README.md from nbs/index.ipynb: hidden cells and directives go, stored pictures become files, links point from
the top level."""
import argparse, base64, re, sys
from pathlib import Path
import nbformat
from nbconvert import MarkdownExporter
from traitlets.config import Config

ROOT = Path(__file__).resolve().parents[1]
PRIORITY = ['text/markdown', 'image/png', 'text/plain']
HEAD = '<!-- Made from nbs/index.ipynb by scripts/make_readme.py (`make readme`): edit the notebook. -->\n\n'

def readable(output):
    "Printed text, a picture, or a result that has text of its own; progress bars and warnings are none of these."
    if output.output_type == 'stream': return output.name == 'stdout'
    return ('data' in output and not str(output.data.get('text/plain', '')).startswith('<IPython.core.display.')
        or 'image/png' in output.get('data', {}))

def staged(nb):
    "The notebook as a reader should see it: no hidden cells, no directives, no import-only setup."
    cells = []
    for c in nb.cells:
        if re.search(r'^#\|\s*(hide|default_exp|include:\s*false)', c.source, re.M): continue
        if c.cell_type == 'code':
            silent = re.search(r'^#\|\s*output:\s*false', c.source, re.M)
            c = nbformat.from_dict({**c, 'source':re.sub(r'^#\|.*\n?', '', c.source, flags=re.M)})
            c.outputs = [] if silent else [o for o in c.outputs if readable(o)]
        cells.append(c)
    return nbformat.v4.new_notebook(cells=cells, metadata=dict(language_info=dict(name='python')))

def labelled(nb):
    "Pictures of cells with `#| label: name`, which the text shows elsewhere, as `{path: bytes}`."
    out = {}
    for c in nb.cells:
        name = re.search(r'^#\|\s*label:\s*(\S+)', c.source, re.M)
        data = [o.data['image/png'] for o in c.get('outputs', []) if 'image/png' in o.get('data', {})]
        if name and data: out[f'nbs/images/readme_{name[1]}.png'] = base64.b64decode(data[0])
    return out

def relink(text):
    "Links of nbs/index.ipynb, as seen from the folder above."
    up = lambda m: f"]({m[1][3:] if m[1].startswith('../') else 'nbs/'+m[1]})"
    return re.sub(r'\]\((?!https?:|mailto:|#)([^)\s]+)\)', up, text)

def tidy(text):
    "Callouts, empty code blocks and runs of blank lines have no meaning outside the website."
    text = re.sub(r'^:::.*\n', '', text, flags=re.M)
    text = re.sub(r'```python\n\s*```\n', '', text)
    return re.sub(r'\n{3,}', '\n\n', text).strip()+'\n'

def make(index=ROOT/'nbs'/'index.ipynb'):
    "README text and its pictures, as `{path from the top level: bytes}`."
    config = Config(MarkdownExporter=dict(preprocessors=[]), NbConvertBase=dict(display_data_priority=PRIORITY))
    config.ExtractOutputPreprocessor.output_filename_template = 'images/readme_{cell_index}_{index}{extension}'
    nb = nbformat.read(index, 4)
    body, resources = MarkdownExporter(config=config).from_notebook_node(staged(nb))
    pictures = {f'nbs/{k}':v for k,v in resources.get('outputs', {}).items()} | labelled(nb)
    return HEAD+tidy(relink(body)), pictures

def differing(root=ROOT):
    "Files that `make` would change or remove."
    text, pictures = make(root/'nbs'/'index.ipynb')
    want = {'README.md':text.encode(), **pictures}
    stale = {f.relative_to(root).as_posix() for f in (root/'nbs'/'images').glob('readme_*')} - set(want)
    return sorted(k for k,v in want.items() if not (root/k).exists() or (root/k).read_bytes() != v) + sorted(stale)

def write(root=ROOT):
    text, pictures = make(root/'nbs'/'index.ipynb')
    (root/'nbs'/'images').mkdir(exist_ok=True)
    for f in (root/'nbs'/'images').glob('readme_*'):
        if f.relative_to(root).as_posix() not in pictures: f.unlink()
    for k,v in {'README.md':text.encode(), **pictures}.items(): (root/k).write_bytes(v)

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--check', action='store_true', help='write nothing; fail if README.md is not in step')
    if not p.parse_args().check: write()
    bad = differing()
    print(*[f'{f} is not in step with nbs/index.ipynb: run `make readme`' for f in bad] or ['README in sync'],
        sep='\n')
    sys.exit(bool(bad))
