import os, sys
from pathlib import Path
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT/'scripts'), str(ROOT/'tests')]

@pytest.fixture(scope='session')
def root()->Path: return ROOT

@pytest.fixture(scope='session')
def data_dir()->Path:
    "The folder of real IMPC records, which are not part of the repository."
    folder = os.environ.get('IMPC_PHENOTYPES_DATA')
    if not folder: pytest.skip('IMPC_PHENOTYPES_DATA is not set: no real records to test on')
    if not Path(folder).is_dir(): pytest.skip('IMPC_PHENOTYPES_DATA is not a folder')
    return Path(folder)
