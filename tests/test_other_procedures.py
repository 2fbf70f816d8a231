"""Real tables of other procedures than hearing, read by a column map, and the mixed model beside the answers of R's
`nlme`; shipped procedures from table to calls on made-up mice."""
import numpy as np, pandas as pd, pytest
from impc_phenotypes.calls.lines import call_lines
from impc_phenotypes.calls.mixed_model import fit_line, line_mixed_model
from impc_phenotypes.core.errors import InputError
from impc_phenotypes.data.controls import match_controls
from impc_phenotypes.data.draft import draft_procedure
from impc_phenotypes.data.records import read_records
from impc_phenotypes.procedures.procedure import read_procedure
from impc_phenotypes.procedures.shipped import SHIPPED, shipped

@pytest.fixture(scope='module')
def real(data_dir):
    if not (data_dir/'procedures').is_dir(): pytest.skip('no real tables of other procedures in IMPC_PHENOTYPES_DATA')
    return data_dir/'procedures'

def spelled(table, column): # an entry of a column map; `-` stands for a missing value
    return dict(column=column, values={'-':None}) if table[column].eq('-').any() else column

def who(mutant, others=()): # the columns of the Sanger Institute's tables
    words = lambda v, het: {f'{mutant}/{mutant}':v, **({f'{mutant}/+':het} if others else {})}
    return dict(specimen_id='Mouse', phenotyping_center=dict(value='WTSI'), gene_symbol='Gene Name',
        biological_sample_group=dict(column='Genotype', values=words('experimental', 'unknown')),
        zygosity=dict(column='Genotype', values=words('homozygote', 'heterozygote')), date_of_experiment='Assay Date',
        date_of_birth='Birth Date')

def drafted(file, folder):
    "A procedure of every column of numbers of a table, and the column map that explains its signs for missing."
    made = folder/f'{file.stem}.yaml'
    made.write_text(draft_procedure(file).replace('unit: "?"', 'unit: as in the table'), encoding='utf-8')
    p,table = read_procedure(made),pd.read_csv(file, dtype=str)
    return p,{o.column:spelled(table, o.impc) for o in p.parameters},table

@pytest.fixture(scope='module')
def bones(real, tmp_path_factory):
    p,columns,table = drafted(real/'dexa.csv', tmp_path_factory.mktemp('bones'))
    return read_records(real/'dexa.csv', procedure=p, verbose=False,
        columns=columns | who('Sparc') | dict(weight='Weight'))

@pytest.fixture(scope='module')
def chemistry(real, tmp_path_factory):
    p,columns,table = drafted(real/'clinical_chemistry.csv', tmp_path_factory.mktemp('chemistry'))
    columns |= who('Arid4a', others=True) | dict(weight=spelled(table, 'Weight Value'))
    return read_records(real/'clinical_chemistry.csv', procedure=p, columns=columns, verbose=False)

@pytest.fixture(scope='module')
def grip(real):
    "IMPC's long export of one parameter; the three others of the shipped procedure stay empty."
    columns = dict(specimen_id='external_sample_id', all_limbs_by_weight='data_point',
        **{k:dict(value=None) for k in ('forelimbs','all_limbs','forelimbs_by_weight')})
    return read_records(real/'grip_strength_records.csv', procedure='grip_strength', columns=columns, verbose=False)

def test_every_mouse_and_value_is_read(bones, chemistry, grip, real):
    groups = lambda c: c.frame.biological_sample_group.value_counts().to_dict()
    assert groups(bones) == dict(control=452, experimental=16)
    assert groups(chemistry) == dict(control=937, experimental=14, unknown=3)
    assert groups(grip) == dict(control=397, experimental=13)
    assert not any(len(c.excluded) for c in (bones, chemistry, grip))
    for c,file in ((bones,'dexa.csv'), (chemistry,'clinical_chemistry.csv')):
        t = pd.read_csv(real/file, dtype=str).set_index('Mouse').loc[c.frame.specimen_id]
        for o in c.procedure.parameters:
            want = pd.to_numeric(t[o.impc].where(t[o.impc] != '-')).to_numpy(float)
            assert np.allclose(c.frame[o.column].to_numpy(float), want, equal_nan=True), o.name
        assert c.frame.date_of_experiment.notna().all() and c.frame.sex.isin(['female','male']).all()

def test_the_shipped_procedure_reads_the_same_bones(bones, real):
    table = pd.read_csv(real/'dexa.csv', dtype=str)
    names = dict(fat_mass='Fat Mass', lean_mass='Lean Mass', bone_mineral_density='Bone Mineral Density',
        bone_mineral_content='Bone Mineral Content', bone_area='Bone Area', body_length='Nose To Tail Base Length')
    columns = who('Sparc') | {k:spelled(table, v) for k,v in names.items()} | {k:dict(value=None)
        for k in ('fat_share','lean_share','bone_share')}
    c = read_records(real/'dexa.csv', procedure='dxa', columns=columns, verbose=False)
    same = [c.frame[k].equals(bones.frame[next(o.column for o in bones.procedure.parameters if o.impc == v)])
        for k,v in names.items()]
    assert all(same) and c.frame.fat_share.isna().all()

def test_an_unexplained_sign_for_missing_is_named(real):
    with pytest.raises(InputError, match="column 'Fat Mass', value '-'"):
        read_records(real/'dexa.csv', procedure='dxa', verbose=False, columns=who('Sparc') | dict(fat_mass='Fat Mass',
            lean_mass='Lean Mass', bone_mineral_density='Bone Mineral Density', bone_area='Bone Area',
            bone_mineral_content='Bone Mineral Content', body_length='Nose To Tail Base Length',
            **{k:dict(value=None) for k in ('fat_share','lean_share','bone_share')}))

def fitted(frame, column, weight):
    "y ~ genotype + sex [+ weight] + (1 | day), with the numbers of mice."
    f = frame[frame.biological_sample_group.isin(['control','experimental']) & frame[column].notna()]
    if weight: f = f[f.weight.notna()]
    X = pd.DataFrame(dict(intercept=1., genotype=(f.biological_sample_group == 'experimental').astype(float),
        sex=np.where(f.sex == 'female', .5, -.5)), index=f.index)
    if weight: X['weight'] = f.weight-f.weight.mean()
    e = fit_line(f[column].to_numpy(), X, pd.factorize(f.date_of_experiment)[0])
    return e | dict(n=len(f), n_test=int(X.genotype.sum()), se=(e['high']-e['low'])/2/1.959964)

def test_the_mixed_model_agrees_with_nlme(bones, chemistry, grip, real):
    cohorts = {'dexa.csv':bones, 'clinical_chemistry.csv':chemistry, 'grip_strength_records.csv':grip}
    oracle = pd.read_csv(real/'mixed_model_oracle.csv')
    assert len(oracle) == 60
    for r in oracle.itertuples():
        c = cohorts[r.file]
        column = 'all_limbs_by_weight' if r.parameter == 'data_point' else next(o.column
            for o in c.procedure.parameters if o.impc == r.parameter)
        e = fitted(c.frame, column, r.weight)
        assert (e['fit'], e['n'], e['n_test']) == ('mixed', r.n, r.n_test), r
        assert abs(e['effect']-r.estimate) < 1e-3*r.se and abs(e['se']/r.se-1) < .01, (r, e)
        assert abs(e['batch_sd']/r.batch_sd-1) < .01 and abs(e['residual_sd']/r.residual_sd-1) < .01, (r, e)

@pytest.mark.parametrize('weight', [False, True])
def test_known_effects_are_found_with_weight_in_and_out(bones, chemistry, weight):
    for cohort,gene,tone in ((bones,'Sparc','bone_mineral_density'), (chemistry,'Arid4a','chol')):
        r = line_mixed_model(match_controls(cohort), gene, weight=weight, batch='date', tones=(tone,))
        assert r.batch == 'date' and ('weight' in r.formula) == weight
        assert r.summary.high.iloc[0] < 0 and r.summary.p_value.iloc[0] < .01

def test_one_line_beside_controls_is_judged(bones, chemistry):
    "What normal lines differ by is assumed: *Arid4a* stands beyond it, *Sparc* does not, its bone density does."
    for cohort,gene,offset in ((bones,'Sparc','offset_bone_mineral_density'), (chemistry,'Arid4a','offset_chol')):
        c = call_lines(cohort, draws=1000, by_sex=False)
        one = c.summary.iloc[0]
        assert one.gene_symbol == gene and one[f'{offset}_high'] < 0 and one.called == (gene == 'Arid4a')
        assert one.p_value < .1 and any('No error rate can be given' in n for n in c.notes)

def made_up(p, seed=0, lines=24, controls=90, bad=3):
    "A wide table with IMPReSS' names; columns of parameters apart are not there; three lines are wrong."
    rng,main = np.random.default_rng(seed),p.parameters[:p.main]
    def some(n, gene, shift):
        lo,hi = np.array([o.lowest for o in main]),np.array([o.highest for o in main])
        hi = np.where(np.isfinite(hi), hi, 1000.)
        x = lo+(hi-lo)*(.4+.03*(.5*rng.standard_normal((n,1))+rng.standard_normal((n, len(main)))+shift))
        return pd.DataFrame(x, columns=[o.impc for o in main]).assign(gene_symbol=gene, allele_symbol=gene,
            phenotyping_center='JAX', biological_sample_group='experimental' if gene else 'control',
            sex=np.where(np.arange(n)%2, 'male', 'female'), zygosity='homozygote' if gene else 'wildtype')
    shift = np.zeros(len(main))
    shift[0] = -5
    t = [some(controls, None, 0), *(some(8, f'Gene{i}', shift*(i < bad)) for i in range(lines))]
    return pd.concat(t, ignore_index=True).assign(specimen_id=lambda d: d.index.astype(str))

@pytest.mark.parametrize('name', SHIPPED)
def test_a_shipped_procedure_goes_from_table_to_calls(name):
    p = shipped(name)
    cohort = read_records(made_up(p), procedure=name, verbose=False)
    assert cohort.procedure == p and len(cohort) == 90+8*24
    c = call_lines(cohort, draws=1000, by_sex=False)
    bad,called = {f'Gene{i}' for i in range(3)},set(c.called.gene_symbol)
    assert bad <= called and len(called-bad) <= 1
    assert (c.called.set_index('gene_symbol').loc[list(bad), f'offset_{p.names[0]}'] < -2).all()
    assert len(c.plot_line('Gene0').data)
