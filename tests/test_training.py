"Training: it repeats, it resumes, it stops when it should, and it holds on to nothing."
import gc, signal, subprocess, sys
from pathlib import Path
import numpy as np, pandas as pd, psutil, pytest, torch
from fastai.callback.core import Callback
from impc_phenotypes.data.controls import match_controls
from impc_phenotypes.core.errors import RunError
from impc_phenotypes.training.loaders import audiogram_dls
from impc_phenotypes.data.simulate import simulate_cohort
from impc_phenotypes.models.config import preset_model
from impc_phenotypes.training.checkpoints import load_checkpoint
from impc_phenotypes.training.config import preset_training
from impc_phenotypes.training.learner import phenotype_learner

torch.set_num_threads(1)
N = 900

def learner(preset='anchored', *, seed=42, folder=None, n=N, change=lambda mc, tc: None):
    "A learner on a small simulated cohort, 6 + 6 epochs."
    matched = match_controls(simulate_cohort(n, seed=5, affected=.2))
    mc,tc = preset_model(preset),preset_training(preset)
    mc.clustering.n_phenotypes = 4
    s = tc.stages
    s.pretrain_epochs,s.joint_epochs,s.kl_warmup,s.loss_warmup = 6,6,3,3
    tc.checkpoints.every,mc.clustering.refresh_epochs,tc.guard.grace_steps = 2,3,0
    change(mc, tc)
    dls = audiogram_dls(matched, preset_features=mc.features.input, batch_size=128, sampler=tc.loader.sampler)
    return phenotype_learner(dls, mc, tc, seed=seed, device='cpu', folder=folder, progress=False)

def truth(learn): return np.eye(7)[learn.dls.matched.cohort.frame.true_phenotype.to_numpy(int)]
def init(preset): return truth if preset=='anchored' else None

def same(a, b):
    "Equal weights and history, to the last bit."
    x,y = a.model.state_dict(),b.model.state_dict()
    assert list(x)==list(y)
    for k in x: assert torch.equal(x[k], y[k]), k
    pd.testing.assert_frame_equal(*(o.history.drop(columns=['seconds','watch_seconds','memory_mb']) for o in (a,b)), check_exact=True)

class Kill(Callback):
    "Die in the middle of an epoch."
    order = 95
    def __init__(self, row, how): self.row,self.how = row,how
    def before_step(self):
        if len(self.rows)==self.row and self.iter==2: self.how()

def give_up(): raise KeyboardInterrupt

@pytest.fixture(scope='module')
def whole(): return {p:learner(p).fit_curriculum(init=init(p)) for p in ('anchored','classic')}

@pytest.mark.parametrize('preset', ['anchored','classic'])
@pytest.mark.parametrize('row', [3, 6, 9])
def test_resume_equals_uninterrupted(whole, tmp_path, preset, row):
    with pytest.raises(KeyboardInterrupt): learner(preset, folder=tmp_path).add_cb(Kill(row, give_up)).fit_curriculum(init=init(preset))
    torch.manual_seed(row); np.random.seed(row)
    same(whole[preset], learner(preset, folder=tmp_path).fit_curriculum(init=init(preset), resume=True))

def test_resume_of_a_finished_run_changes_nothing(whole, tmp_path):
    learner(folder=tmp_path).fit_curriculum(init=truth)
    same(whole['anchored'], learner(folder=tmp_path).fit_curriculum(resume=True))

def test_resume_after_sigkill(whole, tmp_path):
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_training import Kill, learner, truth
learner(folder={str(tmp_path)!r}).add_cb(Kill(9, lambda: os.kill(os.getpid(), signal.SIGKILL))).fit_curriculum(init=truth)
"""
    dead = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=300)
    assert dead.returncode==-signal.SIGKILL, dead.stderr
    assert len(pd.read_csv(tmp_path/'history.csv'))==9
    same(whole['anchored'], learner(folder=tmp_path).fit_curriculum(init=truth, resume=True))

def test_two_runs_agree_and_another_seed_differs(whole):
    torch.manual_seed(999)
    same(whole['classic'], learner('classic').fit_curriculum())
    other = learner('classic', seed=1).fit_curriculum()
    assert other.history.valid_total.iloc[-1]!=whole['classic'].history.valid_total.iloc[-1]

def test_callers_random_numbers_are_left_alone():
    torch.manual_seed(7); expected = torch.rand(3)
    torch.manual_seed(7); learner().fit_curriculum(1, 1, init=truth)
    assert torch.equal(torch.rand(3), expected)

def test_every_term_counts_and_falls(whole):
    for preset,terms in dict(anchored=['thresholds','kl','clustering'],
            classic=['thresholds','metadata','components','kl','smoothness','clustering','contrastive','phenotype_consistency']).items():
        h = whole[preset].history
        for t in terms: assert (h[f'train_{t}'].dropna().abs()>0).all(), t
        for t in ('thresholds','metadata','components'):
            if t in terms: assert h[f'train_{t}'].iloc[-1]<h[f'train_{t}'].iloc[0], t
        for c in ('n_effective','certainty','smallest_share','gene_purity','active_units','criterion','lr','seconds','watch_seconds','memory_mb','rmse_6kHz','rmse_click'): assert c in h

def test_views_are_contrasted_when_asked_for(whole):
    assert 'train_contrastive' not in whole['anchored'].history
    on = learner(change=lambda mc, tc: setattr(mc.loss_weights, 'contrastive', .1)).fit_curriculum(1, 2, init=truth).history
    assert (on.train_contrastive.dropna()>0).all() and on.train_contrastive.notna().any()

def test_clustering_is_learned_when_it_is_asked_for():
    start = {w:learner(change=lambda mc, tc: setattr(mc.loss_weights, 'clustering', w)).fit_curriculum(6, 30, init=truth) for w in (0., 1.)}
    right = {}
    for w,l in start.items():
        q = l.model.assign(l.model.encode(l.dls.tensors.batch())).detach()
        t = torch.as_tensor(truth(l), dtype=torch.float32)
        right[w] = np.mean([q.argmax(1)[t[:,k]>0].eq(k).float().mean() for k in range(7) if t[:,k].any()])
    assert right[1.]>right[0.]

class Poison(Callback):
    "Make one term NaN from one epoch on."
    order = -50
    def __init__(self, term, row): self.term,self.row = term,row
    def before_epoch(self):
        if len(self.rows)!=self.row: return
        loss,call = self.loss_func,type(self.loss_func).__call__
        term = self.term
        class Bad(type(loss)):
            def __call__(self, out, b):
                total = call(self, out, b)
                self.last[term] = self.last[term]*float('nan')
                return total*float('nan')
        loss.__class__ = Bad

@pytest.mark.parametrize('term,row,stage', [('kl',4,'pretrain'),('clustering',9,'joint')])
def test_nan_names_term_and_epoch_and_keeps_the_last_good(tmp_path, term, row, stage):
    learn = learner(folder=tmp_path).add_cb(Poison(term, row))
    with pytest.raises(RunError, match=f'^`{term}` is nan in stage {stage}, epoch {row+1} '): learn.fit_curriculum(init=truth)
    assert all(torch.isfinite(v).all() for v in learn.model.state_dict().values())
    saved = load_checkpoint(learn.checkpoint_file(stage))
    assert len(saved['rows'])==row-row%2
    assert all(torch.isfinite(v).all() for v in saved['model'].values())
    if row%2==0:
        for k,v in saved['model'].items(): assert torch.equal(v, learn.model.state_dict()[k]), k

def test_nan_weights_are_not_called_good(tmp_path):
    class Break(Callback):
        order = 12
        def after_step(self):
            if len(self.rows)==3 and self.iter==self.n_iter-1: next(self.model.parameters()).data.mul_(float('nan'))
    learn = learner(folder=tmp_path).add_cb(Break())
    with pytest.raises(RunError, match='thresholds.*epoch 4'): learn.fit_curriculum(init=truth)
    assert all(torch.isfinite(v).all() for v in learn.model.state_dict().values())

def test_latent_collapse_is_stopped_with_advice(tmp_path):
    def change(mc, tc):
        mc.latent.beta,tc.guard.grace,tc.guard.patience,tc.stages.kl_warmup,tc.checkpoints.every = 200.,1,3,0,1
    learn = learner(folder=tmp_path, change=change)
    with pytest.warns(UserWarning, match='latent space is hardly used'), pytest.raises(RunError, match='collapsed in stage pretrain, epoch 4, 3 epochs.*free_bits'):
        learn.fit_curriculum(init=truth)
    assert load_checkpoint(learn.checkpoint_file('pretrain'))['epoch']==1

def test_flat_memberships_are_stopped_with_advice():
    class Flatten(Callback):
        order = 12
        def after_step(self):
            if self.stage=='joint': self.model.assign.centres.data.zero_()
    def change(mc, tc): tc.guard.grace,tc.guard.patience = 1,2
    with pytest.warns(UserWarning, match='memberships are flat'), pytest.raises(RunError, match='collapsed in stage joint, epoch 9.*lower loss_weights.clustering'):
        learner(change=change).add_cb(Flatten()).fit_curriculum(init=truth)

class Hoard(Callback):
    "The mutation: a history that keeps outputs with their graph."
    order,run_valid = 15,False
    def before_fit(self): self.kept = []
    def after_loss(self): self.kept.append(self.model(self.x)['recon'].mean())

def live():
    "Tensors that Python can still reach, and those of them that hold a graph."
    gc.collect()
    found = [o for o in gc.get_objects() if issubclass(type(o), torch.Tensor)]
    return len(found), sum(o.grad_fn is not None for o in found)

def growth(learn, epochs=10):
    "Live tensors, those with a graph, and MB of resident memory, gained between epoch 5 and the last."
    seen = []
    class Weigh(Callback):
        order = 99
        def after_epoch(self): seen.append((*live(), psutil.Process().memory_info().rss/1e6))
    learn.add_cb(Weigh()).fit_curriculum(0, epochs, init=truth)
    return [b-a for a,b in zip(seen[5], seen[-1])]

def test_memory_stays_flat_and_a_hoarder_would_be_noticed():
    def lax(mc, tc): tc.guard.grace_steps = 10**6
    tensors,graphs,mb = growth(learner(change=lax))
    assert tensors<=5 and graphs==0 and mb<10
    tensors,graphs,_ = growth(learner(change=lax).add_cb(Hoard()))
    assert tensors>=20 and graphs>=20

def test_history_for_weights_and_biases_stays_offline(tmp_path):
    pytest.importorskip('wandb', reason="Weights & Biases needs the extra `track`")
    run = tmp_path/'demo'/'one'
    run.mkdir(parents=True)
    training = dict(stages=dict(pretrain_epochs=1, joint_epochs=2, kl_warmup=0, loss_warmup=0), tracking=dict(wandb=True))
    learn = phenotype_learner(audiogram_dls(match_controls(simulate_cohort(800, seed=1)), batch_size=128), dict(clustering=dict(n_phenotypes=3)), training, folder=run, progress=False, device='cpu')
    learn.fit_curriculum()
    kept = list(run.rglob('*.wandb'))
    assert len(kept)==1 and 'offline-run' in str(kept[0]) and b'valid/thresholds' in kept[0].read_bytes() and b'joint_epochs' in kept[0].read_bytes()
    assert not list(run.rglob('wandb-metadata.json')) and not list(run.rglob('requirements.txt'))
    assert len(learn.rows)==3 and (run/'history.csv').is_file()
