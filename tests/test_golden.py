"""Results as they were: trained runs, calls and predictions, by the command, against digests in `golden.json`.

    python tests/test_golden.py     write the digests anew, after a change of numbers that is meant

On the platform that wrote them files must agree byte for byte. On another (processor, NumPy, torch) numbers differ in
their last digits, so texts and counts must agree, sums of columns to one part in a thousand.
"""
import hashlib, json, os, platform, sys, tempfile
from pathlib import Path
import numpy as np, pandas as pd
import pytest

GOLDEN = Path(__file__).with_name('golden.json')
SHORT = ['pretrain_epochs=3', 'joint_epochs=3', 'kl_warmup=1', 'loss_warmup=1', 'line_model.n_starts=2',
         'line_model.null_cohorts=3', 'line_model.calibration_lines=300']
TABLES = ('assignments','lines','genes','excluded','predictions')
ANCHORED = ['abr.csv', '--preset', 'anchored', '--n-phenotypes', '4', *SHORT]
RUNS = {
    'anchored': ANCHORED,
    'classic': ['abr.csv', '--preset', 'classic', '--n-phenotypes', '4', *SHORT[:4]],
    'k_means': ['model=k_means', 'data=abr.csv', 'k=4'],
    'factor_mixture': ['model=factor_mixture', 'data=abr.csv', 'k=4', 'max_iter=30'],
    'line_mixture': ['model=line_mixture', 'data=abr.csv', 'k=4'],
    'digits_factor_mixture': ['model=factor_mixture', 'data=digits', 'k=6', 'n_factors=3', 'max_iter=15'],
    'digits_k_means': ['model=k_means', 'data=digits', 'k=6'],
}
EVALUATED,PREDICTED = ('anchored','classic','line_mixture'),('anchored','classic','k_means','factor_mixture')

def fingerprint():
    "What the last digits of a number depend on."
    import torch
    model = [l.split(':')[1].strip() for l in open('/proc/cpuinfo')
        if l.startswith('model name')] if sys.platform=='linux' else []
    return [platform.machine(), *model[:1], torch.backends.cpu.get_cpu_capability(), np.__version__, torch.__version__,
        torch.get_num_threads()]

def digest(path):
    "Checksum of a table, and what is left of it where last digits do not count."
    t,columns = pd.read_csv(path),{}
    for k,c in t.items():
        number = pd.api.types.is_float_dtype(c)
        columns[k] = [int(c.notna().sum()), round(float(c.abs().sum()), 6)] if number else int(c.notna().sum())
    return dict(sha256=hashlib.sha256(Path(path).read_bytes()).hexdigest(), rows=len(t), columns=columns)

def command(*args):
    from impc_phenotypes.cli.main import main
    try: main([str(a) for a in args])
    except SystemExit as e: assert not e.code, args

def made(run):
    "Digests of the tables of a run that there are."
    return {f'{run.name}/{n}':digest(f) for n in TABLES if (f := run/f'{n}.csv').is_file()}

def results(folder, records=None):
    "Train everything in `folder`, and what came of it."
    os.chdir(folder)
    out = {}
    command('simulate', '--n', 700, '--seed', 3, '--out', 'abr.csv')
    command('simulate', '--n', 120, '--seed', 4, '--out', 'new.csv')
    for name,words in RUNS.items():
        command('train', *words, '--experiment-name', name, '--seed', 42)
        run = max((folder/'experiments'/name).iterdir())
        if name in EVALUATED: command('evaluate', run, '--bootstraps', 0, '--refits', 0)
        if name in PREDICTED: command('predict', run, 'new.csv', '--out', run/'predictions.csv')
        out |= {k.replace(run.name, name):v for k,v in made(run).items()}
    if records:
        command('train', records, *ANCHORED[1:], '--experiment-name', 'records', '--seed', 42)
        run = max((folder/'experiments'/'records').iterdir())
        command('evaluate', run, '--bootstraps', 0, '--refits', 0)
        out |= {k.replace(run.name, 'records'):v for k,v in made(run).items()}
    return out

@pytest.fixture(scope='module')
def now(tmp_path_factory):
    before,records = os.getcwd(),os.environ.get('IMPC_PHENOTYPES_DATA')
    try: yield results(tmp_path_factory.mktemp('golden'), records and Path(records).resolve()/'abr_records.csv')
    finally: os.chdir(before)

def differences(then, now, exact):
    "What two digests of a table do not share."
    if exact:
        return [] if then['sha256']==now['sha256'] else [k for k in then['columns']
            if then['columns'][k]!=now['columns'].get(k)] or ['bytes']
    if then['rows']!=now['rows'] or list(then['columns'])!=list(now['columns']): return ['rows or columns']
    close = lambda a,b: np.allclose(a, b, rtol=1e-3, atol=1e-3)
    return [k for k,v in then['columns'].items() if not close(v, now['columns'][k])]

def test_results_are_what_they_were(now):
    kept = json.loads(GOLDEN.read_text())
    exact = kept['platform']==fingerprint()
    missing = [k for k in kept['tables'] if k not in now
        and not (k.startswith('records/') and not os.environ.get('IMPC_PHENOTYPES_DATA'))]
    changed = {k:d for k,v in kept['tables'].items() if k in now and (d := differences(v, now[k], exact))}
    assert not missing and not changed and set(now)<=set(kept['tables'])

def test_a_changed_number_is_found():
    kept = json.loads(GOLDEN.read_text())['tables']['anchored/lines']
    other = json.loads(json.dumps(kept))
    other['columns']['probability'][1] *= 1.01
    other['sha256'] = '0'
    assert differences(kept, other, False)==differences(kept, other, True)==['probability'] and not differences(kept,
        kept, False)

if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as d:
        tables = results(Path(d).resolve(), Path(os.environ['IMPC_PHENOTYPES_DATA']).resolve()/'abr_records.csv')
    GOLDEN.write_text(json.dumps(dict(platform=fingerprint(), tables=tables), indent=1)+'\n')
