"Mutations of the objective that a wrong implementation survives and these tests do not."
import math
import pytest, torch
from impc_phenotypes.losses import combined
from impc_phenotypes.losses.combined import MultiObjectiveLoss
from impc_phenotypes.losses.reconstruction import cell_log_likelihood, reconstruction_nll
from impc_phenotypes.models.config import preset_model
from impc_phenotypes.models.contrastive_vae_dec import ContrastiveVAEDEC

torch.set_num_threads(1)

def cohort(n=400, ceiling=40., seed=0):
    "Offsets of which a quarter lies 60 dB up, recorded at the ceiling."
    g = torch.Generator().manual_seed(seed)
    true = torch.randn(n, 6, generator=g)*6+60*(torch.arange(n)%4==0)[:,None]
    y = ((true/5).round()*5).clamp_max(ceiling)
    one = torch.ones(n, 6)
    b = dict(x=y/10, mask=one, y=y, ceil=one*ceiling, censored=(y>=ceiling).float(), cov=torch.zeros(n, 2),
        gene=torch.full((n,), -1), line=torch.full((n,), -1), idx=torch.arange(n))
    return b,true

def fit(b, steps=250, lr=1e-2, **latent):
    torch.manual_seed(0)
    c = preset_model()
    for k,v in latent.items(): setattr(c.latent, k, v)
    m,l = ContrastiveVAEDEC(c, n_cov=2),MultiObjectiveLoss(c)
    m.training_stage = l.stage = 'pretrain'
    opt = torch.optim.Adam(m.parameters(), lr)
    for i in range(steps):
        l.beta = min(1., i/60)*c.latent.beta
        loss = l(m(b), b)
        opt.zero_grad(); loss.backward(); opt.step()
    return m.eval(),l,loss.item()

def test_ordinary_fit_uses_the_latent_and_finds_the_noise():
    b,_ = cohort()
    m,l,loss = fit(b)
    out = m(b)
    assert 1 <= (out['mu'].var(0)>.01).sum() <= 4
    assert .2 < l.last['kl'] < 20
    heard = torch.arange(len(b['x']))%4!=0
    assert (out['recon'][heard]-b['y'][heard]).square().mean().sqrt() < 7
    assert ((out['noise']>3)&(out['noise']<9)).all(), out['noise']

def test_wrong_sign_of_kl_is_noticed(monkeypatch):
    "With the sign flipped, leaving the prior pays, and the total sinks far below any honest one."
    b,_ = cohort()
    honest = fit(b, 120)[1].last['kl']
    kl = combined.kl_divergence
    monkeypatch.setattr(combined, 'kl_divergence', lambda *a: -kl(*a))
    assert -fit(b, 120)[1].last['kl'] > 3*honest

def test_stronger_kl_says_less():
    b,_ = cohort()
    assert fit(b, 150, beta=20.)[1].last['kl'] < .5*fit(b, 150, beta=1.)[1].last['kl']

def test_ignoring_the_ceiling_pulls_deaf_mice_down():
    "Half of a deaf mouse's tones at the ceiling: the censored likelihood lets the others decide."
    y,noise = torch.tensor([[85.,85,85,120,120,120]]),torch.full((6,), 8.)
    def best(censored):
        level = torch.linspace(60, 150, 181)
        ll = [cell_log_likelihood(torch.full((1,6), float(r)), y, noise, censored).sum() for r in level]
        return level[torch.stack(ll).argmax()].item()
    open_end = torch.tensor([[1.,1,1,0,0,0]])
    assert abs(best(open_end)-120) < 3
    assert abs(best(torch.zeros(1, 6))-102.5) < 3

def test_a_recorded_ceiling_is_this_or_worse_not_missing():
    y,noise,one = torch.full((1,6), 85.),torch.full((6,), 8.),torch.ones(1, 6)
    nll = [reconstruction_nll(torch.full((1,6), r), y, one, noise, one).item() for r in (45., 85., 125.)]
    assert nll[0] > 40 and nll[1] > nll[2] and nll[2] < 1e-3

def test_the_objective_hands_the_ceiling_on():
    b,_ = cohort()
    m,l = ContrastiveVAEDEC(n_cov=2).eval(),MultiObjectiveLoss()
    assert b['censored'].sum() > 100
    assert l(m(b), b) < l(m(b), b|dict(censored=torch.zeros_like(b['censored'])))

@pytest.mark.parametrize('noise', [2., 8., 40.])
@pytest.mark.parametrize('away', [-3000., -300., -20., 0., 20., 300., 3000.])
@pytest.mark.parametrize('open_end', [0., 1.])
def test_likelihood_and_gradients_are_finite(noise, away, open_end):
    r,s = torch.full((2,6), away, requires_grad=True),torch.full((6,), noise, requires_grad=True)
    ll = cell_log_likelihood(r, torch.zeros(2, 6), s, torch.full((2,6), open_end))
    ll.sum().backward()
    assert ll.isfinite().all() and r.grad.isfinite().all() and s.grad.isfinite().all() and (ll<=1e-6).all()

def test_gradient_matches_differences():
    torch.manual_seed(1)
    r = (torch.randn(3, 6)*20).double().requires_grad_()
    s = (torch.rand(6)*8+2).double().requires_grad_()
    y,c = (torch.randn(3, 6)*20).double(),(torch.rand(3, 6)>.5).double()
    assert torch.autograd.gradcheck(lambda a,b: cell_log_likelihood(a, y, b, c), (r, s))

def test_sum_over_tones_mean_over_mice():
    r,y,s = torch.zeros(4, 6),torch.full((4,6), 10.),torch.full((6,), 5.)
    one,none = torch.ones(4, 6),torch.zeros(4, 6)
    half = one.clone(); half[:,3:] = 0
    full = reconstruction_nll(r, y, one, s, none)
    assert math.isclose(reconstruction_nll(r, y, half, s, none), full/2, rel_tol=1e-5)
    assert math.isclose(reconstruction_nll(r[:2], y[:2], one[:2], s, none[:2]), full, rel_tol=1e-5)

def test_no_mouse_no_loss():
    b,_ = cohort(8)
    empty = {k:v[:0] for k,v in b.items()}
    for stage in ('pretrain','joint'):
        m,l = ContrastiveVAEDEC(n_cov=2),MultiObjectiveLoss()
        l.stage,l.target = stage,torch.ones(8, 12)/12
        out = m(empty)
        l.view = m.embed(empty)
        total = l(out, empty); total.backward()
        assert total.item()==0 and all(v==0 for v in l.last.values())

def test_nothing_of_a_step_outlives_it():
    b,_ = cohort(64)
    m,l = ContrastiveVAEDEC(n_cov=2),MultiObjectiveLoss()
    l.stage,l.target = 'joint',m(b)['q']
    l(m(b), b)
    held = [*l.last.values(), l.target, l.mouse_weight]
    assert all(t.grad_fn is None and not t.requires_grad for t in held)

@pytest.mark.parametrize('preset', ['anchored', 'classic'])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_changes_little(preset, dtype):
    "Forward and objective under autocast, as on a GPU."
    b,_ = cohort(64)
    b |= dict(cat=torch.ones(64, 8).long(), num=torch.zeros(64, 2), pcs=torch.zeros(64, 2), gene=torch.arange(64)//4)
    torch.manual_seed(0)
    m,l = ContrastiveVAEDEC(preset_model(preset), n_cov=2,
        cat_sizes=[3]*8).eval(),MultiObjectiveLoss(preset_model(preset))
    l.stage,l.target = 'joint',torch.eye(12)[torch.arange(64)%12]
    def total():
        out = m(b)
        l.view = m.embed({k:v[:64] for k,v in b.items()})
        return l(out, b)
    full = total()
    with torch.autocast('cpu', dtype=dtype): half = total()
    half.backward()
    assert abs(half-full) < .03*full
    assert all(p.grad.isfinite().all() for p in m.parameters() if p.grad is not None)

@pytest.mark.parametrize('balanced', [False, True])
def test_class_balance_changes_the_loss_as_documented(balanced):
    "Ninety normal mice and ten others: weights are the inverse frequencies, and both phenotypes then weigh the same."
    c = preset_model()
    c.clustering.class_balanced = balanced
    l = MultiObjectiveLoss(c)
    l.stage,l.target = 'joint',torch.eye(2)[[0]*90+[1]*10]
    q = torch.tensor([[.8,.2]]*50+[[.6,.4]]*50)
    got = combined._clustering(l, dict(q=q), dict(idx=torch.arange(100))).item()
    each = torch.cat([-q[:90,0].log(), -q[90:,1].log()])
    wanted = (each[:90].mean()+each[90:].mean())/2 if balanced else each.mean()
    assert math.isclose(got, wanted, rel_tol=1e-4)
    few = combined._clustering(l, dict(q=q[88:92]), dict(idx=torch.arange(88, 92))).item()
    weight = torch.tensor([100/180]*2+[100/20]*2) if balanced else torch.ones(4)
    assert math.isclose(few, (each[88:92]*weight).mean(),
        rel_tol=1e-4), 'weights belong to the cohort, not to the batch'

def test_class_balance_reaches_the_total():
    b,_ = cohort()
    torch.manual_seed(0)
    m = ContrastiveVAEDEC(dict(clustering=dict(n_phenotypes=2)), n_cov=2).eval()
    def total(balanced):
        l = MultiObjectiveLoss(dict(clustering=dict(class_balanced=balanced)))
        l.stage,l.target = 'joint',torch.eye(2)[(torch.arange(400)%4==0).long()]
        return l(m(b), b).item(),l.last['clustering'].item()
    (plain,a),(even,z) = total(False),total(True)
    assert a!=z and math.isclose(even-plain, MultiObjectiveLoss().weight('clustering')*(z-a), rel_tol=1e-3,
        abs_tol=1e-4)
