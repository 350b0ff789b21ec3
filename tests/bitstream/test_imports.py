import subprocess
import sys

IMPORT_AND_REPORT = """
import sys
before = set(sys.modules)
import bitstream
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


def test_importing_bitstream_loads_numpy_and_constriction_and_nothing_else():
    run = subprocess.run(
        [sys.executable, "-c", IMPORT_AND_REPORT], capture_output=True, text=True, check=True
    )
    foreign = set(run.stdout.split()) - set(sys.stdlib_module_names)
    assert foreign == {"bitstream", "constriction", "numpy"}
