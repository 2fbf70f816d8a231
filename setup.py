"Packaging: every value stands in `settings.ini`."
from configparser import ConfigParser
from pathlib import Path
from setuptools import setup, find_packages

config = ConfigParser(delimiters=['='])
config.read(Path(__file__).with_name('settings.ini'), encoding='utf-8')
cfg = config['DEFAULT']
extras = {k.removesuffix('_requirements'): v.split() for k, v in cfg.items() if k.endswith('_requirements')}
# one a word, or one a line where names hold spaces
plugins = {f"{cfg['lib_name']}.{k.removeprefix('plugins_')}": v.strip().splitlines() if '\n' in v else v.split()
    for k, v in cfg.items() if k.startswith('plugins_')}
readme = Path(__file__).with_name('README.md')

setup(
    name=cfg['lib_name'], version=cfg['version'], description=cfg['description'],
    long_description=readme.read_text(encoding='utf-8') if readme.exists() else '',
    long_description_content_type='text/markdown',
    author=cfg['author'], author_email=cfg['author_email'], url=cfg['git_url'], license='Apache-2.0',
    keywords=cfg['keywords'],
    packages=find_packages(include=['impc_phenotypes', 'impc_phenotypes.*']),
    package_data={'impc_phenotypes': ['config/*.yaml', 'config/procedures/*.yaml', 'assets/*', 'py.typed', '*.pyi']},
    python_requires='>=' + cfg['min_python'], install_requires=cfg['requirements'].split(), extras_require=extras,
    entry_points={'console_scripts': cfg['console_scripts'].split(),
    'nbdev': ['impc_phenotypes=impc_phenotypes._modidx:d'], **plugins},
)
