"Tables as hearing laboratories have them: the right answer, or one message with the right remedy; never a deaf line lost in silence."
import gzip, json, os, zipfile
from pathlib import Path
import numpy as np, pandas as pd, pytest, requests
from impc_phenotypes.calls.few_controls import compare_few
from impc_phenotypes.calls.lines import call_lines
from impc_phenotypes.core.errors import InputError
from impc_phenotypes.data.controls import match_controls
from impc_phenotypes.data.records import read_records
from impc_phenotypes.procedures.abr import IMPC_THRESHOLDS
from impc_phenotypes.runs.recipe import start_recipe
from impc_phenotypes.runs.train import fit_source
from impc_phenotypes.sources.opening import open_source

@pytest.fixture(scope='session')
def wild()->Path:
    "Made-up tables in the layouts of public ones, which are not part of the repository."
    data = os.environ.get('IMPC_PHENOTYPES_CASES') or os.environ.get('IMPC_PHENOTYPES_DATA', '')
    folder = Path(data)/'wild' if os.environ.get('IMPC_PHENOTYPES_CASES') else Path(data).parent/'cases'/'wild'
    if not data or not folder.is_dir(): pytest.skip('neither IMPC_PHENOTYPES_CASES nor IMPC_PHENOTYPES_DATA leads '
        'to the wild tables')
    return folder

def read(source, **kw): return read_records(source, verbose=False, **kw)

def calls(cohort):
    "Gene → mice, mean offset in dB, called."
    s = call_lines(cohort, draws=2000).summary
    return {r.gene_symbol:(r.n_mice, r.mean_offset, bool(r.called)) for r in s.itertuples()}

def said(cohort, *words): return any(all(w in n for w in words) for n in cohort.notes)

def refused(source, *words, without=(), **kw):
    with pytest.raises(InputError) as e: read(source, **kw)
    for w in words: assert w in str(e.value), f'{w!r} is not in: {e.value}'
    for w in without: assert w not in str(e.value), f'{w!r} is in: {e.value}'
    return str(e.value)

def lab(controls=24, lines=('Okay1','Deaf1'), mice=6, centre='Lab', seed=0, loss=dict(Deaf1=45)):
    "An invented table of one laboratory."
    rng = np.random.default_rng(seed)
    gene = [None]*controls+[g for g in lines for _ in range(mice)]
    n = len(gene)
    mouse = rng.normal(0, 4, n)+[loss.get(g, 0) for g in gene]
    tones = 5*np.round((np.array([35,20,20,25,35,25])+mouse[:,None]+rng.normal(0, 4, (n, 6)))/5)
    return pd.DataFrame(dict(specimen_id=[f'{centre}-{i:03}' for i in range(n)], phenotyping_center=centre,
        biological_sample_group=['control' if g is None else 'experimental' for g in gene], gene_symbol=gene,
        zygosity=['wildtype' if g is None else 'homozygote' for g in gene], sex=['female','male']*(n//2))
        | dict(zip(IMPC_THRESHOLDS, tones.clip(5, 80).T)))

def with_codes(frame, *codes):
    "The line Deaf1 writes codes instead of numbers."
    frame = frame.astype({t:object for t in IMPC_THRESHOLDS})
    at = np.flatnonzero(frame.gene_symbol=='Deaf1')
    for i,row in enumerate(at): frame.loc[row, list(IMPC_THRESHOLDS)] = codes[i%len(codes)]
    return frame

# No response

@pytest.mark.parametrize('code', ['>85', '85+', '> 85 dB SPL', '≥85', 'NR (85)', 'no response at 85 dB', '85 or more'])
def test_a_code_with_its_level_is_a_censored_reading(code, tmp_path):
    with_codes(lab(), code).to_csv(tmp_path/'t.csv', index=False)
    c = read(tmp_path/'t.csv')
    deaf = (c.frame.gene_symbol=='Deaf1').to_numpy()
    assert (c.thresholds[deaf]==85).all() and c.censored[deaf].all() and not c.censored[~deaf].any()
    assert said(c, 'mean no response', 'all 6 of Deaf1')
    n,offset,called = calls(c)['Deaf1']
    assert n==6 and called and 50<offset<65

@pytest.mark.parametrize('code', ['NR', 'n.r.', 'No Response', 'inf', '∞', 'did not respond', 'no ABR'])
def test_a_code_without_level_asks_for_it_and_never_proposes_to_drop(code, tmp_path):
    with_codes(lab(), code).to_csv(tmp_path/'t.csv', index=False)
    for how in ('error','drop'):
        refused(tmp_path/'t.csv', '--no-response', 'LEVEL', 'Lab', without=['--on-bad-rows'], on_bad_rows=how)
    assert calls(read(tmp_path/'t.csv', no_response={code:90}))['Deaf1'][2]
    assert calls(read(tmp_path/'t.csv', ceiling=90))['Deaf1'][2]

def test_levels_of_mice_and_centres():
    t = with_codes(lab(), 'NR')
    c = read(t.assign(max_level=[80,90]*18))
    deaf = (c.frame.gene_symbol=='Deaf1').to_numpy()
    assert sorted(set(c.thresholds[deaf].ravel()))==[80, 90] and c.censored[deaf].all()
    assert set(read(t.assign(level_played=95), no_response='NR=level_played').thresholds[deaf].ravel())=={95}
    assert set(read(t.assign(phenotyping_center='HMGU')).thresholds[deaf].ravel())=={85} # a level that is packaged
    two = pd.concat([t, with_codes(lab(centre='Other'), 'NR')])
    f = read(two, no_response=['Lab:NR=85','Other:NR=95']).frame
    assert f[f.gene_symbol=='Deaf1'].groupby('phenotyping_center').threshold_6kHz.first().tolist()==[85, 95]

@pytest.mark.parametrize('code', ['ND', '999', '-1', '0'])
def test_a_code_of_the_laboratory(code):
    t = with_codes(lab(), code)
    c = read(t, no_response={code:85})
    assert calls(c)['Deaf1'][2] and c.censored[(c.frame.gene_symbol=='Deaf1').to_numpy()].all()

def test_unknown_words_are_not_dropped_with_their_line():
    said = refused(with_codes(lab(), 'ND'), '--no-response ND=LEVEL', 'Deaf1', without=['--on-bad-rows drop'])
    assert 'would lose' in said
    refused(with_codes(lab(), 'ND'), 'the whole line Deaf1', '--allow-loss', on_bad_rows='drop')
    c = read(with_codes(lab(), 'ND'), on_bad_rows='drop', allow_loss=True)
    assert len(c)==30 and c.notes[0].startswith('warning') and 'Deaf1' in c.notes[0]

def test_words_of_a_part_of_a_line_are_asked_about_and_never_dropped():
    own = dict(zip(IMPC_THRESHOLDS, ('T6','T12','T18','T24','T30','CL')))
    t = with_codes(lab(), 'ND', 'no go', 80).rename(columns=own)
    refused(t, "'ND', 'no go' stand for no response", "--no-response ND=LEVEL --no-response 'no go=LEVEL'",
        'leave these cells empty where nothing was measured', without=['drop'], columns={k:v for k,v in own.items()})
    refused(with_codes(lab(), '999', 80), '`--no-response 999=LEVEL`', without=['drop'])
    refused(with_codes(lab(), 'no response'), "`--no-response 'no response=LEVEL'`")

def test_rows_of_another_width_are_never_proposed_to_be_dropped(tmp_path):
    t = with_codes(lab(), 'NR, 85')
    (tmp_path/'t.csv').write_text(t.to_csv(index=False).replace('"', ''))
    refused(tmp_path/'t.csv', '6 rows could not be read', 'quote cells that hold a separator', without=['drop'])
    c = read(tmp_path/'t.csv', on_bad_rows='drop')
    assert c.notes[0].startswith('warning: 6 rows could not be read') and len(c)==30 and len(c.excluded)==6

def test_knockouts_under_an_odd_word_are_no_bad_rows():
    t = lab().assign(biological_sample_group=['control']*24+['batch B']*12)
    refused(t, "'batch B' (12)", 'values:', without=['drop'])
    refused(t, "all 12 mice of the group 'batch B'", '--allow-loss', on_bad_rows='drop')
    named = dict(biological_sample_group='status', sex='Set')
    own = t.assign(sex=[1,2]*18).rename(columns={v:k for k,v in dict(status='biological_sample_group',
        Set='sex').items()})
    refused(own, "{column: 'status', values: {'batch B': …}}", columns=named)
    own['status'] = lab().biological_sample_group.to_numpy()
    assert said(read(own, columns=named), "{column: 'Set', values: {'1': …, '2': …}}")

def test_a_code_is_of_the_centre_that_uses_it():
    two = pd.concat([with_codes(lab(), None), lab(centre='Other B', loss={})], ignore_index=True)
    two.loc[two.phenotyping_center=='Other B', IMPC_THRESHOLDS[0]] = np.nan
    assert said(read(two), 'warning', 'Deaf1', '`--no-response Lab:blank=LEVEL`')
    c = read(two, no_response='blank=85')
    assert c.censored.sum()==36 and not c.censored[36:].any()
    refused(two, "no centre 'Leb'; did you mean `Lab`?", no_response='Leb:blank=85')
    refused(two, "no centre 'X'; there are Lab, Other B", ceiling={'X':85})
    assert said(read(two, no_response=['blank=85','ND=85']), '`--no-response ND`: no cell holds this code')
    two.loc[two.phenotyping_center=='Other B', list(IMPC_THRESHOLDS)] = 0
    two.loc[36:59, list(IMPC_THRESHOLDS)] = 30
    assert said(read(two), 'warning', 'Deaf1', "`--no-response 'Other B:0=LEVEL'`")

def test_a_column_of_loudest_levels_counts_in_a_table_of_numbers():
    t = with_codes(lab(), 80).assign(max_level=80)
    c = read(t)
    assert c.censored[(c.frame.gene_symbol=='Deaf1').to_numpy()].all() and not c.censored[:24].any()
    assert said(c, "loudest level of the column 'max_level'", 'all 6 of Deaf1') and not said(c, 'not used')
    assert not read(t.rename(columns=dict(max_level='metadata_max_level'))).censored.any()

def test_silent_lines_beyond_ten_are_counted():
    lines = [f'Deaf{i}' for i in range(13)]
    t = lab(lines=lines, mice=2, loss={})
    t.loc[t.gene_symbol.notna(), list(IMPC_THRESHOLDS)] = np.nan
    assert said(read(t), 'warning: 3 more lines are silent')

def test_all_knockouts_or_all_controls_need_consent():
    t = lab().astype(object)
    for group,word in (('experimental','all 12 knockout mice'), ('control','all 24 controls')):
        bad = t.assign(weight=np.where(t.biological_sample_group==group, 'heavy', '20'))
        refused(bad, word, '--allow-loss', on_bad_rows='drop')
    some = t.assign(weight=['heavy']+['20']*35)
    assert said(read(some, on_bad_rows='drop'), '1 rows with bad values', '1 of 24 control')

@pytest.mark.parametrize('value', ['', 'None', 'NA', None])
def test_a_blank_line_is_named(value, tmp_path):
    t = with_codes(lab(), value)
    c = read(t)
    assert said(c, 'warning', 'all 6 mice of the line Deaf1', 'blank=LEVEL')
    assert calls(read(t, no_response='blank=85'))['Deaf1'][2]

def test_lines_of_zeros_and_half_silent_lines_are_named():
    assert said(read(with_codes(lab(), 0)), 'warning', 'Deaf1', '0 dB')
    t = lab()
    t.loc[t.gene_symbol=='Deaf1', list(IMPC_THRESHOLDS[3:5])] = np.nan
    assert said(read(t), 'warning', 'Deaf1', '24kHz, 30kHz')
    assert not said(read(lab()), 'warning')

def test_a_ceiling_nobody_stated():
    t = with_codes(lab(), 70)
    t[list(IMPC_THRESHOLDS)] = t[list(IMPC_THRESHOLDS)].astype(float).clip(upper=70)
    c = read(t)
    assert said(c, '70 dB is the highest value of Lab', '--ceiling 70') and not c.censored.any()
    assert read(t, ceiling=70).censored[(c.frame.gene_symbol=='Deaf1').to_numpy()].all()
    refused(t, 'no centre', ceiling={'Leb':70})

# One thing written twice

def test_words_for_sex_and_group():
    t = lab().assign(sex=['F','m']*18, biological_sample_group=['WT']*24+['KO']*6+['het']*6, zygosity=None)
    c = read(t)
    assert set(c.frame.sex)=={'female','male'} and c.is_control.sum()==24
    assert c.frame.zygosity[c.is_experimental].value_counts()[['heterozygote']].tolist()==[6]
    assert said(c, "'F' as female (18)") and said(c, "'WT' as control (24)", "'KO' as experimental (6)")
    assert (call_lines(c, draws=2000).summary[['n_female','n_male']]==3).all().all()

def test_unknown_words_are_named_once_with_their_translation():
    t = lab().assign(biological_sample_group=['A']*24+['B']*12)
    refused(t, "'A' (24), 'B' (12)", 'values:', without=['drop'])
    meant = dict(biological_sample_group=dict(column='biological_sample_group',
        values=dict(A='control', B='experimental')))
    assert read(t, columns=meant).is_control.sum()==24
    assert said(read(lab().assign(sex=[1,2]*18)), "'1' (18), '2' (18)", 'values:')
    two = read(lab().assign(sex=[1,2]*18), columns=dict(sex=dict(column='sex', values={1:'female', 2:'male'})))
    assert set(two.frame.sex)=={'female','male'}
    refused(t, 'none of the words', columns=dict(sex=dict(column='sex', values={'Q':'female'})))
    refused(t, 'must be a name', columns=dict(sex=dict(words='sex')))

def test_spellings_of_equipment_alleles_and_invisible_letters():
    t = lab().assign(equipment_model=['RZ6','TDT RZ6','rz6 ']*12, equipment_manufacturer=['TDT',
        'TDT (Tucker Davis Technologies)','TDT']*12)
    c = read(t)
    assert len(set(c.technical_group))==1 and said(c, '`equipment_model`', "'TDT RZ6'", '12')
    assert len(set(read(t.assign(equipment_model=['RZ6','RP2']*18)).technical_group))==2
    allele = [None]*24+['Okay1<tm1>','Okay1<sup>tm1</sup>','Okay1&lt;tm1&gt;','Okay1<tm1>\u200b','Okay1\xa0<tm1>',
        'Okay1<tm1>']+['Deaf1<tm1>']*6
    c = read(t.assign(allele_symbol=[a and a.replace('\xa0', '') for a in allele]))
    assert c.frame.allele_symbol.nunique()==2
    assert read(t.assign(gene_symbol=[None]*24+['Okay1','Okay1\u200b']*3+['Deaf1\xa0']*6)).frame.gene_symbol.nunique()==2

def test_genes_a_spreadsheet_made():
    genes = [None]*24+['2-Sep']*6+['Deaf1']*6
    assert said(read(lab().assign(gene_symbol=genes)), "'2-Sep'", '6 mice')

@pytest.mark.parametrize('column,other,want', [
    ('02/03/2019', '14/02/2019', '2019-03-02'), ('02/03/2019', '02/14/2019', '2019-02-03'),
    ('02/03/2019', '01/03/2019', None),
    ('03.02.2019', '01.01.2019', '2019-02-03'), ('2019', '2019', None), ('2019-02', '2019-02', None),
    ('20190203', '20190203', '2019-02-03'),
    ('43512', '43512', None), ('2019-02-03 10:15', '2019-02-03', '2019-02-03')])
def test_days(column, other, want):
    c = read(lab().assign(date_of_experiment=[column]+[other]*35))
    got = c.frame.date_of_experiment[0]
    assert (want is None and pd.isna(got)) or str(got)[:10]==want
    if want is None: assert said(c, '36 dates' if column==other or '/' in column else '1 dates', 'YYYY-MM-DD')

# Which column is which

@pytest.mark.parametrize('name', ['ABR_{}khz', 'thr_{}000Hz', 'threshold {} kHz', 'f{}000'])
def test_another_tone_is_never_proposed(name):
    t = lab().drop(columns=list(IMPC_THRESHOLDS)).assign(**{name.format(k):30 for k in (4, 8, 16, 32)})
    message = refused(t, 'tones at 4, 8, 16, 32 kHz', 'places at 6, 12, 18, 24, 30 kHz')
    assert 'nearest' not in message.split('Found')[0]

def test_columns_that_were_not_used_are_listed_once():
    c = read(lab().assign(gene=1, note='x', cage=3))
    assert said(c, '3 columns were not used: gene, note, cage') and sum('not used' in n for n in c.notes)<=2

# Files as they come

def xlsx(path, *sheets):
    "A workbook of frames, written by hand."
    cell = lambda v: '<c/>' if v is None or v!=v else (f'<c><v>{v}</v></c>' if isinstance(v, (int,float))
        else f'<c t="inlineStr"><is><t>{v}</t></is></c>')
    with zipfile.ZipFile(path, 'w') as z:
        z.writestr('xl/workbook.xml', '<w xmlns:r="u"><sheets>'+''.join(f'<sheet name="{n}" r:id="{n}"/>' for n,
            _ in sheets)+'</sheets></w>')
        z.writestr('xl/_rels/workbook.xml.rels', '<R>'+''.join(f'<R Id="{n}" Target="{n}.xml"/>' for n,_ in sheets)
            +'</R>')
        for n,f in sheets:
            rows = [list(f.columns)]+f.astype(object).where(f.notna(), None).to_numpy().tolist() if f is not None else []
            z.writestr(f'xl/{n}.xml', '<w><sheetData>'+''.join(f'<row>{"".join(map(cell, r))}</row>' for r in rows)
                +'</sheetData></w>')
    return path

FORMS = {
    'tsv': lambda t,p: t.to_csv(p/'a.tsv', sep='\t', index=False) or p/'a.tsv',
    'unicode text': lambda t,p: t.to_csv(p/'a.txt', sep='\t', index=False, encoding='utf-16') or p/'a.txt',
    'no ending': lambda t,p: t.to_csv(p/'a', index=False) or p/'a',
    'bzip2': lambda t,p: t.to_csv(p/'a.csv.bz2', index=False) or p/'a.csv.bz2',
    'xz': lambda t,p: t.to_csv(p/'a.csv.xz', index=False) or p/'a.csv.xz',
    'zip': lambda t,p: t.to_csv(p/'a.zip', index=False) or p/'a.zip',
    'gzip without ending': lambda t,p: (p/'a.data').write_bytes(gzip.compress(t.to_csv(index=False).encode()))
    and p/'a.data',
    'workbook': lambda t,p: xlsx(p/'a.xlsx', ('all', t), ('empty', None)),
    'workbook named csv': lambda t,p: xlsx(p/'a.csv', ('all', t)),
    'bars': lambda t,p: t.to_csv(p/'a.txt', sep='|', index=False) or p/'a.txt',
    'title rows': lambda t,p: (p/'a.csv').write_text('ABR export\n\nby hand,2021\n'+t.to_csv(index=False))
    and p/'a.csv',
    'title with commas': lambda t,p: (p/'a.csv').write_text('ABR export'+','*11+'\n'+t.to_csv(index=False))
    and p/'a.csv',
    'decimal commas': lambda t,p: t.to_csv(p/'a.csv', sep=';', decimal=',', index=False) or p/'a.csv',
}

@pytest.mark.parametrize('form', FORMS)
def test_a_file_is_read_by_its_content(form, tmp_path):
    t = lab()
    if form=='decimal commas': t[list(IMPC_THRESHOLDS)] += .5
    got = read(FORMS[form](t, tmp_path))
    pd.testing.assert_frame_equal(got.frame, read(t).frame)

def test_rows_below_a_title_keep_their_numbers(tmp_path):
    t = lab().astype(object)
    t.loc[3,'weight'] = 'heavy'
    (tmp_path/'a.csv').write_text('Title\n\n'+t.to_csv(index=False))
    refused(tmp_path/'a.csv', 'row 7', 'Lab-003')

def test_sheets(tmp_path):
    two = xlsx(tmp_path/'a.xlsx', ('mice', lab()), ('notes', pd.DataFrame(dict(a=['b']))))
    refused(two, "'mice'", "'notes'", '--sheet')
    assert len(read(two, sheet='mice'))==36
    refused(two, 'did you mean `mice`', sheet='mise')
    refused(xlsx(tmp_path/'b.xlsx', ('mice', None)), 'no sheet has cells')
    (tmp_path/'c.xlsx').write_bytes(two.read_bytes()[:900])
    refused(tmp_path/'c.xlsx', 'Excel', '.csv')
    lab().to_csv(tmp_path/'d.csv', index=False)
    refused(tmp_path/'d.csv', '--sheet', sheet='mice')

def test_names_over_two_rows(tmp_path):
    (tmp_path/'a.csv').write_text('Noise study,,,,,\nMouse,Group,8 kHz,,32 '
        'kHz,\nID,,ABR,DPOAE,ABR,DPOAE\nm1,WT,20,30,40,50\n'*1)
    message = refused(tmp_path/'a.csv', "'8 kHz ABR'", "'8 kHz DPOAE'", "'Mouse ID'", 'two rows')
    assert "'Noise study'" not in message

# Long and repeated tables

def as_long(t, ears=('left',), sittings=(0,), hz=True):
    "One row a mouse, ear, sitting and stimulus."
    rows = []
    for r in t.to_dict('records'):
        about = {k:v for k,v in r.items() if k not in IMPC_THRESHOLDS}
        for e in ears:
            for s in sittings:
                for f,c in zip((6, 12, 18, 24, 30, None), IMPC_THRESHOLDS):
                    stimulus = (100 if hz else 'click') if f is None else f*1000 if hz else f'{f} kHz'
                    more = 5*(e=='right')+20*s
                    rows.append(about | dict(ear=e, timepoint=s, frequency=stimulus,
                        threshold=r[c]+more if more else r[c]))
    return pd.DataFrame(rows)

@pytest.mark.parametrize('hz', [True, False])
def test_a_long_table_is_made_wide(hz, tmp_path):
    t = lab()
    as_long(t, hz=hz).to_csv(tmp_path/'a.csv', index=False)
    c = read(tmp_path/'a.csv')
    np.testing.assert_array_equal(c.thresholds, read(t).thresholds)
    assert said(c, 'the table is long', '`frequency`', '216 rows', '36 mice')

def test_ears_and_sittings_are_chosen_and_never_merged():
    t = lab()
    both = as_long(t, ('left','right'), (0, 1))
    refused(both, '`ear` (left, right)', '`timepoint` (0, 1)', '--ear best|worst|left|right|mean',
        '--sitting first|last')
    refused(both, '`timepoint`', without=['--ear'], ear='best')
    at = read(t).thresholds
    for ear,sitting,more in (('left','first',0), ('best','first',0), ('right','first',5), ('worst','last',25),
        ('mean','last',22.5)):
        np.testing.assert_allclose(read(both, ear=ear, sitting=sitting).thresholds, at+more)
    refused(both, 'must be one of', ear='both', sitting='first')
    refused(t, 'needs a column `ear`', ear='left')

def test_a_wide_table_with_two_ears_or_two_ages():
    t = lab()
    ears = pd.concat([t.assign(ear='left'), t.assign(ear='right', **{c:t[c]+5 for c in IMPC_THRESHOLDS})])
    refused(ears, '`ear`', '--ear')
    np.testing.assert_allclose(read(ears, ear='worst').thresholds, read(t).thresholds+5)
    ages = pd.concat([t.assign(age_in_weeks=14), t[t.gene_symbol.notna()].assign(age_in_weeks=62)])
    refused(ages, '`age_in_weeks` (14.0, 62.0)', '--sitting first', 'all 12 knockout mice',
        without=['--on-bad-rows drop'])
    assert (read(ages, sitting='first').frame.age_in_weeks==14).all()
    two = pd.concat([t.assign(procedure_stable_id='IMPC_ABR_001'), t.assign(procedure_stable_id='IMPC_ABR_002',
        weight=20.)])
    refused(two, '`procedure_stable_id`', 'IMPC_ABR_001')

OWN = dict(zip(IMPC_THRESHOLDS, ('T6','T12','T18','T24','T30','CL')))

def both_ears(t, right):
    return pd.concat([t.assign(ear='left'), right.assign(ear='right')], ignore_index=True)

@pytest.mark.parametrize('code', ['ND', '-1', '0'])
@pytest.mark.parametrize('long', [False, True])
def test_an_ear_with_a_code_of_the_user_is_the_worst(code, long):
    t,deaf = lab(),with_codes(lab(), code)
    both = (pd.concat([as_long(t), as_long(t, ('right',)).assign(threshold=as_long(deaf).threshold)]) if long
        else both_ears(t, deaf))
    named = None if long else OWN
    both,at = both.rename(columns=named or {}),(t.gene_symbol=='Deaf1').to_numpy()
    worst = read(both, ear='worst', columns=named, no_response={code:85})
    assert worst.censored[at].all() and not worst.censored[~at].any()
    assert not read(both, ear='best', columns=named, no_response={'Lab:'+code:85}).censored.any()
    assert read(both, ear='mean', columns=named, no_response={code:85}).censored[at].all()

def test_ears_of_mapped_columns_are_seen():
    t = lab().rename(columns=OWN)
    both = both_ears(t, t.assign(**{c:t[c]+5 for c in OWN.values()}))
    for ear,more in (('best',0), ('worst',5), ('mean',2.5)):
        np.testing.assert_allclose(read(both, columns=OWN, ear=ear).thresholds, read(t, columns=OWN).thresholds+more)
    refused(both, '`--ear worst` needs columns of thresholds', ear='worst')

@pytest.mark.parametrize('long', [False, True])
def test_mice_without_the_ear_are_named(long):
    t = lab()
    both = as_long(t, ('left','right')) if long else both_ears(t, t)
    some = both[(both.ear=='right') | (both.specimen_id!='Lab-003')]
    c = read(some, ear='left')
    assert len(c)==35 and said(c, 'warning: 1 mice have no left ear', 'Lab-003')
    refused(some.replace(dict(ear=dict(left='OD', right='OS'))), "'OD', 'OS' in `ear`", 'write left and right',
        ear='left')
    one = some[(some.ear=='left') | (some.specimen_id=='Lab-003')] # no mouse has both
    assert said(read(one, ear='left'), 'warning: 1 mice have no left ear', 'Lab-003')

def test_rows_without_mouse_or_stimulus_are_bad_rows():
    t = lab()
    both = both_ears(t, t)
    both.loc[3,'specimen_id'] = None
    refused(both, "'specimen_id'", 'is missing', ear='best')
    long = as_long(t).astype(object)
    long.loc[7,'specimen_id'] = None
    refused(long, '1 bad values', "'specimen_id'", 'is missing')
    assert said(read(long, on_bad_rows='drop'), '1 rows with bad values')
    long = as_long(t).astype(object)
    long.loc[7,'frequency'] = None
    refused(long, '`frequency` is missing', without=['drop'])
    c = read(long, on_bad_rows='drop')
    assert len(c)==36 and len(c.excluded)==1 and 'row 7' in c.excluded.reason[0]

def test_sittings_of_mapped_columns_and_of_pipelines():
    t = lab()
    days = pd.concat([t.assign(tested='14/02/2019'), t.assign(tested='02/03/2019', **{c:t[c]+5
        for c in IMPC_THRESHOLDS})])
    named = dict(date_of_experiment='tested')
    refused(days, '`date_of_experiment`', '--sitting first', columns=named)
    for how,more in (('first',0), ('last',5)):
        np.testing.assert_allclose(read(days, columns=named, sitting=how).thresholds, read(t).thresholds+more)
    two = pd.concat([t.assign(pipeline_stable_id='IMPC_001'), t.assign(pipeline_stable_id='IMPCLA_001', weight=20.)])
    assert read(two, sitting='first').frame.weight.isna().all()
    refused(t, '`--sitting first` needs a column', sitting='first')
    assert not said(read(t.assign(session=1), sitting='first'), 'chosen')

@pytest.mark.parametrize('first,last', [('day 7','day 14'), ('14/02/2019','02/03/2019'), ('9','10'),
    ('Early adult','Late adult'), ('IMPC_ABR_001','IMPC_ABR_002')])
def test_sittings_are_ordered_by_what_they_mean(first, last):
    long = as_long(lab(), sittings=(0, 1))
    long['timepoint'] = long.timepoint.map({0:last, 1:first})
    at = read(lab()).thresholds
    np.testing.assert_allclose(read(long, sitting='first').thresholds, at+20)
    np.testing.assert_allclose(read(long, sitting='last').thresholds, at)

def test_sittings_without_an_order_are_refused():
    long = as_long(lab(), sittings=(0, 1))
    refused(long.replace(dict(timepoint={0:'baseline', 1:'post'})), "'baseline', 'post'", 'number them',
        sitting='first')

def test_a_long_table_with_a_column_db():
    t = as_long(lab()).rename(columns=dict(threshold='dB'))
    np.testing.assert_array_equal(read(t).thresholds, read(lab()).thresholds)

def test_two_readings_of_one_stimulus_are_named():
    long = as_long(lab())
    refused(pd.concat([long, long[:1].assign(threshold=99)]), 'several thresholds for one stimulus', 'Lab-000')

# Ages

def test_late_adults_are_compared_with_late_adults_only():
    young,old = lab(),lab(seed=1, loss=dict(Deaf1=25)).assign(specimen_id=lambda t: 'old'+t.specimen_id)
    old[list(IMPC_THRESHOLDS)] += 20
    alone = call_lines(read(young), draws=2000).summary
    for mark in (dict(life_stage_name='Late adult'), dict(age_in_weeks=62),
        dict(procedure_stable_id='HRWLLA_ABR_002')):
        few = old[(old.biological_sample_group!='control') | (old.specimen_id<'oldLab-004')].assign(**mark)
        c = read(pd.concat([young, few]))
        m = match_controls(c)
        assert len(m.excluded)==16 and m.excluded.reason.str.contains('Late adult').all()
        both = call_lines(c, draws=2000).summary
        pd.testing.assert_frame_equal(both[alone.columns], alone)
    own = call_lines(read(pd.concat([young, old.assign(life_stage_name='Late adult')])), draws=2000).summary
    by_age = own.set_index([own.technical_group.str.contains('Late adult'), 'gene_symbol']).mean_offset
    assert abs(by_age[True,'Deaf1']-25)<8 and abs(by_age[False,'Deaf1']-45)<8 and abs(by_age[True,'Okay1'])<8

# The server

def test_answers_that_are_none():
    from impc_phenotypes.data.solr import _Broken, _parse, _Request
    ask = _Request('http://h', 'experiment', 'q', ('id',), 10)
    good = dict(response=dict(numFound=1, docs=[dict(id='a')]))
    assert _parse(good, ask, 0)[0]==1
    for bad,word in ((dict(error=dict(msg='shard is down')), 'shard is down'),
        (good | dict(responseHeader=dict(partialResults=True)), 'partial')):
        with pytest.raises(_Broken, match=word): _parse(bad, ask, 0)

# The wild folder, file by file

MAPS = {'02b':'02b_map.yaml', '03b':'03b_map.yaml', '04d':'04b_map.yaml', '07_':'07_map.yaml'}
RIGHT = [ # file, options, gene → (mice or None, mean offset, called)
    ('01_long_hz_click100.csv', dict(columns=dict(specimen_id='mouse_id', biological_sample_group='cohort_type',
    sex='mouse_sex',
        zygosity='cohort_zygosity', phenotyping_center=dict(value='GMC'))),
        dict(Cccc3=(6, 46.7, True), Eeee5=(6, 34., True),
        Aaaa1=(6, None, False), Bbbb2=(6, None, False))),
    ('05_workbook.xlsx', {}, {}),
    ('17b_same_mouse_twice.csv', dict(sitting='first'), {}),
    ('06_semicolon_comma.csv', {}, dict(Cccc3=(None, 44.9, True), Eeee5=(None, 26.8, True))),
    ('07_semicolon_commas_in_names.csv', {}, dict(Cccc3=(None, 42.9, True), Eeee5=(None, 30.4, True))),
    ('17_late_adult_mixed.csv', {}, dict(Cccc3=(None, 11.5, True), Aaaa1=(None, 1.7, False), Bbbb2=(None, -.6,
    False))),
    ('23b_title_row.csv', {}, {}),
    ('29_unicode_text.txt', {}, {}),
    ('29b_tab.tsv', {}, {}),
    ('03b_wide_inf.csv', {}, dict(Loss1=(7, 50.1, True))),
    ('08_no_response_words.csv', {}, dict(Deaf1=(6, 55.7, True))),
    ('08_no_response_words.csv', dict(no_response='NR=85'), dict(Deaf1=(6, 55.7, True))),
    ('04d_high_loss_8_16_32.csv', {}, dict(High2=(None, None, True))),
    ('12_wt_ko_words.csv', {}, {}),
    ('15_equipment_spellings.csv', {}, dict(Cccc3=(None, 45.4, True), Eeee5=(None, 28.9, True))),
    ('24b_one_gene_24wt.csv', {}, dict(Only1=(10, 42.3, True))),
    ('27_nHL_ceiling70.csv', dict(ceiling=70), dict(Deaf1=(6, 56.5, True))),
]

@pytest.mark.parametrize('file,options,want', RIGHT, ids=[f'{f}-{i}' for i,(f,*_) in enumerate(RIGHT)])
def test_wild_calls(file, options, want, wild):
    columns = wild/MAPS[file[:3]] if file[:3] in MAPS else None
    got = calls(read(wild/file, **dict(columns=columns) | options))
    for gene,(n,offset,called) in want.items():
        assert (n is None or got[gene][0]==n) and (offset is None or abs(got[gene][1]-offset)<=1) and got[gene][2]==called, f'{gene}: {got[gene]}'

@pytest.mark.parametrize('file,wild_types', [('24_one_gene_12wt.csv', 12), ('24c_one_gene_8wt.csv', 8)])
def test_a_line_beside_few_wild_types_is_answered_without_a_call(file, wild_types, wild):
    c = read(wild/file)
    with pytest.raises(InputError, match=f'has {wild_types}, .*`compare_few`'): call_lines(c)
    one = compare_few(c).summary.iloc[0]
    assert one.n_controls==wild_types and one.p_mice<.001 and one.p_line<.001 and one.mean_offset_low>30

SAID = [ # file, options, words that one note holds
    ('02b_prepared.csv', {}, ["'Click Threshold' was not used", '`threshold_click`']),
    ('04d_high_loss_8_16_32.csv', {}, ["'ABRThreshold_32khz'", 'place of 30kHz', '32 kHz']),
    ('10_dates_local.csv', {}, ['35 dates', "'2019'"]),
    ('11_sex_MF.csv', {}, ["'F' as female (46)", "'M' as male (46)"]),
    ('11b_sex_mixed.csv', {}, ["'F' as female"]),
    ('12_wt_ko_words.csv', {}, ["'WT' as control (40)", "'KO' as experimental (30)"]),
    ('13_gene_dates.csv', {}, ['3 gene symbols look like days or numbers', '2-Sep']),
    ('13_gene_dates.csv', {}, ['2 gene symbols differ in case only']),
    ('15_equipment_spellings.csv', {}, ["'RZ6' (33)", "'TDT RZ6' (17)", "'rz6' (16)"]),
    ('09_blank_no_response.csv', {}, ['warning', 'all 6 mice of the line Deaf1']),
    ('09b_none_no_response.csv', {}, ['warning', 'all 6 mice of the line Deaf1']),
    ('27_nHL_ceiling70.csv', {}, ['70 dB', '36 times', '--ceiling']),
]

@pytest.mark.parametrize('file,options,words', SAID, ids=[f for f,*_ in SAID])
def test_wild_notes(file, options, words, wild):
    columns = wild/MAPS[file[:3]] if file[:3] in MAPS else None
    c = read(wild/file, **dict(columns=columns) | options)
    assert said(c, *words), '\n'.join(c.notes)

REFUSED = [ # file, options, words of the message, words it must not hold
    ('01_long_hz_click100.csv', {}, ['the table is long', '`mouse_id` and `frequency`', '70 mice',
    "nearest is 'cohort_type'"],
        ["nearest is 'threshold'"]),
    ('03_long_ears_inf.csv', {}, ['`ear` (left, right)', '`timepoint` (0, 1)', '--ear', '--sitting'],
    ['--on-bad-rows']),
    ('17b_same_mouse_twice.csv', {}, ['`age_in_weeks`', '`life_stage_name`', '--sitting first',
    'all 18 knockout mice'],
        ['--on-bad-rows drop']),
    ('23_two_header_rows.csv', {}, ["'8 kHz ABRThreshold'", "'Mouse ID'", 'tones at 8, 16, 32 kHz'],
    ["'Noise study'"]),
    ('04_wide_8_16_32.csv', {}, ['tones at 8, 16, 32 kHz', 'places at 6, 12, 18, 24, 30 kHz'], ["nearest is 'ABR"]),
    ('17b_same_mouse_twice.csv', dict(on_bad_rows='drop'), ['all 18 knockout mice'], []),
]

@pytest.mark.parametrize('file,options,words,without', REFUSED, ids=[f for f,*_ in REFUSED])
def test_wild_refusals(file, options, words, without, wild):
    columns = wild/MAPS[file[:3]] if file[:3] in MAPS else None
    refused(wild/file, *words, without=without, **dict(columns=columns) | options)

def test_wild_spellings(wild):
    "Facts that no note tells."
    c = read(wild/'11_sex_MF.csv')
    s = call_lines(c, draws=2000).summary.set_index('gene_symbol')
    assert (s[['n_female','n_male']]==4).all().all() and abs(s.loc['Cccc3','sex_difference']-1.7)<1.
    assert (match_controls(read(wild/'11b_sex_mixed.csv')).n_reference==30).all()
    c = read(wild/'16_unicode_genes.csv')
    assert (c.frame.gene_symbol=='Aaaa1').sum()==6
    c = read(wild/'02b_prepared.csv', columns=wild/'02b_map.yaml')
    assert c.frame.date_of_birth.notna().all() and set(c.frame.date_of_birth.astype(str).str[:10])=={'2013-02-14'}
    assert (call_lines(read(wild/'15_equipment_spellings.csv'), draws=2000).summary.n_controls==36).all()

def test_wild_server_answers(wild):
    from impc_phenotypes.data.solr import _Broken, _json, _parse, _Request, pivot_specimens
    ask = _Request('http://h', 'experiment', 'q', ('id',), 1000)
    for file,word in (('33_solr_partial.json','partial'), ('35_solr_error_in_200.json',
        'shard of core experiment is down')):
        with pytest.raises(_Broken, match=word): _parse(json.loads((wild/file).read_text()), ask, 0)
    assert _parse(json.loads((wild/'36_solr_empty_core.json').read_text()), ask, 0)==(0, [])
    page = requests.Response()
    page.status_code,page._content,page.url = 200,(wild/'37_maintenance_page.html').read_bytes(),'http://h/select'
    with pytest.raises(_Broken, match='Scheduled maintenance'): _json(page)
    docs = pd.DataFrame(json.loads((wild/'34_solr_two_ages.json').read_text())['response']['docs'])
    frame,notes = pivot_specimens(docs)
    frame = frame.set_index('specimen_id')
    got = frame.loc['s0', list(IMPC_THRESHOLDS)].dropna().astype(float)
    assert got.min()==30 and got.max()==50 and frame.loc['s0','age_in_weeks']==14
    assert 's9' in frame.index and any('Late adult' in n and 'documents' in n for n in notes)

# Runs and other procedures

def test_a_run_reads_its_table_again_as_it_was_told(tmp_path):
    from impc_phenotypes.runs.folder import open_again, open_data
    with_codes(lab(), 'ND').to_csv(tmp_path/'t.csv', index=False)
    cohort,record = open_data(tmp_path/'t.csv', no_response=['ND=85'])
    assert record['options']['no_response']==['ND=85'] and cohort.censored.any()
    again = open_again(json.loads(json.dumps(record)), 'shared/run_1')
    pd.testing.assert_frame_equal(again.frame, cohort.frame)
    with pytest.raises(InputError, match='no_response is of tables of mice'): open_data('digits', no_response='ND=85')

@pytest.mark.parametrize('words', [['train','model=k_means','data=digits'], ['sweep','run','model=k_means',
    'data=digits','k=2,3']])
def test_options_of_tables_of_mice_are_refused_beside_other_data(words, tmp_path, monkeypatch, capsys):
    from impc_phenotypes.cli.main import main
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as e: main([*words, '--no-response', 'NR=85'])
    assert e.value.code==2 and '--no-response: cannot be combined with data=digits' in capsys.readouterr().err

def test_tones_of_another_procedure_have_the_same_rules(tmp_path):
    tones = ''.join(f'\n  - {{name: {f}kHz, unit: dB SPL, frequency: {f}, lowest: -20, highest: 130, step: 5, '
        f'ceiling: 90, column: thr_{f}kHz}}' for f in (8,16,32))
    (tmp_path/'own.yaml').write_text('name: own\ntitle: own hearing test\naxis: frequency\nparameters:'+tones)
    wide = pd.DataFrame(dict(specimen_id=['a','b'], phenotyping_center='Lab', biological_sample_group='control',
        ABR_8khz=['20','NR'], ABR_16khz=['25','>85'], ABR_32khz=['30','NR']))
    columns = {f'thr_{f}kHz':f'ABR_{f}khz' for f in (8,16,32)}
    c = read(wide, procedure=tmp_path/'own.yaml', columns=columns)
    assert c.thresholds.tolist()==[[20,25,30],[85]*3] and c.censored.tolist()==[[False]*3,[True]*3]
    refused(wide, 'nearest is', "'ABR_8khz'", procedure=tmp_path/'own.yaml')
    heard = pd.DataFrame(dict(frequency=[8,16,32], threshold=40))
    long = wide.drop(columns=list(columns.values())).merge(heard, how='cross')
    assert (read(long, procedure=tmp_path/'own.yaml').thresholds==40).all()

def test_a_model_that_takes_no_gaps_says_where_they_are(wild):
    source = open_source(f"table:{wild/'20c_blanks.csv'}", {}, cache=False)
    with pytest.raises(InputError, match='have empty cells.*factor_mixture'):
        fit_source(start_recipe('full_mixture', 'table', dict(k=2)), source)
