"""Names of profiles: severity and ceiling before shape, 15 dB for a shape, 'at least' where half of the mice did not
answer."""
from dataclasses import replace
import numpy as np, pytest
from impc_phenotypes.procedures.reading import human_pattern, read_profile
from impc_phenotypes.data.controls import match_controls
from impc_phenotypes.procedures.abr import ceiling
from impc_phenotypes.data.simulate import CENTRES, SHAPES, simulate_cohort
from impc_phenotypes.phenotypes.discover import phenotype_names
from impc_phenotypes.phenotypes.result import Phenotypes
from impc_phenotypes.procedures import shapes
from impc_phenotypes.procedures.shapes import (
    RULES, SEVERITIES, censored_shares, contrasts, expert_class, explain_name, explain_profiles, name_profiles,
    severity, shape_name
)
from impc_phenotypes.show.report import name_reasons

CEILING_SHAPED = [60, 78, 75, 65, 50]
DEAF = {c:ceiling(c)-np.array(CENTRES.loc[c, 'mean'][:5]) for c in CENTRES.index}

def random_profiles(n=400, seed=11):
    rng = np.random.default_rng(seed)
    p = rng.normal(rng.uniform(-15, 70, (n, 1)), rng.uniform(1, 25, (n, 1)), (n, 6)).round(1)
    p[rng.random(p.shape)<.05] = np.nan
    share = rng.random(p.shape)*rng.integers(0, 2, (n, 1))
    keep = ~np.isnan(p[:,:5]).all(1)
    return p[keep], share[keep]

def test_severity_is_asked_before_shape():
    order = [r[0] for r in RULES]
    assert order.index('severe')<min(order.index(n)
        for n in ('{tone} only', 'flat', 'mid-frequency', 'mid-sparing', 'high-frequency', 'low-frequency'))
    assert shape_name(CEILING_SHAPED)=='severe'
    assert all(shape_name(v).split()[0]=='severe' for v in DEAF.values()), {c:shape_name(v) for c,v in DEAF.items()}
    assert [shape_name(v) for v in ([20,30,60,80,80], [80,80,60,30,20], [10,10,90,10,80], [30,31,55,55,29])]==[
        'severe']*4

def test_the_wrong_order_is_seen(monkeypatch):
    late = [r for r in RULES if r[0] not in ('severe', 'no shape')]
    wrong = (*late, *[r for r in RULES if r[0] in ('severe', 'no shape')])
    monkeypatch.setattr(shapes.first_rule, '__defaults__', (None, wrong))
    assert shape_name(CEILING_SHAPED)=='mid-frequency'

@pytest.mark.parametrize('tilt, name',
    [(0,'mild flat'), (8,'mild flat'), (12,'mild flat'), (14.9,'mild flat'), (15,'high-frequency'),
    (25,'high-frequency')])
def test_tilt_that_makes_a_shape(tilt, name):
    v = [20-tilt/2, 20-tilt/2, 20, 20+tilt/2, 20+tilt/2]
    assert shape_name(v)==name and shape_name(v[::-1])==name.replace('high', 'low')

def test_no_shape_below_15_dB():
    for v,s in zip(*random_profiles()):
        c,name = contrasts(v, s),shape_name(v, censored=s)
        if name.endswith('frequency') or name=='mid-sparing':
            assert max(abs(c['tilt']), abs(c['middle']))>=15 and c['mean']<40
        if name.endswith('only'): assert c['lead']>=15
        if name.endswith('flat'): assert c['range']<max(15, .4*c['mean'])

def test_mostly_silent_is_severe():
    v = [33, 36, 38, 33, 20]
    assert [shape_name(v, censored=s) for s in (None, [.6,.6,.49,.49,0], [.6,.6,.5,0,0], [1]*6)]==['moderate',
        'moderate', 'severe', 'severe']
    assert severity(v, censored=[1]*5)==('severe', 32.) and expert_class(v,
        [1]*5)=='severe' and expert_class(v)=='mild'
    assert shape_name([1, 2, 0, 3, 1],
        censored=[1]*5)=='normal' and 'at least 1, 2, 0, 3 and 1 dB' in explain_name([1, 2, 0, 3, 1], censored=[1]*5)

def test_at_least_where_censored_and_only_there():
    said = explain_name(CEILING_SHAPED, censored=[.4,.8,.8,.7,.5,0])
    assert ('their mean, at least 65.6 dB' in said and 'at 12, 18, 24 and 30 kHz' in said
        and 'at least 78, 75, 65 and 50 dB' in said)
    assert 'at least' not in explain_name(CEILING_SHAPED) and explain_name(CEILING_SHAPED,
        censored=[.49]*6)==explain_name(CEILING_SHAPED)
    high = explain_name(SHAPES['high-frequency'], censored=[0,0,0,.9,.9,1])
    assert high.startswith('high-frequency: ') and high.endswith('at 24 and 30 kHz half of the mice or more are at '
        'the ceiling, so the loss there is at least 42 and 44 dB')

@pytest.mark.parametrize('bad, words',
    [([1,1], 'one share a tone'), ([0,0,0,0,1.2], 'from 0 to 1, got 1.2'), ([-.1]*6, 'from 0 to 1, got -0.1')])
def test_shares_are_checked(bad, words):
    for f in (shape_name, explain_name, severity, contrasts):
        with pytest.raises(ValueError, match=words): f([30]*5, censored=bad)
    with pytest.raises(ValueError, match='one row a profile, 2, got 1'):
        name_profiles(np.zeros((2, 6)), censored=np.zeros((1, 6)))

def test_names_are_unique_and_explained():
    p,s = random_profiles(120)
    names,said = name_profiles(p, censored=s),explain_profiles(p, censored=s)
    assert len(set(names))==len(names) and [o.split(': ', 1)[0] for o in said]==names
    words = dict(SEVERITIES)
    assert not any(n.split()[0] in words and n.split()[1:2] and n.split()[1] in words for n in names)

def test_every_name_can_be_read():
    for v,s in zip(*random_profiles(80)):
        r = read_profile(v, censored=s)
        assert (r.human_pattern.startswith(human_pattern(r.shape)) and r.reason.startswith(r.shape+': ')
            and '  ' not in r.sentence)
        if r.shape.split()[0] in dict(SEVERITIES):
            assert r.severity==r.shape.split()[0] and r.sentence.lower().startswith(r.shape+' loss')
        assert ('at least' in r.sentence)==('at least' in r.reason)

def test_expert_classes_are_the_same_rules():
    p,s = random_profiles()
    for v,share in zip(p, s):
        c = contrasts(v, share)
        want = ('severe' if c['mean']>=40 or 2*c['silent']>c['tones'] else 'high' if c['tilt']>=15 else 'low'
            if c['tilt']<=-15 else 'mild')
        assert expert_class(v, share)==want
        name = shape_name(v, censored=share)
        if name in ('severe', 'severe flat', 'high-frequency', 'low-frequency'):
            assert want==name.split()[0].split('-')[0]

def deaf_phenotype():
    "A cohort in which the mice of the second phenotype did not answer at 6 to 24 kHz."
    cohort = simulate_cohort(1500, seed=4)
    f = cohort.frame.copy()
    here = (f.phenotyping_center=='HMGU') & (f.biological_sample_group=='experimental')
    rows = f.index[here][:12]
    f.loc[rows, [f'threshold_{t}kHz' for t in (6, 12, 18, 24)]] = ceiling('HMGU')
    m = match_controls(replace(cohort, frame=f))
    deaf = m.cohort.frame.specimen_id.isin(f.specimen_id[rows]).to_numpy()
    assert deaf.sum()==12
    return m,np.eye(2)[deaf.astype(int)]

def test_discover_names_by_the_ceiling_and_the_report_says_why():
    m,q = deaf_phenotype()
    names = phenotype_names(m, q, None)
    profile = np.nanmean(m.offset[q[:,1]>0], 0)
    share = censored_shares(m.censored, m.mask, q.argmax(1), 2)
    assert (share[1,:4]==1).all() and (share[0,:5]<.1).all()
    assert names[1]==shape_name(profile, np.nanmedian(m.scale, 0), share[1]) and names[1].split()[0]=='severe'
    ph = Phenotypes.from_membership(m, q, names)
    why = name_reasons(ph)
    assert 'at least' in why[1] and name_reasons(replace(ph, matched=None))[1]==why[1]
