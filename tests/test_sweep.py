"Sweeps as they are used: real processes, kills, a cluster on this machine, wrong input."
import json, os, signal, subprocess, sys, time
from pathlib import Path
import pandas as pd
import pytest
from impc_phenotypes.runs.folder import open_run, list_runs, open_data
from impc_phenotypes.core.files import write_table
from impc_phenotypes.data.simulate import simulate_cohort, to_impc

pytest.importorskip('optuna', reason="sweeps need the extra `tune`")
from impc_phenotypes.runs.sweep import (
    SweepFolder, create_sweep, open_study, plan_sweep, read_search, sweep_status, trial_table
)
from impc_phenotypes.runs.sweep_workers import run_sweep
from impc_phenotypes.runs.config import load_config
from impc_phenotypes.runs.recipe import Network

CLASSIC = Network(load_config('classic'))

ENV = {k:v for k,v in os.environ.items() if k!='CI'} | dict(OMP_NUM_THREADS='1', COLUMNS='200')
CALL = [sys.executable, '-c', 'from impc_phenotypes.cli.main import main; main()']
FIXED = ['stages.pretrain_epochs=1', 'stages.joint_epochs=1', 'kl_warmup=0', 'loss_warmup=0']
TWELVE = ['latent.dim=2,3,4', 'optimiser.lr=.001,.003', 'latent.beta=.5,1']

def impc(*args, cwd):
    return subprocess.run([*CALL, *map(str, args)], cwd=cwd, env=ENV, capture_output=True, text=True, timeout=200)
def start(*args, cwd):
    return subprocess.Popen([*CALL, *map(str, args)], cwd=cwd, env=ENV, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True)
def searches(*words): return [read_search(*w.split('=')) for w in (*words, *FIXED)]
def numbers(sweep, state): return set(trial_table(sweep).query(f"state=='{state}'").trial)

def until(test, job=None, seconds=60):
    end = time.monotonic()+seconds
    while time.monotonic()<end:
        if got := test(): return got
        assert job is None or job.poll() is None, job.stdout.read()
        time.sleep(.05)
    raise AssertionError('it never happened')

@pytest.fixture(scope='module')
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp('sweep')
    write_table(to_impc(simulate_cohort(800, seed=1)), folder/'abr.csv')
    return folder

@pytest.fixture(scope='module')
def killed(work):
    """Twelve trials, two workers, SIGKILL to all of them in the middle, then finished. The sweep, and what stood
    before."""
    job = start('sweep', 'run', 'abr.csv', *TWELVE, *FIXED, '--preset', 'classic', '--workers', 2, '--no-prune',
        '--experiment-name', 'killed', cwd=work)
    def sweep(): return next((work/'experiments'/'killed').glob('sweep_1/sweep.json'), None)
    sweep = SweepFolder(until(sweep, job).parent)
    until(lambda: len(numbers(sweep, 'done'))>=3 and numbers(sweep, 'running')
        and any((sweep.run(n)/'metadata.json').is_file() for n in numbers(sweep, 'running')), job)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    before = dict(done=numbers(sweep, 'done'), running=numbers(sweep, 'running'),
        written={n:(sweep.run(n)/'assignments.csv').stat().st_mtime_ns for n in numbers(sweep, 'done')})
    done = impc('sweep', 'resume', 'killed', '--workers', 2, cwd=work)
    assert done.returncode==0, done.stderr
    assert Path(done.stdout.splitlines()[-1])==sweep.path
    return sweep, before

def test_a_killed_sweep_is_finished_none_lost_none_twice(killed):
    sweep, before = killed
    assert before['running'] and 3<=len(before['done'])<12
    t = trial_table(sweep)
    assert t.trial.tolist()==list(range(12)) and set(t.state)=={'done'}
    assert sorted(p.name for p in sweep.path.glob('[0-9]*'))==[f'{i:03d}' for i in range(12)]
    metadata = [sweep.run(i).metadata for i in range(12)]
    assert len({json.dumps(m['tried'], sort_keys=True) for m in metadata})==12 and {m['status']
        for m in metadata}=={'done'}
    assert all((sweep.run(n)/'assignments.csv').stat().st_mtime_ns==at
        for n,at in before['written'].items()), 'a finished trial was run again'
    starts = {o.number:o.user_attrs['starts'] for o in open_study(sweep).trials}
    assert {n for n,s in starts.items() if s>1}==before['running'] and max(starts.values())==2
    assert not list(sweep.path.rglob('*.part')) and not list(sweep.path.glob('.new-*'))

def test_a_dask_cluster_finds_the_same_best_trial(killed, work):
    pytest.importorskip('distributed', reason="clusters need the extra `cluster`")
    plan = plan_sweep(searches(*TWELVE), CLASSIC, prune=False)
    sweep = create_sweep(plan, open_data(work/'abr.csv')[1], name='dask', root=work/'experiments')
    run_sweep(sweep, 'dask://local:2', tell=lambda s: None)
    mine, theirs = (trial_table(s).drop(columns='seconds') for s in (sweep, killed[0]))
    pd.testing.assert_frame_equal(mine, theirs)
    assert sweep_status(sweep).best==sweep_status(killed[0]).best
    pids = {t.user_attrs['by'][1] for t in open_study(sweep).trials}
    assert len(pids)==2 and os.getpid() not in pids

def test_workers_do_not_outlive_their_parent(work):
    job = start('sweep', 'run', 'abr.csv', 'latent.dim=2,3', 'stages.pretrain_epochs=30', 'stages.joint_epochs=1',
        '--preset', 'classic', '--workers', 2, '--experiment-name', 'orphans', cwd=work)
    sweep = SweepFolder(until(lambda: next((work/'experiments'/'orphans').glob('sweep_1/sweep.json'), None),
        job).parent)
    until(lambda: any((sweep.run(n)/'history.csv').is_file() for n in range(2)), job)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    run_sweep(sweep, tell=lambda s: None)
    assert trial_table(sweep).state.tolist()==['done']*2
    assert 'stopped by SIGTERM' in ''.join(p.read_text() for p in sweep.path.glob('worker_*.log'))

def test_a_trial_is_a_run_and_no_experiment(killed, work):
    sweep, _ = killed
    assert open_run('killed/sweep_1/003', work/'experiments').path==sweep.run(3).path
    assert not len(list_runs(work/'experiments')) and len(list_runs(work/'experiments'/'killed'))==12
    done = impc('evaluate', sweep.run(3).path, '--bootstraps', 0, '--refits', 0, '--no-biology', cwd=work)
    assert done.returncode==0 and 'k-means' in done.stdout, done.stderr

def test_status_from_outside(killed, work):
    done = impc('sweep', 'status', 'latest', '--table', '--output-dir', work/'experiments', cwd=work)
    assert done.returncode==0 and 'best' in done.stdout and 'top tenth' in done.stdout, done.stderr
    s = sweep_status(killed[0])
    t = trial_table(killed[0])
    assert (s.best['value']==t.value.min() and s.top['value']==t.value.nsmallest(3).median()
        and set(s.importances)=={'dim','lr','beta'} and len(s.line)==12)

def test_a_diverged_trial_is_pruned_and_the_rest_goes_on(work):
    plan = plan_sweep(searches('optimiser.lr=.001,1e12', 'optimiser.grad_clip=0'), CLASSIC)
    sweep = create_sweep(plan, open_data(work/'abr.csv')[1], name='diverged', root=work/'experiments')
    run_sweep(sweep, tell=lambda s: None)
    t = trial_table(sweep)
    assert t.state.tolist()==['done','pruned'] and 'diverged' in t.reason[1] and sweep.run(1).status=='pruned'

def test_a_hopeless_trial_is_pruned(work):
    words = [w for w in FIXED if not w.startswith('stages')] + ['stages.pretrain_epochs=12', 'stages.joint_epochs=0']
    rates = '.01,.011,.012,.013,1e-5'
    plan = plan_sweep([read_search(*w.split('=')) for w in (f'optimiser.lr={rates}', 'optimiser.lr_min=1e-6', *words)],
        CLASSIC)
    sweep = create_sweep(plan, open_data(work/'abr.csv')[1], name='hopeless', root=work/'experiments')
    run_sweep(sweep, tell=lambda s: None)
    t = trial_table(sweep)
    assert t.state[4]=='pruned' and 'hopeless' in t.reason[4] and len(pd.read_csv(sweep.run(4)/'history.csv'))<12

@pytest.mark.parametrize('args,words', [
    (['abr.csv', 'latnt.dim=2..4'], ['latnt.dim', 'did you mean `model.latent.dim`']),
        (['abr.csv', 'latent.dim=4'], ['nothing varies']), (['abr.csv', 'latent.dim=4..2'], ['must rise']),
    (['abr.csv', 'latent.dim=2..x'], ['lowest..highest']), (['abr.csv', 'latent.dim=0,2'], ['latent.dim', '0']),
        (['abr.csv', 'preset=anchored,classic'], ['one sweep a preset']),
    (['abr.csv', 'preset=classic', 'latent.dim=2,3', '--objective', 'bic'], ['the classic preset has no line model']),
    (['abr.csv', 'preset=classic', 'latent.dim=2,3', '--preset', 'anchored'], ['--preset', 'preset=classic']),
    (['abr.csv', 'latent.dim=2,3', '--repeats', '2'], ['--repeats 2', '`impc-phenotypes train --repeats 2`']),
    (['abr.csv', 'latent.dim=2,3', '--objective', 'ari'], ['ari', 'valid_rmse']),
        (['abr.csv', 'latent.dim=2,3', '--workers', 'many'], ['--workers', 'dask://']),
        (['abr.csv', 'latent.dim=2,3', '--trials', '5', '--sampler', 'grid'], ['2 combinations']),
    (['none.csv', 'latent.dim=2,3'], ['none.csv']), (['latent.dim=2,3'], ['no data file']),
        (['abr.csv', 'latent.dim=2,3', '--experiment-name', '../up'], ['../up']),
        (['abr.csv', 'latent.dim=2,3', '--file', 'none.yaml'], ['none.yaml'])])
def test_bad_sweeps_are_named(args, words, work, capsys, monkeypatch):
    from impc_phenotypes.cli.main import main
    monkeypatch.chdir(work)
    with pytest.raises(SystemExit) as end: main(['sweep', 'run', *args, '--output-dir', 'refused'])
    err = capsys.readouterr().err
    assert end.value.code==2 and 'Traceback' not in err
    for w in words: assert w in err, (w, err)
    assert not (work/'refused').exists(), 'a wrong sweep must leave nothing behind'

OF_MODEL = """model: factor_mixture
data: table:plants.csv
name: filed
repeats: 2
workers: 2
parameters:
  k: [2, 3]
  n_factors: 0
  noise_floor: 1e-3..1e-1:log
  data.labels: kind
trials: 4
"""

@pytest.fixture(scope='module')
def model_file(work): # beside its data, not where the command is given
    from sklearn.datasets import load_iris
    (work/'garden').mkdir()
    X,y = load_iris(return_X_y=True)
    pd.DataFrame(X, columns=list('abcd')).assign(kind=[f'kind {v}' for v in y]).to_csv(work/'garden'/'plants.csv',
        index=False)
    (work/'garden'/'sweep.yaml').write_text(OF_MODEL)
    return work/'garden'/'sweep.yaml'

def test_a_sweep_file_may_name_a_model(model_file, work):
    done = impc('sweep', 'run', '--file', model_file, 'n_factors=1', cwd=work)
    assert done.returncode==0, done.stderr
    sweep = SweepFolder(done.stdout.splitlines()[-1])
    t = trial_table(sweep)
    assert sweep.name=='filed/sweep_1' and t.state.tolist()==['done']*4 and set(t.n_components)<={2,
        3} and t.noise_floor.between(1e-3, 1e-1).all()
    assert (sweep.plan.recipe.parameters['n_factors'], sweep.plan.repeats, sweep.plan.objective)==(1, 2,
        'held_out_rows')
    run = sweep.run(sweep_status(sweep).best['trial'])
    assert (run.metadata['objective']['held_out_rows']==t.value.max()
        and run.metadata['objective']['held_out_rows_sd']>0)
    assert ('latent' not in (run/'config.yaml').read_text() and 'factor_mixture' in (run/'config.yaml').read_text()
        and 'factor_mixture' in (sweep/'config.yaml').read_text())

@pytest.mark.parametrize('change,args,said', [
    (('k:', 'kk:'), [], ['sweep.yaml', 'model=factor_mixture', '`kk`']),
        (('factor_mixture', 'k_means'), [], ['sweep.yaml', 'has no parameter `n_factors`']),
        (('plants.csv', 'weeds.csv'), [], ['weeds.csv']),
        (('data.labels', 'data.label'), [], ['did you mean `data.labels`']),
    (('repeats: 2', 'prune: true'), [], ['sweep.yaml', '`prune`', 'networks']),
        (('model: factor_mixture', 'seed: 1'), [], ['sweep.yaml', '`repeats`', 'model']),
        (('n_factors: 0', 'n_factors: 9'), [], ['does not fit the data', '`n_factors` is 9']),
    (('n_factors: 0', 'n_factors: {a: 1}'), [], ['sweep.yaml: `n_factors` must be a value']),
        (('', ''), ['--prune'], ['--prune']), (('', ''), ['--on-bad-rows', 'drop'], ['--on-bad-rows'])])
def test_a_wrong_sweep_file_over_a_model_is_named(change, args, said, model_file, work):
    wrong = model_file.with_name('wrong') / 'sweep.yaml'
    wrong.parent.mkdir(exist_ok=True)
    (wrong.parent/'plants.csv').write_bytes((model_file.parent/'plants.csv').read_bytes())
    wrong.write_text(OF_MODEL.replace(*change, 1))
    done = impc('sweep', 'run', '--file', wrong, *args, '--output-dir', 'refused', cwd=work)
    assert done.returncode==2 and 'Traceback' not in done.stderr, done.stderr
    for w in said: assert w in done.stderr, (w, done.stderr)
    assert not (work/'refused').exists()

def test_missing_extras_are_named(work, monkeypatch):
    from impc_phenotypes.core.errors import InputError
    plan = plan_sweep(searches('latent.dim=2,3'), CLASSIC)
    monkeypatch.setitem(sys.modules, 'distributed', None)
    sweep = create_sweep(plan, open_data(work/'abr.csv')[1], name='extras', root=work/'experiments')
    with pytest.raises(InputError, match='cluster'): run_sweep(sweep, 'dask://local:2')
    monkeypatch.setitem(sys.modules, 'optuna', None)
    with pytest.raises(InputError, match='tune'): create_sweep(plan, {}, name='extras', root=work/'experiments')

def test_moved_data_and_a_second_process_are_noticed(killed, work):
    from impc_phenotypes.runs import sweep_workers
    from impc_phenotypes.core.errors import InputError
    sweep = killed[0]
    (work/'other.csv').write_text('another file')
    with pytest.raises(InputError, match='is not the file'): run_sweep(sweep, data=work/'other.csv')
    wait, sweep_workers.WAIT = sweep_workers.WAIT, .3
    try:
        with sweep_workers._held(sweep), pytest.raises(InputError, match='another process'): run_sweep(sweep)
    finally: sweep_workers.WAIT = wait
