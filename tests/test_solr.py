"The download against a real server on the loopback that speaks Solr's format and misbehaves."
import json, os, re, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
import numpy as np, pandas as pd, pyarrow.parquet as pq, pytest
from impc_phenotypes.core.errors import InputError, RunError
from impc_phenotypes.data.records import read_records
from impc_phenotypes.procedures.abr import IMPC_THRESHOLDS, PARAMETERS
from impc_phenotypes.data.solr import QUERY, download_cohort, pivot_specimens

def documents(mice=30, seed=0):
    "Invented measurements in the form of IMPC's `experiment` core; every third mouse has no click."
    rng = np.random.default_rng(seed)
    for m in range(mice):
        control = m%3==0
        about = dict(specimen_id=f'mouse{m:04}', phenotyping_center='HMGU', production_center='HMGU',
            biological_sample_group='control' if control else 'experimental',
            sex='female' if m%2 else 'male', zygosity='homozygote', age_in_days=98, age_in_weeks=14, weight=22.4,
            pipeline_name='German Mouse Clinic', pipeline_stable_id='HMGU_001',
            procedure_group='IMPC_ABR', procedure_name='Auditory Brain Stem Response',
            procedure_stable_id='IMPC_ABR_002', project_name='Helmholtz GMC',
            date_of_birth='2016-06-06T00:00:00Z', date_of_experiment='2016-09-12T00:00:00Z',
            observation_type='unidimensional',
            metadata=['Equipment manufacturer = TDT (Tucker Davis Technologies)', 'Equipment model = RP2.1, RA4PA',
            'Recording Environment = booth (@ 37°C)', 'Anesthetic agent 2 ='])
        if not control:
            about |= dict(gene_symbol=f'Gene{m//3}', gene_accession_id=f'MGI:{m//3}',
                allele_symbol=f'Gene{m//3}<em1(IMPC)Abc>')
        for tone,parameter in PARAMETERS.items():
            if tone=='click' and m%3==0: continue
            yield dict(about, id=f'{rng.integers(1<<60):016x}', parameter_stable_id=parameter,
                parameter_name=f'{tone}-evoked ABR Threshold', data_point=float(rng.integers(2, 15)*5), _version_=1)
        yield dict(about, id=f'w{m}', parameter_stable_id='IMPC_ABR_014_001', data_point=1.)

class Server:
    "A Solr server whose `trouble(n, start)` may return what to do instead of answering call number n."
    def __init__(self, docs=None, trouble=lambda n, start: None):
        self.docs,self.trouble,self.starts,self.lock = list(documents() if docs is None
            else docs),trouble,[],threading.Lock()
        outer = self
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self): outer.answer(self)
            def log_message(self, *args): pass
        self.httpd = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.httpd.daemon_threads = True
        threading.Thread(target=self.httpd.serve_forever, kwargs=dict(poll_interval=.02), daemon=True).start()
    @property
    def url(self): return f'http://127.0.0.1:{self.httpd.server_port}/solr'
    def __enter__(self): return self
    def __exit__(self, *args):
        self.httpd.shutdown()
        self.httpd.server_close()

    def select(self, query, fields, start, rows):
        ids = re.findall(r'IMPC_ABR_\d+_\d+', query)
        found = sorted((d for d in self.docs if d['parameter_stable_id'] in ids),
            key=lambda d: (d.get('specimen_id', ''), d['id']))
        shown = [{k:v for k,v in d.items() if k in fields} for d in found[start:start+rows]]
        return dict(responseHeader=dict(status=0, QTime=1),
            response=dict(numFound=len(found), start=start, docs=shown))

    def answer(self, handler):
        split = urlsplit(handler.path)
        asked = {k:v[0] for k,v in parse_qs(split.query).items()}
        if split.path!='/solr/experiment/select':
            return self.send(handler, 404, dict(error=dict(msg='no such core', code=404)))
        if asked.get('sort')!='specimen_id asc,id asc' or asked.get('wt')!='json':
            return self.send(handler, 400, dict(error=dict(msg='unexpected request', code=400)))
        with self.lock:
            start = int(asked['start'])
            self.starts.append(start)
            do = self.trouble(len(self.starts), start)
        body = self.select(asked['q'], asked['fl'].split(','), start, int(asked['rows']))
        if do is None: return self.send(handler, 200, body)
        if isinstance(do, int): return self.send(handler, do, dict(error=dict(msg='out of order', code=do)))
        if do=='late': return time.sleep(.6)
        if do=='reset': return handler.connection.close()
        if do=='html': return self.send(handler, 200, b'<html>please wait</html>')
        if do=='cut': return self.send(handler, 200, json.dumps(body).encode()[:-200])
        if do=='short': return self.send(handler, 200, json.dumps(body).encode()[:-200], length=10**6)
        if do=='empty': return self.send(handler, 200, dict(response=dict(body['response'], docs=[])))
        self.send(handler, 200, do(body))

    def send(self, handler, status, body, length=None):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header('Content-Length', str(length or len(raw)))
        if status in (429, 503): handler.send_header('Retry-After', '0' if status==503 else 'soon')
        handler.end_headers()
        handler.wfile.write(raw)

@pytest.fixture(autouse=True)
def no_proxy(monkeypatch): monkeypatch.setenv('no_proxy', '127.0.0.1')

def fetch(server, out, **kw):
    return download_cohort(out, **{**dict(base_url=server.url, rows=20, backoff=.005, timeout=.3, retries=3,
        verbose=False), **kw})
def leftovers(folder): return sorted(p.name for p in folder.iterdir())
N = 170 # documents of the six parameters: 30 mice × 6 less 10 clicks

@pytest.fixture(scope='module')
def want(tmp_path_factory):
    os.environ['no_proxy'] = '127.0.0.1'
    with Server() as s:
        return read_records(fetch(s, tmp_path_factory.mktemp('want')/'abr.parquet'), verbose=False).frame

def test_a_quiet_download(tmp_path, want, capsys):
    with Server() as s: out = fetch(s, tmp_path/'abr.parquet', release='22.1', verbose=True)
    assert s.starts==list(range(0, N, 20)) and leftovers(tmp_path)==['abr.parquet']
    assert '30 mice from 170 documents' in (said := capsys.readouterr()).out and said.err==''
    facts = json.loads(pq.read_schema(out).metadata[b'impc_phenotypes'])
    assert (facts['release']=='22.1' and facts['query']==QUERY and facts['base_url']==s.url and facts['documents']==N
        and facts['mice']==30 and facts['time'])
    cohort = read_records(out, verbose=False)
    assert cohort.source['release']=='22.1' and cohort.is_control.sum()==10 and cohort.mask.sum()==N
    assert (cohort.frame.equipment_model[0]=='RP2.1, RA4PA' and cohort.frame.gene_symbol.nunique()==10
        and cohort.frame.age_in_weeks[0]==14)
    raw = pd.read_parquet(out)
    assert set(IMPC_THRESHOLDS)<=set(raw) and raw['metadata_Recording Environment'][0]=='booth (@ 37°C)'
    truth = pd.DataFrame([d for d in documents() if d['parameter_stable_id']!='IMPC_ABR_014_001']).pivot(
        index='specimen_id', columns='parameter_stable_id', values='data_point')[list(PARAMETERS.values())]
    np.testing.assert_array_equal(cohort.thresholds, truth.to_numpy())

@pytest.mark.parametrize('trouble', [500, 502, 503, 429, 'late', 'reset', 'html', 'cut', 'short', 'empty',
    lambda b: [], lambda b: dict(response=None), lambda b: dict(response=dict(numFound='x', docs=[]))],
    ids=['500','502','503','429','late','reset','html','cut json','cut body','no documents','list','null','no count'])
def test_passing_trouble(tmp_path, want, trouble):
    with Server(trouble=lambda n, start: trouble if n in (1, 4, 5, 9) else None) as s:
        out = fetch(s, tmp_path/'abr.parquet')
    pd.testing.assert_frame_equal(read_records(out, verbose=False).frame, want)
    assert len(s.starts)==13 and leftovers(tmp_path)==['abr.parquet']

@pytest.mark.parametrize('trouble,words',
    [(500, 'HTTP 500'), ('late', 'timed out'), ('cut', 'gave up at document 60'), ('reset', 'gave up'),
    ('empty', '`rows`')])
def test_lasting_trouble_then_resume(tmp_path, want, trouble, words):
    out = tmp_path/'abr.parquet'
    with Server() as s:
        s.trouble = lambda n, start: trouble if start>=60 else None
        with pytest.raises(RunError) as e: fetch(s, out)
        assert (words in str(e.value) and str(out) in str(e.value) and 'the same command goes on' in str(e.value)
            and '4 attempts' in str(e.value))
        assert leftovers(tmp_path)==['abr.parquet.parts']
        assert leftovers(tmp_path/'abr.parquet.parts')==['manifest.json', *[f'page_{i:06d}.parquet' for i in range(3)]]
        s.trouble,s.starts = (lambda n, start: None),[]
        fetch(s, out)
        assert s.starts==list(range(60, N, 20))
    pd.testing.assert_frame_equal(read_records(out, verbose=False).frame, want)
    assert leftovers(tmp_path)==['abr.parquet']

def test_killed_then_resumed(tmp_path, want):
    out = tmp_path/'abr.parquet'
    with Server() as s:
        s.trouble = lambda n, start: time.sleep(30) if start>=80 else None
        code = (f"from impc_phenotypes.data.solr import download_cohort; download_cohort({str(out)!r}, "
            f"base_url={s.url!r}, rows=20)")
        p = subprocess.Popen([sys.executable, '-c', code])
        end = time.time()+60
        while 80 not in s.starts and time.time()<end: time.sleep(.05)
        p.kill()
        p.wait()
        assert (leftovers(tmp_path)==['abr.parquet.parts']
            and len(list((tmp_path/'abr.parquet.parts').glob('page_*')))==4)
    with Server() as s:
        os.environ['no_proxy'] = '127.0.0.1'
        manifest = tmp_path/'abr.parquet.parts/manifest.json'
        kept = json.loads(manifest.read_text())
        manifest.write_text(json.dumps(dict(kept, request=dict(kept['request'], base_url=s.url))))
        fetch(s, out)
        assert s.starts==list(range(80, N, 20))
    pd.testing.assert_frame_equal(read_records(out, verbose=False).frame, want)

def test_damaged_page_is_fetched_again(tmp_path, want):
    out,parts = tmp_path/'abr.parquet',tmp_path/'abr.parquet.parts'
    with Server(trouble=lambda n, start: 500 if start>=100 else None) as s:
        with pytest.raises(RunError): fetch(s, out, retries=0)
        page = parts/'page_000002.parquet'
        page.write_bytes(page.read_bytes()[:50])
        (parts/'.page_000009.parquet.1.part').write_bytes(b'half')
        s.trouble,s.starts = (lambda n, start: None),[]
        fetch(s, out)
        assert s.starts==[40, 100, 120, 140, 160]
    pd.testing.assert_frame_equal(read_records(out, verbose=False).frame, want)

def test_not_resumed_on_request(tmp_path):
    out = tmp_path/'abr.parquet'
    with Server(trouble=lambda n, start: 500 if start>=100 else None) as s:
        with pytest.raises(RunError): fetch(s, out, retries=0)
        with pytest.raises(InputError, match='different rows'): fetch(s, out, rows=30)
        s.trouble,s.starts = (lambda n, start: None),[]
        fetch(s, out, resume=False, rows=30)
        assert s.starts==list(range(0, N, 30))

def test_growing_index_starts_again(tmp_path, capsys):
    late = list(documents(31))[-7:]
    with Server() as s:
        def grow(n, start):
            if n==5: s.docs += late
        s.trouble = grow
        out = fetch(s, tmp_path/'abr.parquet', verbose=True)
        assert s.starts[:5]==[0, 20, 40, 60, 80] and s.starts[5:]==list(range(0, N+5, 20))
    assert '170 documents became 175' in capsys.readouterr().out
    cohort = read_records(out, verbose=False)
    assert len(cohort)==31 and 'became 175' in cohort.source['notes'][0]

def test_grown_between_two_attempts(tmp_path):
    with Server(trouble=lambda n, start: 500 if start>=60 else None) as s:
        with pytest.raises(RunError): fetch(s, tmp_path/'abr.parquet', retries=0)
        s.trouble = lambda n, start: None
        s.docs += list(documents(31))[-7:]
        assert len(read_records(fetch(s, tmp_path/'abr.parquet'), verbose=False))==31

def test_restless_index_is_refused(tmp_path):
    with Server() as s:
        s.trouble = lambda n, start: s.docs.append(dict(s.docs[0], id=f'new{n}'))
        with pytest.raises(RunError, match='keeps changing'): fetch(s, tmp_path/'abr.parquet')
    assert not (tmp_path/'abr.parquet').exists() and len(s.starts)<=6

def test_shifted_pages_are_noticed(tmp_path):
    "As many documents come as go: the count stands, the pages do not fit."
    with Server() as s:
        def swap(n, start):
            if n==4:
                s.docs = [dict(d, specimen_id='a', id='a'+d['id']) if d['specimen_id']=='mouse0029' else d
                    for d in s.docs]
        s.trouble = swap
        out = fetch(s, tmp_path/'abr.parquet')
        cohort = read_records(out, verbose=False)
        assert (len(s.starts)==18 and cohort.frame.specimen_id[0]=='a'
            and 'different ones came' in cohort.source['notes'][0])

@pytest.mark.parametrize('name', ['phenotyping_center','biological_sample_group','specimen_id','data_point',
    'parameter_stable_id','id'])
def test_missing_field(tmp_path, name):
    def without(body):
        for d in body['response']['docs']: d.pop(name, None)
        return body
    with Server(trouble=lambda n, start: without) as s:
        with pytest.raises(RunError, match=f'`{name}`'): fetch(s, tmp_path/'abr.parquet')
    assert not (tmp_path/'abr.parquet').exists() and len(s.starts)==1

def test_missing_optional_field_is_reported(tmp_path):
    with Server([{k:v for k,v in d.items() if k not in ('weight','metadata','allele_symbol')}
            for d in documents()]) as s:
        out = fetch(s, tmp_path/'abr.parquet')
    cohort = read_records(out, verbose=False)
    assert cohort.frame.weight.isna().all() and any('`weight`' in n for n in cohort.source['notes'])

def test_extra_fields(tmp_path):
    with Server() as s:
        assert 'parameter_name' in pd.read_parquet(fetch(s, tmp_path/'a.parquet', fields=('parameter_name',)))
        with pytest.raises(InputError, match='`paramter_name`'):
            fetch(s, tmp_path/'b.parquet', fields=('paramter_name',))

def test_single_documents_without_value(tmp_path):
    docs = list(documents())
    docs[0].pop('data_point')
    docs[1]['data_point'] = 'no response'
    docs[9].pop('specimen_id')
    with Server(docs) as s: out = fetch(s, tmp_path/'abr.parquet')
    cohort = read_records(out, verbose=False)
    assert cohort.mask.sum()==N-3 and any('3 documents without specimen or value' in n for n in cohort.source['notes'])

def test_repeated_measurements(tmp_path):
    docs = list(documents())
    docs += [dict(docs[0], id='new', data_point=95., date_of_experiment='2017-01-01T00:00:00Z'),
        dict(docs[1], id='old', data_point=95., date_of_experiment='2015-01-01T00:00:00Z')]
    with Server(docs) as s: out = fetch(s, tmp_path/'abr.parquet')
    cohort = read_records(out, verbose=False)
    assert cohort.thresholds[0,0]==95 and cohort.thresholds[0,
        1]==docs[1]['data_point'] and any('2 repeated' in n for n in cohort.source['notes'])

def test_refusals(tmp_path):
    with Server() as s:
        with pytest.raises(RunError, match='HTTP 404 .no such core.'): fetch(s, tmp_path/'a.parquet', core='experimnt')
        with pytest.raises(InputError, match='no document matches'):
            fetch(s, tmp_path/'a.parquet', query='parameter_stable_id:IMPC_DXA_001_001')
        s.trouble = lambda n, start: 400
        with pytest.raises(RunError, match='out of order'): fetch(s, tmp_path/'b.parquet')
        before = len(s.starts)
        (tmp_path/'old.parquet').write_bytes(b'earlier')
        for out,kw,words in (('old.parquet', {}, 'stands there already'), ('a.csv', {}, '.parquet'),
                ('c.parquet', dict(base_url='ebi.ac.uk'), 'http://'), ('c.parquet', dict(rows=0), '`rows`')):
            with pytest.raises(InputError, match=words): fetch(s, tmp_path/out, **kw)
        assert len(s.starts)==before and (tmp_path/'old.parquet').read_bytes()==b'earlier'

def test_a_failure_leaves_the_old_file(tmp_path):
    (tmp_path/'abr.parquet').write_bytes(b'earlier')
    with Server(trouble=lambda n, start: 500 if start>40 else None) as s:
        with pytest.raises(RunError): fetch(s, tmp_path/'abr.parquet', overwrite=True, retries=1)
        assert (tmp_path/'abr.parquet').read_bytes()==b'earlier'
        s.trouble = lambda n, start: None
        assert len(read_records(fetch(s, tmp_path/'abr.parquet', overwrite=True), verbose=False))==30

def test_nobody_listens(tmp_path):
    with Server() as s: pass
    with pytest.raises(RunError, match='gave up at document 0'): fetch(s, tmp_path/'abr.parquet', retries=1)

def test_retry_after_is_heeded(tmp_path):
    with Server(trouble=lambda n, start: 503 if n==1 else None) as s:
        start = time.time()
        fetch(s, tmp_path/'abr.parquet', backoff=5)
        assert time.time()-start<3

def test_pivot_of_the_stored_form():
    frame,notes = pivot_specimens(pd.DataFrame(documents()))
    assert len(frame)==30 and not notes and frame[IMPC_THRESHOLDS[5]].isna().sum()==10
    assert len(read_records(frame, verbose=False))==30

def test_of_three_ages_the_youngest_stays():
    docs = pd.DataFrame(documents(4))
    aged = lambda s,v,d: d.assign(id=d.id.astype(str)+s, life_stage_name=s, data_point=v)
    odd = np.arange(len(docs))%2==0 # the late adult documents are of other tones, in part
    frame,notes = pivot_specimens(pd.concat([aged('Middle aged adult', 40., docs[odd]), aged('Late adult', 60., docs)]))
    assert set(frame[list(IMPC_THRESHOLDS)].stack().dropna())=={40.}
    assert any('measured again as Late adult' in n for n in notes)
    assert any('Middle aged adult only and stay' in n for n in notes)
