"README.md is what nbs/index.ipynb says."
import nbformat, pytest
import make_readme
from repo import ROOT

def test_readme_is_in_step(): assert not make_readme.differing(), 'run `make readme`'

def test_the_two_commands_stand_in_it():
    text = (ROOT/'README.md').read_text(encoding='utf-8')
    assert 'make demo' in text and 'make test' in text and 'IMPC' in text

def test_what_the_reader_need_not_see_is_gone():
    text = (ROOT/'README.md').read_text(encoding='utf-8')
    assert '#|' not in text and ':::' not in text and '<style' not in text

@pytest.mark.parametrize('link,want',
    [('[a](tutorials/10_x.ipynb)', '[a](nbs/tutorials/10_x.ipynb)'), ('![p](images/a.png)', '![p](nbs/images/a.png)'),
    ('[w](https://example.org)', '[w](https://example.org)'), ('[l](../LICENSE)', '[l](LICENSE)'),
        ('[h](#here)', '[h](#here)')])
def test_links_point_from_the_top(link, want): assert make_readme.relink(link) == want

def test_a_changed_index_is_noticed(tmp_path):
    nb = nbformat.read(ROOT/'nbs'/'index.ipynb', 4)
    nb.cells.append(nbformat.v4.new_markdown_cell('One more sentence.'))
    (tmp_path/'nbs'/'images').mkdir(parents=True)
    nbformat.write(nb, tmp_path/'nbs'/'index.ipynb')
    (tmp_path/'README.md').write_bytes((ROOT/'README.md').read_bytes())
    assert 'README.md' in make_readme.differing(tmp_path)
