"`read_records` on everything a user can hand it: a cohort or an `InputError` that says what is wrong, nothing else."
import builtins, gzip, json, pickle, warnings
import numpy as np, pandas as pd, pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from impc_phenotypes.data.cohort import Cohort
from impc_phenotypes.core.errors import InputError, RunError
from impc_phenotypes.data.columns import column_map
from impc_phenotypes.data.records import read_records
from impc_phenotypes.core.tables import mend
from impc_phenotypes.core.files import write_table
from impc_phenotypes.data.schema import COLUMNS, REQUIRED
from impc_phenotypes.procedures.abr import IMPC_THRESHOLDS, THRESHOLDS

def export(n=12):
    "An invented export under IMPC's names."
    rng = np.random.default_rng(0)
    mice = pd.DataFrame({'specimen_id':[f'm{i:02}' for i in range(n)], 'phenotyping_center':['HMGU','JAX']*(n//2),
        'biological_sample_group':['control','experimental']*(n//2),
        'gene_symbol':[None,'Otof']*(n//2), 'sex':['female','male']*(n//2), 'age_in_weeks':14,
        'weight':rng.normal(25, 3, n).round(1), 'procedure_stable_id':'IMPC_ABR_002',
        'procedure_name':'Auditory Brain Stem Response', 'date_of_experiment':'2016-09-12T00:00:00Z',
        'genetic_background':'involves: C57BL/6N',
        'metadata_Equipment manufacturer':'TDT', 'metadata_Recording Environment':'booth (@ 37¬∞C)',
        'specimen_id.1':[f'm{i:02}' for i in range(n)]})
    return pd.concat([mice, pd.DataFrame(rng.integers(2, 15, (n, 6))*5., columns=list(IMPC_THRESHOLDS))], axis=1)

@pytest.fixture
def csv(tmp_path):
    def write(frame=None, name='abr.csv', **changes):
        frame = (export() if frame is None else frame).astype(object)
        for c,v in changes.items(): frame.loc[3, COLUMNS.impc.get(c, c)] = v
        frame.to_csv(tmp_path/name, index=False)
        return tmp_path/name
    return write

def refused(source, *words, **kw):
    with pytest.raises(InputError) as e: read_records(source, verbose=False, **kw)
    for w in words: assert w in str(e.value), f'{w!r} is not in: {e.value}'
    return str(e.value)

def accounts(cohort, n): assert len(cohort)+len(cohort.excluded)==n

# Good tables in every dress

@pytest.mark.parametrize('write', [
    lambda d,p: d.to_csv(p/'a.csv', index=False) or p/'a.csv',
    lambda d,p: d.to_csv(p/'a.csv.gz', index=False) or p/'a.csv.gz',
    lambda d,p: d.to_csv(p/'A.CSV', index=False, encoding='utf-8-sig') or p/'A.CSV',
    lambda d,p: d.to_csv(p/'a.csv', index=False, encoding='utf-16') or p/'a.csv',
    lambda d,p: d.to_csv(p/'a.csv', index=False, sep=';') or p/'a.csv',
    lambda d,p: d.to_csv(p/'a.csv', index=False, sep='\t') or p/'a.csv',
    lambda d,p: d.to_csv(p/'a.csv', index=False, lineterminator='\r\n', quoting=1) or p/'a.csv',
    lambda d,p: d.to_parquet(p/'a.parquet') or p/'a.parquet',
    lambda d,p: str(write_table(d, p/'a.csv')),
    lambda d,p: d,
    lambda d,p: d.set_index('specimen_id'),
    lambda d,p: d.sample(frac=1, axis=1, random_state=0),
    lambda d,p: d.rename(columns={i:c for c,i in COLUMNS.impc.items()}),
], ids=['csv','gz','bom','utf16','semicolon','tab','crlf','parquet','str','frame','index','shuffled','canonical'])
def test_one_cohort_from_every_form(tmp_path, write):
    want = read_records(export(), verbose=False)
    got = read_records(write(export(), tmp_path), verbose=False)
    pd.testing.assert_frame_equal(got.frame, want.frame)
    assert len(got)==12 and not len(got.excluded) and len(got.source['sha256'])==64

def test_names_and_types():
    f = read_records(export(), verbose=False).frame
    assert list(f.columns)==list(COLUMNS.index) and all(f[c].dtype==float for c in THRESHOLDS)
    assert (f.equipment_manufacturer[0]=='TDT' and f.gene_symbol[0] is None
        and str(f.date_of_experiment.dtype)=='datetime64[ns]')
    assert 'true_class' in read_records(export().assign(true_class='flat', mystery=1),
        verbose=False).frame and 'mystery' not in f

def test_truth_passes_through(csv):
    cohort = read_records(csv(export().assign(true_phenotype=[0,1]*6, true_class=['normal','flat']*6)), verbose=False)
    assert cohort.frame.true_phenotype.dtype==int and cohort.frame.true_class.tolist()==['normal','flat']*6

def test_old_encodings(csv, tmp_path):
    p = csv(genetic_background='C57BL/6N, Müller, 37°C')
    p.write_bytes(p.read_text(encoding='utf-8').replace('¬∞', '°').encode('cp1252'))
    cohort = read_records(p, verbose=False)
    assert cohort.frame.genetic_background[3]=='C57BL/6N, Müller, 37°C' and 'Windows-1252' in cohort.notes[0]

@pytest.mark.parametrize('bad', ['37¬∞C', '37Â°C', '37°C'])
def test_mojibake(csv, bad):
    assert read_records(csv(genetic_background=bad), verbose=False).frame.genetic_background[3]=='37°C'

@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(min_codepoint=0xa0, max_codepoint=0x2fff, categories=('L','S')), min_size=1, max_size=8))
def test_mend_undoes_mac_roman(text):
    try: broken = text.encode('utf-8').decode('mac_roman')
    except UnicodeError: return
    if broken.encode('mac_roman')==text.encode('utf-8') and text.isprintable(): assert mend(broken)==text

def test_report(csv, capsys):
    read_records(pd.concat([export(), export()[:2]]))
    said = capsys.readouterr().out
    assert ('12 mice (6 control, 6 experimental)' in said and '2 repeated identical rows dropped' in said
        and '2 of 14 rows left out' in said)
    read_records(csv(), verbose=False)
    assert capsys.readouterr().out==''

def test_blank_group_is_unknown(csv):
    cohort = read_records(csv(biological_sample_group=None), verbose=False)
    assert cohort.frame.biological_sample_group[3]=='unknown' and any('1 blank' in n for n in cohort.notes)

def test_few_tones_stay(csv):
    frame = export()
    frame.loc[2, list(IMPC_THRESHOLDS)] = np.nan
    assert len(read_records(csv(frame), verbose=False))==12

def test_optional_names_are_not_lost_silently():
    near = read_records(export().rename(
        columns={'Click-evoked ABR threshold':'Click-evoked ABR Threshold', 'gene_symbol':'gene_symbl'}),
        verbose=False)
    assert not near.frame.threshold_click.isna().all() and near.frame.gene_symbol.isna().all()
    assert any("'gene_symbl' was not used; is it `gene_symbol`" in n for n in near.notes)

def test_anndata(tmp_path):
    anndata = pytest.importorskip('anndata', reason='anndata is an optional extra')
    d = export()
    ad = anndata.AnnData(d[list(IMPC_THRESHOLDS)].to_numpy(),
        obs=d.drop(columns=[*IMPC_THRESHOLDS,'specimen_id.1','specimen_id']).set_axis(d.specimen_id.tolist()),
        var=pd.DataFrame(index=list(IMPC_THRESHOLDS)))
    ad.write_h5ad(tmp_path/'a.h5ad')
    want = read_records(d, verbose=False).frame
    for source in (ad, tmp_path/'a.h5ad'):
        got = read_records(source, verbose=False).frame
        pd.testing.assert_frame_equal(got, want)
    (tmp_path/'cut.h5ad').write_bytes((tmp_path/'a.h5ad').read_bytes()[:3000])
    refused(tmp_path/'cut.h5ad', 'cut.h5ad', 'H5AD')

def test_anndata_not_installed(tmp_path, monkeypatch):
    (tmp_path/'a.h5ad').write_bytes(b'\x89HDF\r\n\x1a\n')
    real = builtins.__import__
    def without(name, *args, **kw):
        if name=='anndata': raise ImportError(name)
        return real(name, *args, **kw)
    monkeypatch.setattr(builtins, '__import__', without)
    refused(tmp_path/'a.h5ad', 'pip install impc_phenotypes[anndata]')

# Wrong files

def test_wrong_files(tmp_path, csv):
    good = csv()
    refused(tmp_path/'abr.cvs', 'no such file', 'abr.csv')
    refused(tmp_path/'nowhere'/'abr.csv', 'does not exist')
    refused(tmp_path, 'a folder', 'abr.csv')
    for name in ('abr.xlsx','abr.txt','abr','abr.pkl','abr.json'): # what counts is the content
        (tmp_path/name).write_bytes(good.read_bytes())
        assert len(read_records(tmp_path/name, verbose=False))==12
    refused(7, 'int')
    refused('\0')

@pytest.mark.parametrize('name,content,words', [
    ('a.csv', b'', 'empty'), ('a.csv', b'\xef\xbb\xbf', 'empty'), ('a.csv', b'\n \n', 'empty'),
        ('a.csv.gz', gzip.compress(b'', mtime=0), 'empty'),
    ('a.csv', b'PK\x03\x04rest', 'Excel'), ('a.csv', pickle.dumps(export(2)), 'pickle'),
        ('a.csv', b'PAR1rest', 'Parquet'), ('a.csv', b'\x89HDF\r\n', 'HDF5'),
    ('a.csv', b'a,b\0\0\0,c', 'binary'), ('a.csv', b'<html><body>404</body></html>', 'HTML'),
        ('a.csv', b'{"response": {}}', 'JSON'),
    ('a.csv.gz', gzip.compress(b'specimen_id\n'*500, mtime=0)[:40], 'damaged or cut'),
        ('a.csv.gz', gzip.compress(pickle.dumps(1), mtime=0), 'pickle'),
    ('a.parquet', b'PAR1 cut', 'damaged'), ('a.parquet', b'specimen_id,weight\n', 'missing'),
        ('a.h5ad', b'a,b\n', 'missing'),
    ('a.csv', b'just a sentence about mice', 'missing'), ('a.csv', b'"unclosed\n1,2\n', 'a.csv')])
def test_wrong_content(tmp_path, name, content, words):
    (tmp_path/name).write_bytes(content)
    refused(tmp_path/name, name, words)

def test_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self): return (open, (str(tmp_path/'ran'), 'w'))
    for name in ('a.csv','a.parquet','a.h5ad','a.csv.gz'):
        (tmp_path/name).write_bytes(pickle.dumps(Bomb()))
        refused(tmp_path/name, name)
    assert not (tmp_path/'ran').exists()

def test_a_table_may_begin_with_pk(csv, tmp_path):
    own = export().rename(columns=dict(specimen_id='PK'))
    own[['PK', *own.columns.drop('PK')]].to_csv(tmp_path/'pk.csv', index=False)
    assert len(read_records(tmp_path/'pk.csv', columns=dict(specimen_id='PK'), verbose=False))==12

def test_header_only(csv): refused(csv(export()[:0]), 'no rows')

# Missing and misspelt columns

@pytest.mark.parametrize('name', REQUIRED)
def test_each_required_column(csv, name):
    impc = COLUMNS.impc[name]
    refused(csv(export().drop(columns=impc)), 'abr.csv', f'`{name}`', 'missing', 'Found')
    wrong = impc.replace('e', 'ee', 1)
    refused(csv(export().rename(columns={impc:wrong})), f"nearest is '{wrong}'", '--columns')

def test_other_procedure(csv):
    other = export().drop(columns=list(IMPC_THRESHOLDS)).assign(procedure_stable_id='IMPC_DXA_001',
        procedure_name='Body Composition', **{'Fat mass':4.})
    refused(csv(other), 'IMPC_DXA_001', 'auditory brainstem')
    refused(csv(other.drop(columns=['procedure_stable_id'])), 'Body Composition')
    refused(csv(export().assign(procedure_stable_id='IMPC_DXA_001')), 'IMPC_DXA_001')
    refused(csv(procedure_stable_id='IMPC_DXA_001'), "specimen_id 'm03'", 'another procedure')
    cohort = read_records(csv(procedure_stable_id='IMPC_DXA_001'), on_bad_rows='drop', verbose=False)
    assert cohort.excluded.specimen_id.tolist()==['m03']
    accounts(cohort, 12)

def test_long_form(csv):
    refused(csv(export()[['specimen_id','phenotyping_center','biological_sample_group']].assign(
        parameter_stable_id='IMPC_ABR_004_001', data_point=20.)), 'pivot_specimens')

@pytest.mark.parametrize('gone', [IMPC_THRESHOLDS[0], IMPC_THRESHOLDS[3]])
def test_a_wide_export_without_a_tone(csv, gone):
    wide = export().assign(parameter_stable_id='IMPC_ABR_004_001')
    said = refused(csv(wide.drop(columns=gone)), 'abr.csv', f"'{gone}') is missing", '--columns',
        '1 of 8 needed columns')
    assert 'pivot_specimens' not in said
    said = refused(csv(wide.rename(columns={gone:gone.replace('Threshold', 'Treshold')})),
        f"nearest is '{gone.replace('Threshold', 'Treshold')}'", '--columns')
    assert 'pivot_specimens' not in said

def test_two_columns_for_one(csv):
    same = export().assign(threshold_6kHz=lambda d: d[IMPC_THRESHOLDS[0]])
    assert len(read_records(csv(same), verbose=False))==12
    same.loc[1,'threshold_6kHz'] = 99.
    refused(csv(same), 'disagree', 'threshold_6kHz')
    twin = pd.concat([export(), export()[['weight']]+1], axis=1)
    refused(twin, 'disagree')

# Bad values

@pytest.mark.parametrize('column,value,words', [
    ('threshold_6kHz', 'loud', 'is not a number'), ('threshold_click', 'ND', 'is not a number'),
        ('threshold_30kHz', '12,5', 'decimal comma'), ('threshold_30kHz', '<20', 'is not a number'),
    ('threshold_12kHz', 131, 'outside -20…130'), ('threshold_12kHz', -21, 'outside'),
        ('threshold_18kHz', '-inf', 'is not a number'), ('threshold_18kHz', 1e300, 'outside'),
    ('biological_sample_group', 'strange', 'control, experimental, unknown'),
        ('age_in_weeks', 'fourteen', 'is not a number'), ('age_in_weeks', -1, 'not positive'),
    ('weight', '25 g', 'is not a number'), ('weight', 0, 'not positive'), ('phenotyping_center', '', 'is missing'),
        ('phenotyping_center', 'NA', 'is missing')])
def test_bad_values(csv, column, value, words):
    p = csv(**{column:value})
    said = refused(p, 'abr.csv', '1 bad values in 1 of 12 rows', 'row 5', "specimen_id 'm03'", COLUMNS.impc[column],
        words)
    asked = column=='biological_sample_group' or column.startswith('threshold') and value!='12,5'
    assert ('--on-bad-rows drop' in said)!=asked # what may be a deaf mouse or a knockout is asked about
    cohort = read_records(p, on_bad_rows='drop', verbose=False)
    assert (cohort.excluded.specimen_id.tolist()==['m03'] and COLUMNS.impc[column] in cohort.excluded.reason[0]
        and 'row 5' in cohort.excluded.reason[0])
    accounts(cohort, 12)

def test_limits_are_valid(csv):
    assert len(read_records(csv(threshold_6kHz=-20, threshold_12kHz=130, weight=None, age_in_weeks=0),
        verbose=False))==12

def test_missing_specimen(csv):
    p = csv(specimen_id='')
    refused(p, 'row 5', "'specimen_id'", 'is missing')
    accounts(read_records(p, on_bad_rows='drop', verbose=False), 12)

def test_decimal_commas_throughout_need_another_export(csv):
    tones = {t:export()[t].map('{:.1f}'.format).str.replace('.', ',') for t in IMPC_THRESHOLDS}
    said = refused(csv(export().assign(**tones)), 'decimal comma', IMPC_THRESHOLDS[0], 'Write 35.0, not 35,0',
        '72 numbers')
    assert 'is not a number' not in said and 'drop' not in said
    refused(csv(export().assign(**tones)), 'none of the 12 rows', 'decimal comma', on_bad_rows='drop')

def test_ten_of_many(csv):
    frame = export(40).astype(object)
    frame['weight'] = 'heavy'
    said = refused(csv(frame), '40 bad values in 40 of 40 rows', '… and 30 more')
    assert said.count('specimen_id ')==10
    refused(csv(frame), 'none of the 40 rows', on_bad_rows='drop')

def test_ragged_rows(csv):
    p = csv()
    lines = p.read_text().splitlines()
    lines.insert(4, 'm98,HMGU')
    lines.append(lines[-1].replace('m11', 'm99')+',7,8')
    p.write_text('\n'.join(lines))
    said = refused(p, 'row 5', 'row 15', 'columns instead of 20', '2 rows could not be read', 'quote cells')
    assert 'drop' not in said
    cohort = read_records(p, on_bad_rows='drop', verbose=False)
    assert len(cohort)==12
    assert cohort.notes[0].startswith('warning: 2 rows could not be read') and 'row 15' in cohort.notes[0]
    accounts(cohort, 14)

def test_unreadable_dates_are_noted(csv):
    cohort = read_records(csv(date_of_experiment='12/09/2016'), verbose=False)
    assert cohort.frame.date_of_experiment.isna().sum()==1 and any('YYYY-MM-DD' in n for n in cohort.notes)

def test_bad_choice(csv): refused(csv(), "'error' or 'drop'", on_bad_rows='ignore')

# The same specimen twice

def test_duplicates(csv):
    d = export()
    twice = read_records(csv(pd.concat([d, d[:2]])), verbose=False)
    assert len(twice)==12 and twice.excluded.specimen_id.tolist()==['m00',
        'm01'] and any('2 repeated' in n for n in twice.notes)
    accounts(twice, 14)
    other = read_records(csv(pd.concat([d.assign(id=1), d[:2].assign(id=2)])), verbose=False)
    accounts(other, 14)
    p = csv(pd.concat([d, d[:1], d[:2].assign(weight=99.)]))
    refused(p, '2 specimens', 'm00, m01', 'different values')
    kept = read_records(p, on_bad_rows='drop', verbose=False)
    assert len(kept)==10 and sorted(kept.excluded.specimen_id)==['m00','m00','m00','m01','m01']
    accounts(kept, 15)

# Column maps

def test_column_maps(tmp_path, csv):
    own = export().rename(columns={i:f'thr_{i[:5]}' for i in IMPC_THRESHOLDS}).rename(columns={'specimen_id':'mouse'})
    wanted = dict(specimen_id='mouse', **{i:f'thr_{i[:5]}' for i in IMPC_THRESHOLDS})
    (tmp_path/'map.yaml').write_text(json.dumps(wanted))
    for m in (wanted, tmp_path/'map.yaml', str(tmp_path/'map.yaml')):
        assert read_records(csv(own), columns=m, verbose=False).frame.specimen_id[3]=='m03'
    over = read_records(csv(export().assign(mouse=lambda d: 'x'+d.specimen_id)), columns=dict(specimen_id='mouse'),
        verbose=False)
    assert over.frame.specimen_id[0]=='xm00'
    refused(csv(), 'did you mean `weight`', columns=dict(weigth='weight'))
    refused(csv(), "'weigth'", "did you mean 'weight'", columns=dict(weight='weigth'))
    refused(csv(), 'given twice', columns={'threshold_6kHz':'weight', IMPC_THRESHOLDS[0]:'weight'})
    refused(csv(), 'no.yaml', columns=tmp_path/'no.yaml')
    for text in ('- a\n- b', '{unclosed', 'specimen_id: [a]', '\0',
            'weight: !!python/object/apply:os.system ["true"]'):
        (tmp_path/'bad.yaml').write_text(text)
        refused(csv(), columns=tmp_path/'bad.yaml')
    assert column_map(None)=={}

# Writing

def test_full_disk_leaves_the_old_file(tmp_path):
    resource = pytest.importorskip('resource', reason='no file size limit on this system')
    out = write_table(export(), tmp_path/'a.csv')
    before,limit = out.read_bytes(),resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limit[1]))
    try:
        for name in ('a.csv','b.parquet','c.csv.gz'):
            with pytest.raises(RunError, match='could not be written'):
                write_table(pd.DataFrame(np.random.default_rng(0).random((2000, 5)).astype(str)).rename(columns=str),
                    tmp_path/name)
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert out.read_bytes()==before and [p.name for p in tmp_path.iterdir()]==['a.csv']

# Anything at all

_cells = st.one_of(st.none(), st.text(max_size=6), st.floats(), st.integers(-10**25, 10**25),
    st.sampled_from(['NA','control','m01','1e5','0x10','"',';','\n','2016-02-30','é¬∞']))

@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_random_cells(tmp_path, data):
    frame = export(4).astype(object)
    for _ in range(data.draw(st.integers(1, 5))):
        frame.iat[data.draw(st.integers(0, 3)), data.draw(st.integers(0, frame.shape[1]-1))] = data.draw(_cells)
    how = data.draw(st.sampled_from(['error','drop']))
    frame.to_csv(tmp_path/'a.csv', index=False, encoding='utf-8', errors='replace')
    for source in (frame, tmp_path/'a.csv'):
        try: cohort = read_records(source, on_bad_rows=how, verbose=False)
        except InputError: continue
        assert isinstance(cohort,
            Cohort) and cohort.frame.specimen_id.is_unique and cohort.frame.specimen_id.notna().all()
        assert cohort.frame.biological_sample_group.isin(['control','experimental','unknown']).all()
        t = cohort.thresholds[cohort.mask]
        assert ((t>=-20) & (t<=130)).all()
        accounts(cohort, cohort.source['rows'])

@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_random_bytes(tmp_path, data):
    raw = bytearray(export(4).to_csv(index=False).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at:at+data.draw(st.integers(0, 30))] = data.draw(
            st.one_of(st.binary(max_size=8), st.sampled_from([b',',b'"',b'\n',b'\r',b'\xff',b'\0'])))
    name = data.draw(st.sampled_from(['a.csv','a.csv.gz']))
    (tmp_path/name).write_bytes(gzip.compress(bytes(raw), mtime=0) if name.endswith('gz') else bytes(raw))
    try: cohort = read_records(tmp_path/name, on_bad_rows=data.draw(st.sampled_from(['error','drop'])), verbose=False)
    except InputError: return
    accounts(cohort, cohort.source['rows'])

@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_random_binary_files(tmp_path, data):
    p = tmp_path/'a.parquet'
    export(4).to_parquet(p)
    raw = bytearray(p.read_bytes())
    at = data.draw(st.integers(0, len(raw)-1))
    raw[at:at+data.draw(st.integers(1, 9))] = data.draw(st.binary(max_size=9))
    p.write_bytes(bytes(raw[:data.draw(st.integers(1, len(raw)))]) if data.draw(st.booleans()) else bytes(raw))
    try: read_records(p, verbose=False)
    except InputError: pass

@pytest.mark.parametrize('value', [[1, 2], {'a':1}, object(), 1+2j, b'bytes', True, pd.Timestamp('2016-01-01'), pd.NA,
    np.array([1.])])
def test_odd_objects(value):
    for c in range(export().shape[1]):
        frame = export().astype(object)
        frame.iat[1,c] = value
        try: read_records(frame, verbose=False)
        except InputError: pass

@pytest.mark.parametrize('frame', [pd.DataFrame(), pd.DataFrame(index=range(3)), export().T,
    export().set_axis(range(20), axis=1), pd.concat([export()]*2, axis=1),
    export().convert_dtypes(), export().astype('category')],
        ids=['empty','no columns','transposed','numbers','doubled','nullable','categories'])
def test_odd_frames(frame):
    try: assert len(read_records(frame, verbose=False))==12
    except InputError: pass

def test_no_warnings(csv):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        read_records(csv(), verbose=False)
        for p in (csv(weight='heavy'), csv(pd.concat([export(), export()[:2]]))):
            read_records(p, on_bad_rows='drop', verbose=False)

# Real records

def test_real_records(data_dir, root):
    a = read_records(data_dir/'abr_records.csv', verbose=False)
    b = read_records(data_dir/'abr_thresholds.csv.gz', columns=root/'impc_phenotypes/config/columns_thresholds.yaml',
        verbose=False)
    accounts(a, 854); accounts(b, 34_340)
    assert a.is_control.sum()==150 and a.frame.gene_symbol.nunique()==442 and a.frame.phenotyping_center.nunique()==11
    assert (b.frame.biological_sample_group.value_counts()[['experimental','control','unknown']]==[15_850, 5_588,
        12_902]).all()
    refused(data_dir/'abr_thresholds.csv.gz', "nearest is 'thr_6kHz'")
    refused(data_dir/'gene_top_level_mp.csv.gz', '`specimen_id`')
