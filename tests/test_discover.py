"""The main path: planted phenotypes are found, a saved model answers the same in a new process, and nothing but itself
is accepted."""
import hashlib, json, pickle, shutil, subprocess, sys
import numpy as np, pandas as pd, pytest, torch
from impc_phenotypes.data.controls import match_controls
from impc_phenotypes.core.errors import InputError
from impc_phenotypes.training.loaders import Preparation, audiogram_tensors
from impc_phenotypes.data.simulate import simulate_cohort
from impc_phenotypes.phenotypes.discover import discover, settings
from impc_phenotypes.evaluation.baselines import run_baselines
from impc_phenotypes.phenotypes.result import FILES, TABLES, Phenotypes, _seal, network_place
from impc_phenotypes.metrics.metrics import truth_metrics
from impc_phenotypes.models.line_mixture import LineMixture

SHORT = dict(stages=dict(pretrain_epochs=6, joint_epochs=6, kl_warmup=3, loss_warmup=3), checkpoints=dict(every=2))
def run(cohort, **kw): return discover(cohort, **dict(dict(training_config=SHORT, device='cpu', progress=False), **kw))
def same(a, b): pd.testing.assert_frame_equal(a, b, check_exact=True)

@pytest.fixture(scope='module')
def cohort(): return simulate_cohort(3000, seed=3, affected=.08)
@pytest.fixture(scope='module')
def ph(cohort): return run(cohort)
@pytest.fixture(scope='module')
def saved(ph, tmp_path_factory): return ph.save(tmp_path_factory.mktemp('model')/'run')

def test_every_row_is_assigned_or_excluded(cohort, ph):
    a,x = ph.assignments,ph.excluded
    assert sorted([*a.specimen_id, *x.specimen_id]) == sorted(cohort.frame.specimen_id)
    assert list(a)[:5] == ['specimen_id','phenotype','name','probability','evidence']
    assert list(a)[5:] == [f'membership_{k}' for k in range(len(ph.summary))]
    assert (a.phenotype>=0).all() and a.probability.between(0, 1).all() and x.reason.str.len().gt(0).all()
    assert set(a.evidence) <= {'line','mouse','weak-controls','bulk-reference'}
    np.testing.assert_allclose(ph.membership.sum(1), 1, atol=1e-6)

def test_every_line_has_one_row(ph):
    m = ph.matched
    assert sorted(ph.lines.line) == sorted(m.line_names) and ph.lines.n_mice.sum() == (m.line>=0).sum()
    assert ph.lines.n_mice.min() < 3, 'small lines belong in the table'
    assert ph.summary.n_mice.sum() == len(ph) and ph.summary.n_lines.sum() == len(ph.lines)
    first = ph.lines.iloc[0]
    mine = m.offset[np.asarray(m.cohort.line, object)==first.line]
    np.testing.assert_allclose(first[['offset_6kHz','offset_30kHz']].astype(float), np.nanmean(mine[:, [0,4]], 0))

@pytest.mark.parametrize('seed', [1, 2, 3])
def test_planted_phenotypes_are_found_better_than_by_every_baseline(seed):
    m = match_controls(simulate_cohort(3000, seed=seed, affected=.08))
    truth = m.cohort.frame.true_phenotype.to_numpy(int)
    model = LineMixture(n_phenotypes=7, seed=42).fit(m)
    ours,others = truth_metrics(truth, model.predict(m)[0]),run_baselines(m, 7, seed=42)[0]
    assert set(others) == {'k-means','tied mixture','gate + mixture'}
    for name,membership in others.items():
        theirs = truth_metrics(truth, membership)
        for score in ('balanced_ari','macro_recall'):
            assert ours[score] > theirs[score]+.05, (name, score, ours[score], theirs[score])

def test_the_run_reports_what_the_line_model_found(ph):
    truth = ph.matched.cohort.frame.true_phenotype.to_numpy(int)
    assert truth_metrics(truth, ph.membership)['balanced_ari'] > .6

LONGER = dict(stages=dict(pretrain_epochs=15, joint_epochs=30, kl_warmup=5, loss_warmup=5))

@pytest.mark.parametrize('seed', [101, 102])
def test_the_network_finds_what_was_planted_and_random_weights_do_not(seed):
    "The joint network's own labels, which the reported memberships do not use."
    ph = run(simulate_cohort(3000, seed=seed, affected=.08), training_config=LONGER, n_phenotypes=7)
    truth,k = ph.matched.cohort.frame.true_phenotype.to_numpy(int),ph.network_membership.shape[1]
    score = lambda membership: truth_metrics(truth, membership)['balanced_ari']
    plain = score(run_baselines(ph.matched, k, seed=42, names=('k-means',))[0]['k-means'])
    assert score(ph.network_membership) > plain+.03
    net = ph.fitted.network()
    tensors = audiogram_tensors(ph.matched, Preparation.from_dict(ph.fitted.scaling))
    np.testing.assert_allclose(network_place(net, tensors)[1], ph.network_membership, atol=1e-6)
    g = torch.Generator().manual_seed(seed)
    for p in net.parameters(): p.data.copy_(torch.randn(p.shape, generator=g)*p.data.std().nan_to_num(1.))
    assert score(network_place(net, tensors)[1]) < plain

def test_new_process_gives_identical_labels(cohort, ph, saved, tmp_path):
    code = ("import sys, torch; torch.set_num_threads(1)\n"
            "from impc_phenotypes.data.simulate import simulate_cohort\n"
            "from impc_phenotypes.phenotypes.result import Phenotypes\n"
            "p = Phenotypes.load(sys.argv[1]).predict(simulate_cohort(3000, seed=3, affected=.08))\n"
            "p.assignments.to_parquet(sys.argv[2]); p.lines.to_parquet(sys.argv[3])")
    out = [tmp_path/'a.parquet', tmp_path/'l.parquet']
    r = subprocess.run([sys.executable, '-c', code, str(saved), *map(str, out)], capture_output=True, text=True,
        timeout=300)
    assert r.returncode==0, r.stderr
    same(pd.read_parquet(out[0]), ph.assignments)
    same(pd.read_parquet(out[1]), ph.lines)

def test_one_seed_one_result(cohort, ph):
    again = run(cohort)
    same(again.assignments, ph.assignments)
    np.testing.assert_array_equal(again.embedding, ph.embedding)
    for k,v in ph.fitted.weights.items(): assert v.equal(again.fitted.weights[k]), k

@pytest.mark.parametrize('epoch', [5, 10, 12])
def test_resume_equals_an_uninterrupted_run(cohort, ph, tmp_path, monkeypatch, epoch):
    "Killed in pretraining, in the middle of the joint stage, and after its last epoch."
    from impc_phenotypes.training.checkpoints import HistoryFile
    write = HistoryFile.after_epoch
    def killed(self):
        write(self)
        if len(self.rows)==epoch: raise KeyboardInterrupt
    with monkeypatch.context() as m:
        m.setattr(HistoryFile, 'after_epoch', killed)
        with pytest.raises(KeyboardInterrupt): run(cohort, folder=tmp_path)
    again = run(cohort, folder=tmp_path, resume=True)
    assert again.info['joint'] == ph.info['joint'] and again.info['joint']['before']['log_loss'] > 0
    np.testing.assert_array_equal(again.embedding, ph.embedding)

def test_classic_goes_through_the_same_door(cohort):
    c = run(cohort, preset='classic', n_phenotypes=5)
    assert len(c.names) == 5 and c.names[0] == 'normal' and c.fitted.line_state == {}
    assert c.summary.n_controls.idxmax() == 0
    same(c.predict(cohort).assignments, c.assignments)

@pytest.mark.parametrize('seed', [11, 12])
def test_few_mice_are_called_where_nobody_is_affected(seed):
    m = match_controls(simulate_cohort(3000, seed=seed, null=True))
    called = LineMixture(seed=42).fit(m).predict(m)[0].argmax(1) > 0
    assert called.mean() < .03

def test_controls_alone_give_one_phenotype(cohort):
    only = run(cohort.subset(cohort.is_control))
    assert only.names == ['normal'] and (only.assignments.probability==1).all()

def test_new_group_with_few_controls_is_excluded_with_reason(cohort, ph):
    new = cohort.frame[cohort.is_experimental].head(30).assign(phenotyping_center='Atlantis')
    p = ph.predict(type(cohort)(new))
    assert len(p) == 0 and len(p.excluded) == 30 and p.excluded.reason.str.contains('Atlantis').all()

def test_no_controls_is_an_input_error(cohort):
    with pytest.raises(InputError, match='biological_sample_group|can drive a fit'):
        run(cohort.subset(cohort.is_experimental).subset(np.arange(60)))

def spoiled(saved, tmp_path, name, change):
    bad = tmp_path/'bad'
    shutil.copytree(saved, bad)
    (bad/name).write_bytes(change((bad/name).read_bytes()))
    return bad

@pytest.mark.parametrize('name', ('model.json',)+FILES)
@pytest.mark.parametrize('how', ['cut','tampered','emptied','pickled'])
def test_damaged_file_is_named(saved, tmp_path, name, how):
    change = dict(cut=lambda b: b[:len(b)*2//3], tampered=lambda b: b[:-20]+bytes([b[-20]^1])+b[-19:],
        emptied=lambda b: b'', pickled=lambda b: pickle.dumps([1]))[how]
    with pytest.raises(InputError) as e: Phenotypes.load(spoiled(saved, tmp_path, name, change))
    assert name in str(e.value) and ('again' in str(e.value) or 'give' in str(e.value))

@pytest.mark.parametrize('name', FILES)
def test_missing_file_is_named(saved, tmp_path, name):
    bad = tmp_path/'bad'
    shutil.copytree(saved, bad)
    (bad/name).unlink()
    with pytest.raises(InputError, match=name): Phenotypes.load(bad)

class Bomb:
    def __init__(self, path): self.path = path
    def __reduce__(self): return (open, (str(self.path), 'w'))

@pytest.mark.parametrize('name', FILES)
def test_nothing_in_the_folder_is_executed(saved, tmp_path, name):
    "Even with checksums that an attacker brought up to date."
    trace,bad = tmp_path/'trace',spoiled(saved, tmp_path, name, lambda b: b)
    if name=='arrays.npz': np.savez(bad/name, embedding=np.array([Bomb(trace)], object))
    else: (bad/name).write_bytes(pickle.dumps(Bomb(trace)))
    meta = json.loads((bad/'model.json').read_text())
    meta['sha256'][name] = hashlib.sha256((bad/name).read_bytes()).hexdigest()
    (bad/'model.json').write_text(json.dumps(meta | dict(seal=_seal(meta))))
    with pytest.raises(InputError, match=name): Phenotypes.load(bad)
    assert not trace.exists()

@pytest.mark.parametrize('change, say',
    [(dict(format=99), 'newer'), (dict(kind='other'), 'not a model'), (dict(fitted={}), 'model.json'),
    (dict(config=None, fitted=dict(a=1)), 'model.json')])
def test_description_that_does_not_fit(saved, tmp_path, change, say):
    bad = spoiled(saved, tmp_path, 'model.json', lambda b: b)
    meta = json.loads((bad/'model.json').read_text()) | change
    (bad/'model.json').write_text(json.dumps(meta | dict(seal=_seal(meta))))
    with pytest.raises(InputError, match=say): Phenotypes.load(bad)

def test_foreign_folders(tmp_path):
    with pytest.raises(InputError, match='no such folder'): Phenotypes.load(tmp_path/'none')
    (tmp_path/'export.pkl').write_bytes(pickle.dumps(1))
    with pytest.raises(InputError, match='export.pkl'): Phenotypes.load(tmp_path)
    with pytest.raises(InputError, match='is a file'): Phenotypes.load(tmp_path/'export.pkl')

def test_saved_tables_and_model_come_back(ph, saved):
    back = Phenotypes.load(saved)
    for t in TABLES: same(getattr(back, t), getattr(ph, t))
    np.testing.assert_array_equal(back.embedding, ph.embedding)
    assert back.config == ph.config and back.info == ph.info and not list(saved.glob('*.pkl'))
    assert [o.name for o in saved.parent.iterdir()] == ['run']

def test_earlier_model_survives_a_failed_save(ph, saved, monkeypatch):
    before = (saved/'model.json').read_bytes()
    def full(*a, **k): raise OSError(28, 'No space left on device')
    monkeypatch.setattr('impc_phenotypes.phenotypes.result.as_safetensors', full)
    with pytest.raises(RuntimeError, match='No space left'): ph.save(saved)
    assert (saved/'model.json').read_bytes() == before and [o.name for o in saved.parent.iterdir()] == ['run']

def test_more_phenotypes_than_mice_is_an_input_error(cohort):
    few = cohort.subset(np.flatnonzero((cohort.frame.phenotyping_center=='HMGU').to_numpy() & cohort.is_control)[:30])
    with pytest.raises(InputError, match='30 mice cannot make 40'): run(few, preset='classic', n_phenotypes=40)

def test_settings_name_the_wrong_key():
    with pytest.raises(ValueError, match='latent.dim'): settings(model_config=dict(latent=dict(dimm=2)))
    with pytest.raises(ValueError, match='at least 2'): settings(n_phenotypes=1)
