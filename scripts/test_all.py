#!/usr/bin/env python3
"""Every check there is, one after another; goes on after a failure and ends with a table that also says what was
skipped."""
import argparse, json, os, re, subprocess, sys, tempfile, time
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent

def flagged(flags=('slow', 'cuda')):
    "Notebook cells that `nbdev_test` leaves out, by flag."
    cells = [''.join(c['source']) for f in (ROOT/'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in f.parts
             for c in json.loads(f.read_text(encoding='utf-8'))['cells'] if c['cell_type'] == 'code']
    return {k:n for k in flags if (n := sum(bool(re.search(rf'^#\|\s*{k}\b', s, re.M)) for s in cells))}

def counts(xml):
    "Passed, failed and skipped tests of a JUnit file, and why they were skipped."
    cases = list(ElementTree.parse(xml).iter('testcase'))
    skipped = [c.find('skipped').get('message', '') for c in cases if c.find('skipped') is not None]
    failed = sum(c.find('failure') is not None or c.find('error') is not None for c in cases)
    return len(cases)-failed-len(skipped), failed, skipped

def step(name, command, env):
    print(f'\n=== {name}', flush=True)
    start = time.time()
    ok = subprocess.run(command, cwd=ROOT, env=env).returncode == 0
    return name, ok, time.time()-start

# what a change is asked within minutes: the tree, lint, types, structure, and tests that train nothing
FAST = [f'tests/test_{n}.py' for n in ('structure','notebooks','packaging','readme','guards','shapes','losses',
    'methods',
    'controls','records')]

def main(workers, only, fast=False):
    env = {**os.environ, 'PATH':f'{BIN}{os.pathsep}{os.environ["PATH"]}', 'MPLBACKEND':'agg'}
    data = bool(env.get('IMPC_PHENOTYPES_DATA'))
    with tempfile.TemporaryDirectory() as d:
        xml = Path(d)/'pytest.xml'
        steps = {
            'tree':[BIN/'python', 'scripts/check_tree.py'],
            'readme':[BIN/'python', 'scripts/make_readme.py', '--check'],
            'lint':[BIN/'ruff', 'check', '--no-cache', '--quiet'],
            'types':[BIN/'mypy', '--cache-dir', str(Path(d)/'mypy'), '--no-error-summary'],
            'notebooks':[BIN/'nbdev_test', '--n_workers', str(workers), '--timing'],
            'pytest':[BIN/'python', '-m', 'pytest', '-q', '-rs', '-n', str(workers), '--dist', 'loadfile', '-p',
            'no:cacheprovider', f'--junitxml={xml}', 'tests'],
        }
        if fast:
            steps['pytest'][-1:] = FAST
            only = only or [k for k in steps if k!='notebooks']
        done = [step(k, steps[k], env) for k in only or steps]
        passed, failed, skipped = counts(xml) if xml.exists() else (0, 0, [])
    cells = flagged()
    print('\n=== summary')
    for name, ok, s in done: print(f'{name:<10} {"passed" if ok else "FAILED":<7} {s:6.0f} s')
    print(f'pytest: {passed} passed, {failed} failed, {len(skipped)} skipped')
    for why in sorted(set(skipped)): print(f'  skipped {skipped.count(why)}: {why}')
    print('notebook cells skipped by flag: ' + (', '.join(f'{k} {n}' for k,n in cells.items()) or 'none'))
    if not data: print('IMPC_PHENOTYPES_DATA is not set: cells and tests on real records were skipped')
    return not all(ok for _, ok, _ in done)

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--workers', type=int, default=2)
    p.add_argument('--only', nargs='*', choices=['tree', 'readme', 'lint', 'types', 'notebooks', 'pytest'])
    p.add_argument('--fast', action='store_true', help='no notebooks, and only the tests that train nothing')
    a = p.parse_args()
    sys.exit(main(a.workers, a.only, a.fast))
