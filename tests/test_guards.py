"Collapse is seen through soft memberships, and only mice that may drive a fit place centres and sizes."
import numpy as np, pytest, torch
from fastai.callback.core import Callback
from impc_phenotypes.data.cohort import Cohort
from impc_phenotypes.data.controls import match_controls
from impc_phenotypes.core.errors import RunError
from impc_phenotypes.training.loaders import audiogram_dls, fit_rows
from impc_phenotypes.models.contrastive_vae_dec import driving_rows
from impc_phenotypes.procedures.abr import THRESHOLDS
from impc_phenotypes.data.simulate import simulate_cohort
from impc_phenotypes.models.config import preset_model
from impc_phenotypes.training.learner import phenotype_learner
from test_training import learner, truth

class Gather(Callback):
    "One centre among the mice, the others out of reach: every mouse's largest membership is the first."
    order = 12
    def after_step(self):
        if self.stage!='joint': return
        far = torch.zeros_like(self.model.assign.centres)
        far[1:,0] = 15.
        self.model.assign.centres.data.copy_(far)

def test_all_mice_in_one_phenotype_is_stopped_though_memberships_are_soft():
    def change(mc, tc): tc.guard.grace,tc.guard.patience = 1,2
    learn = learner(change=change).add_cb(Gather())
    with pytest.warns(UserWarning, match='nearly all mice share one phenotype'), pytest.raises(RunError,
            match='n_used is 1 .*lower loss_weights.clustering'):
        learn.fit_curriculum(init=truth)
    last = learn.rows[-1]
    assert last['n_used']==1 and last['n_effective']>1.02 and last['smallest_share']>1e-5

@pytest.mark.parametrize('preset', ['anchored','classic'])
def test_a_healthy_run_does_not_trip(preset, recwarn):
    def change(mc, tc): tc.guard.grace,tc.guard.patience,tc.guard.min_active_units,tc.guard.min_certainty = 1,2,0,0.
    h = learner(preset, change=change).fit_curriculum(init=truth if preset=='anchored' else None).history
    assert h.n_used.dropna().min()>1.05 and not [w for w in recwarn if 'collaps' in str(w.message)
        or 'share one' in str(w.message)]

def placed(frame, preset, joint=1):
    matched = match_controls(Cohort(frame))
    mc = preset_model(preset)
    mc.clustering.n_phenotypes = 4
    learn = phenotype_learner(audiogram_dls(matched, preset_features=mc.features.input), mc,
        dict(guard=dict(patience=0)), seed=1, device='cpu', progress=False)
    lines = lambda _: np.stack([matched.offset[:,0]<15, matched.offset[:,0]>=15, *[np.full(len(matched), .1)]*2],
        1)/1.2
    return learn.fit_curriculum(1, joint, init=lines if preset=='anchored' else None)

@pytest.mark.parametrize('preset', ['anchored','classic'])
def test_mice_that_may_not_drive_a_fit_move_nothing(preset):
    frame = simulate_cohort(1500, seed=8, affected=.1).frame.copy()
    m = match_controls(Cohort(frame))
    adequate = np.isin(frame.specimen_id, m.cohort.frame.specimen_id[np.isin(m.evidence, ['line','mouse'])])
    strange = np.random.default_rng(0).choice(
        np.flatnonzero((frame.biological_sample_group=='experimental') & adequate), 200, replace=False)
    frame.loc[frame.index[strange], 'biological_sample_group'] = 'unknown'
    other = frame.copy()
    other.loc[frame.index[strange], list(THRESHOLDS)] = 90.
    a,b = placed(frame, preset),placed(other, preset)
    for k,v in a.model.state_dict().items(): assert torch.equal(v, b.model.state_dict()[k]), k
    assert torch.equal(a.loss_func.target, b.loss_func.target) and torch.equal(a.loss_func.mouse_weight,
        b.loss_func.mouse_weight)
    m = b.dls.matched
    np.testing.assert_array_equal(driving_rows(b.dls), np.flatnonzero(fit_rows(m)))
    assert not b.loss_func.target[~torch.as_tensor(fit_rows(m))].any() and (~fit_rows(m)).sum()>=200
