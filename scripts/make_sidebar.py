#!/usr/bin/env python3
"""List every notebook in the sidebar of _quarto.yml, by folder, between its two marker lines."""
import argparse, re, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = dict(tutorials='Tutorials', explanations='Explanations', guides='Add your own',
    core='Ground floor', procedures='Procedures',
    data='Data', sources='Other sources', models='Models',
               losses='Losses', training='Training', metrics='Metrics', phenotypes='Phenotypes',
               evaluation='Evaluation', calls='Calls', biology='Biology', similar='Similar lines',
               show='Show', runs='Runs', cli='Command line')
START, END = '      # sidebar: made by scripts/make_sidebar.py', '      # end of sidebar'

def notebooks(root=ROOT):
    "Every notebook below nbs/, as a path relative to it, in reading order."
    return sorted(f.relative_to(root/'nbs').as_posix() for f in (root/'nbs').rglob('*.ipynb')
                  if not any(p.startswith(('.', '_')) for p in f.relative_to(root/'nbs').parts))

def sidebar(root=ROOT):
    "The YAML lines of the sidebar's contents."
    names = notebooks(root)
    folders = {n.split('/')[0] for n in names if '/' in n}
    if unknown := folders-set(FOLDERS):
        raise SystemExit(f'give the folder {sorted(unknown)[0]} a title in scripts/make_sidebar.py')
    lines = [f'      - {n}' for n in sorted(names, key=lambda n: n != 'index.ipynb') if '/' not in n]
    for k,title in FOLDERS.items():
        if k in folders:
            lines += [f'      - section: {title}', '        contents:',
                *(f'          - {n}' for n in names if n.startswith(k+'/'))]
    return lines

def updated(root=ROOT):
    text = (root/'_quarto.yml').read_text(encoding='utf-8')
    return re.sub(f'{START}\n.*?{END}\n', '\n'.join([START, *sidebar(root), END, '']), text, flags=re.S)

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--check', action='store_true')
    new = updated()
    same = new == (ROOT/'_quarto.yml').read_text(encoding='utf-8')
    if p.parse_args().check: sys.exit(None if same else '_quarto.yml does not list every notebook: run `make sidebar`')
    if not same: (ROOT/'_quarto.yml').write_text(new, encoding='utf-8')
