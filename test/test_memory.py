import subprocess
import sys

PROGRAM = """
import threading
import psutil
from mambapose_ros.memory import give_back, share_one_arena

def work(kept):
    blocks = [bytearray(60_000) for _ in range(2000)]  # below the size that is taken from the system by itself
    kept.append(blocks[-1])  # keeps the end of the arena in use

resident = lambda: psutil.Process().memory_info().rss / 1e6
share_one_arena()
before, kept, grown = resident(), [], []
for _ in range(5):
    threads = [threading.Thread(target=work, args=(kept,)) for _ in range(3)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    give_back()
    grown.append(resident() - before)
print(max(grown))
"""


def test_what_threads_leave_behind_goes_back_to_the_system():
    """They use 120 MB each, and keep one small block each."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert float(ended.stdout) < 20.0
