"`impc-phenotypes procedures`: list, show, check, draft; bad input gets one message and exit code 2."
import sys
import pandas as pd, pytest
from impc_phenotypes.data.draft import draft_procedure
from impc_phenotypes.procedures.procedure import read_procedure
from impc_phenotypes.procedures.shipped import SHIPPED, shipped, shipped_file

@pytest.fixture
def told(capsys):
    "A command in this process: (exit code, standard output, standard error)."
    from impc_phenotypes.cli.main import main
    def run(*argv):
        try: main(['procedures', *map(str, argv)]); code = 0
        except SystemExit as e: code = e.code or 0
        out,err = capsys.readouterr()
        assert 'Traceback' not in err
        return code,out,err
    return run

@pytest.fixture
def table(tmp_path):
    "Three measurements, one with a sign for what is missing, beside what is none."
    n = 40
    t = pd.DataFrame({'Mouse ID':range(100, 100+n), 'Row':range(n), 'Sex':['f','m']*(n//2),
        'Weight':[20+i/7 for i in range(n)], 'Fat %':[10+i/3 for i in range(n)], 'Fat-%':[11+i/5 for i in range(n)],
        '8 "kg":':[str(i/9) for i in range(n-2)]+['-','-'],
        'Eye':['normal','small']*(n//2), 'Yes':[0,1]*(n//2)})
    t.to_csv(tmp_path/'Fat & lean.csv', index=False)
    return tmp_path/'Fat & lean.csv'

def test_all_are_listed_and_shown(told):
    code,out,err = told('list')
    assert code == 0 and not err and all(n in out for n in ('abr', *SHIPPED))
    for n in SHIPPED:
        code,out,_ = told('show', n)
        assert code == 0 and all(p.id in out and p.unit in out for p in shipped(n).parameters)
    assert told('show', shipped_file('dxa'))[1] == told('show', 'dxa')[1]

def test_a_plug_in_that_cannot_be_loaded_does_not_hide_the_others(told, tmp_path, monkeypatch):
    info = tmp_path/'broken-0.1.dist-info'
    info.mkdir()
    (info/'METADATA').write_text('Metadata-Version: 2.1\nName: broken\nVersion: 0.1\n')
    (info/'entry_points.txt').write_text('[impc_phenotypes.procedures]\nbroken = not_there:X\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    code,out,err = told('list')
    assert code == 0 and 'dxa' in out and 'install that package again' in err

def test_shipped_files_pass_the_check(told):
    for n in SHIPPED:
        code,_,err = told('check', shipped_file(n))
        assert code == 0 and f'{n}, {len(shipped(n))} parameter' in err

def test_listing_reads_no_torch():
    import subprocess
    said = subprocess.run([sys.executable, '-c', 'import sys\nfrom impc_phenotypes.cli.main import main\n'
        'try: main(["procedures", "show", "dxa"])\nexcept SystemExit: pass\nprint("torch" in sys.modules)'],
        capture_output=True, text=True)
    assert said.stdout.splitlines()[-1] == 'False', said.stderr

def test_a_draft_is_refused_until_it_has_units(told, table, tmp_path):
    file = tmp_path/'new'/'mine.yaml'
    code,out,err = told('draft', table, '--out', file)
    assert code == 0 and out.strip() == str(file) and 'units to write: 3' in err
    for argv in (('check', file), ('show', file)):
        code,out,err = told(*argv)
        assert (code, out) == (2, '') and 'mine.yaml' in err and '`unit` is `?`' in err and 'write the unit' in err
    file.write_text(file.read_text(encoding='utf-8').replace('unit: "?"', 'unit: g'), encoding='utf-8')
    assert told('check', file)[0] == 0
    p = read_procedure(file)
    assert p.names == ('fat', 'fat_2', '8_kg') and [o.impc for o in p.parameters] == ['Fat %', 'Fat-%', '8 "kg":']
    assert p.name == 'fat_lean' and told('draft', table)[1] == draft_procedure(table)
    assert told('draft', table, '--name', 'body')[1].count('\nname: body\n') == 1

@pytest.mark.parametrize('text,word', [('unit: ?', 'line 4: `unit` is `?`'), ('unit: "?"', '`unit` is `?`'),
    ('unt: g', 'did you mean `unit`'), ('label: a', '`unit` is missing'), ('unit: g, lowest: 3, highest: 2', 'swap')])
def test_check_says_what_is_wrong(told, tmp_path, text, word):
    (tmp_path/'p.yaml').write_text(f'name: a\ntitle: b\nparameters:\n  - {{name: fat, {text}}}\n')
    code,out,err = told('check', tmp_path/'p.yaml')
    assert (code, out) == (2, '') and word in err and 'p.yaml' in err and len(err.strip().splitlines()) == 1

@pytest.mark.parametrize('argv,word', [(['show', 'dxb'], 'did you mean `dxa`'), (['check', 'none.yaml'], 'none.yaml'),
    (['draft', 'none.csv'], 'no such file'), (['draft', 'TABLE', '--out', 'x.txt'], 'ends in .yaml'),
    (['draft', 'WORDS'], 'no column of numbers')])
def test_bad_input_gets_one_message(told, table, tmp_path, monkeypatch, argv, word):
    monkeypatch.chdir(tmp_path)
    pd.read_csv(table)[['Mouse ID','Sex','Eye']].to_csv('words.csv', index=False)
    code,out,err = told(*[dict(TABLE=table, WORDS='words.csv').get(a, a) for a in argv])
    assert (code, out) == (2, '') and word in err

def test_a_draft_overwrites_nothing(told, table, tmp_path):
    (tmp_path/'mine.yaml').write_text('edited')
    code,_,err = told('draft', table, '--out', tmp_path/'mine.yaml')
    assert code == 2 and 'stands there already' in err and (tmp_path/'mine.yaml').read_text() == 'edited'
